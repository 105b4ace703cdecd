package main

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/phone"
)

func TestStatusLines(t *testing.T) {
	at := time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)
	done := &phone.Registered{Name: "1.phones.example.", Addresses: []netip.Addr{netip.MustParseAddr("192.0.2.1")}, Server: "192.0.2.53:53", Lease: time.Hour}
	forever := *done
	forever.Lease, forever.Note = 0, "a note"
	no := errors.New("no server answers")
	events := []phone.Event{
		{State: phone.StateNoAddress, Time: at, Err: phone.ErrNoAddress},
		{State: phone.StateRegistered, Time: at, Done: done, Retry: 49*time.Minute + 30*time.Second + 1},
		{State: phone.StateRefreshed, Time: at, Done: done, Retry: time.Minute},
		{State: phone.StateFailed, Time: at, Err: no, Retry: time.Second},
		{State: phone.StateFailed, Time: at, Err: no, Retry: 2 * time.Second},
		{State: phone.StateExpired, Time: at, Err: errors.New("the lease is over")},
		{State: phone.StateRefused, Time: at, Err: errors.New("REFUSED"), Retry: time.Minute},
		{State: phone.StateRegistered, Time: at, Done: &forever, Retry: time.Hour},
		{State: phone.StateFailed, Time: at, Err: no},
		{State: phone.StateWithdrawn, Time: at, Done: &phone.Registered{Name: "1.phones.example.", Server: "192.0.2.53:53"}},
	}
	for asJSON, want := range map[bool]string{
		false: `1: this machine has no address from which a server can be reached
1 is at 192.0.2.1 for 1h0m0s (1.phones.example., server 192.0.2.53:53)
1: no server answers; it is tried again
1: the lease is over
1 is refused: REFUSED; it is tried again now and then
1 is at 192.0.2.1 (1.phones.example., server 192.0.2.53:53)
the server grants no lease: the registration stays until it is taken away
a note
1: no server answers
1 is registered no more (1.phones.example., server 192.0.2.53:53)
`,
		true: `{"time":"2026-11-26T04:00:00Z","state":"no-address","number":"1","error":"this machine has no address from which a server can be reached"}
{"time":"2026-11-26T04:00:00Z","state":"registered","number":"1","name":"1.phones.example.","addresses":["192.0.2.1"],"server":"192.0.2.53:53","lease":3600,"retry":2970}
{"time":"2026-11-26T04:00:00Z","state":"refreshed","number":"1","name":"1.phones.example.","addresses":["192.0.2.1"],"server":"192.0.2.53:53","lease":3600,"retry":60}
{"time":"2026-11-26T04:00:00Z","state":"failed","number":"1","error":"no server answers","retry":1}
{"time":"2026-11-26T04:00:00Z","state":"failed","number":"1","error":"no server answers","retry":2}
{"time":"2026-11-26T04:00:00Z","state":"expired","number":"1","error":"the lease is over"}
{"time":"2026-11-26T04:00:00Z","state":"refused","number":"1","error":"REFUSED","retry":60}
{"time":"2026-11-26T04:00:00Z","state":"registered","number":"1","name":"1.phones.example.","addresses":["192.0.2.1"],"server":"192.0.2.53:53","note":"a note","retry":3600}
{"time":"2026-11-26T04:00:00Z","state":"failed","number":"1","error":"no server answers"}
{"time":"2026-11-26T04:00:00Z","state":"withdrawn","number":"1","name":"1.phones.example.","server":"192.0.2.53:53"}
`,
	} {
		var out strings.Builder
		s := &statusWriter{registrationFlags: &registrationFlags{where: where{json: asJSON}, lease: time.Hour}, number: "1", w: &out}
		for _, e := range events {
			s.tell(e)
		}
		if out.String() != want {
			t.Errorf("got\n%s\nwant\n%s", out.String(), want)
		}
	}
}

func TestAddressFlag(t *testing.T) {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	for text, want := range map[string]struct {
		list       []netip.Addr
		interfaces []string
		fault      string
	}{
		"auto":                        {},
		"source":                      {},
		"192.0.2.1,ppp0,2001:db8::1":  {list: []netip.Addr{a, b}, interfaces: []string{"ppp0"}},
		"bee,eth0.10":                 {interfaces: []string{"bee", "eth0.10"}},
		"auto,eth0":                   {fault: "auto stands alone"},
		"192.0.2":                     {fault: `"192.0.2" is neither`},
		"2001:db8::1::":               {fault: "neither"},
		"192.0.2.0/24":                {fault: "neither"},
		"":                            {fault: "neither"},
		"an-interface-of-too-a-name-": {fault: "neither"},
	} {
		list, interfaces, err := addressesAndInterfaces(strings.Split(text, ","))
		if !slices.Equal(list, want.list) || !slices.Equal(interfaces, want.interfaces) || (err == nil) != (want.fault == "") ||
			err != nil && !strings.Contains(err.Error(), want.fault) {
			t.Errorf("%s: %v, %v, %v", text, list, interfaces, err)
		}
	}
}
