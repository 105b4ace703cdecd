package dnsserver

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
)

func TestNumberList(t *testing.T) {
	o := testOptions(t)
	s, _ := start(t, o)
	for _, n := range []string{"5551", "5552", "5553", "_sip._udp.5554", "42", "x5555"} {
		if m := ask(t, "tcp", s.Addrs()[0], insert(n+"."+apex+" 60 A 192.0.2.1", n+"."+apex+" 60 AAAA 2001:db8::1")); m.Rcode != dns.RcodeSuccess {
			t.Fatal(m)
		}
	}
	c := command(t, o)
	list := func(q NumberListQuestion) (numbers []string, more bool, err error) {
		for x, err := range control.List[NumberItem](t.Context(), c, RequestNumberList, q) {
			if err != nil {
				return numbers, more, err
			}
			if numbers = append(numbers, x.Number); x.Number != "100" && len(x.Addresses) != 2 {
				t.Errorf("%+v", x)
			}
			more = more || x.More
		}
		return numbers, more, nil
	}
	for i, x := range []struct {
		q    NumberListQuestion
		want string
		more bool
	}{
		{NumberListQuestion{Limit: 10}, "100 42 5551 5552 5553", false},
		{NumberListQuestion{Limit: 5}, "100 42 5551 5552 5553", false},
		{NumberListQuestion{Limit: 2}, "100 42", true},
		{NumberListQuestion{Limit: 1}, "100", true},
		{NumberListQuestion{Limit: 10, Prefix: "555"}, "5551 5552 5553", false},
		{NumberListQuestion{Limit: 2, Prefix: "555", Zone: apex}, "5551 5552", true},
		{NumberListQuestion{Limit: 10, Prefix: "9"}, "", false},
	} {
		got, more, err := list(x.q)
		if err != nil || more != x.more || !slices.Equal(got, strings.Fields(x.want)) {
			t.Errorf("case %d: %v, %v, %v", i, got, more, err)
		}
	}
	var mistake *control.Mistake
	for _, q := range []NumberListQuestion{{}, {Limit: MaxNumberList + 1}, {Limit: 1, Prefix: "a"}, {Limit: 1, Zone: "other."}} {
		if _, _, err := list(q); !errors.As(err, &mistake) {
			t.Errorf("%+v: %v", q, err)
		}
	}
}
