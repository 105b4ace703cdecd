package answer

import (
	"fmt"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

// labels makes a name of n labels of one octet in front of a suffix in wire form.
func labels(n int, suffix string) string { return strings.Repeat("\x01x", n) + suffix }

const wireApex = "\x06phones\x07example\x00"

// pointers is a message of 64 KiB: a record whose data is a root label and 8,000 pointers, each to the one before it, and
// 4,000 records whose owners point to the last of them.
func pointers() []byte {
	var data []byte
	r := newRaw(0, 1, 0, 0, 4001).question(hit, dns.TypeA, 1)
	at := len(r.b) + 11 // of the data
	data = append(data, 0)
	for to := at; len(data) < 16000; {
		data = append(data, 0xc0|byte(to>>8), byte(to))
		to = at + len(data) - 2
	}
	last := string(data[len(data)-2:])
	r.record("\x00", dns.TypeNULL, 1, 0, string(data))
	for range 4000 {
		r.record(last, dns.TypeNULL, 1, 0, "")
	}
	return r.b
}

// costly are messages of many octets with little in them, and two that are good.
func costly() map[string][]byte {
	long := newRaw(0, 1, 0, 0, 0).question(labels(120, wireApex), dns.TypeA, 1).b
	options := newRaw(0, 1, 0, 0, 1).question(hit, dns.TypeA, 1).opt(0, strings.Repeat("\xff\xff\x00\x00", 16000)).b
	records := newRaw(0, 1, 0, 0, 5900).question(hit, dns.TypeA, 1)
	for range 5900 {
		records.b = append(records.b, 0, 0, 10, 0, 1, 0, 0, 0, 0, 0, 0)
	}
	questions := newRaw(0, 13000, 0, 0, 0)
	for range 13000 {
		questions.b = append(questions.b, 0, 0, 1, 0, 1)
	}
	padded := newRaw(0, 1, 0, 0, 1).question(hit, dns.TypeA, 1).opt(0, "\x00\x0c\x01\x00"+strings.Repeat("\x00", 256)).b
	return map[string][]byte{
		"a query": newRaw(0, 1, 0, 0, 0).question(hit, dns.TypeA, 1).b, "a padded query": padded,
		"120 labels in no zone": newRaw(0, 1, 0, 0, 0).question(labels(120, "\x00"), dns.TypeA, 1).b,
		"120 labels":            long, "16000 options": options, "5900 records": records.b, "13000 questions": questions.b, "pointers": pointers(),
	}
}

// A query's other records are stepped over in one pass: wherever their owners' pointers lead, be it through thousands
// of others or to what is no name, nobody looks.
func TestPointersOfOtherRecordsAreNotFollowed(t *testing.T) {
	b := newPhones(t)
	for name, msg := range map[string][]byte{
		"chain":   pointers(),
		"no name": newRaw(0, 1, 0, 0, 1).question(hit, dns.TypeA, 1).record("\xc0\x02", dns.TypeNULL, 1, 0, "").b,
		"is cut":  newRaw(0, 1, 0, 0, 1).question(hit, dns.TypeA, 1).record("\xc0\x13", dns.TypeNULL, 1, 0, "").b,
	} {
		reply, v := b.respond(msg, false, 0)
		if v != Reply || unpack(t, reply).Rcode != dns.RcodeSuccess {
			t.Errorf("%s: verdict %d, %x", name, v, reply)
		}
	}
}

// BenchmarkBadInput holds what is bad beside what is good and as long: the cost of an octet is to be no more.
func BenchmarkBadInput(b *testing.B) {
	z := newPhones(b)
	for name, msg := range costly() {
		b.Run(fmt.Sprintf("%s, %d octets", name, len(msg)), func(b *testing.B) {
			z.reader.Begin()
			defer z.reader.End()
			b.ReportAllocs()
			b.SetBytes(int64(len(msg)))
			for b.Loop() {
				z.Respond(msg, z.out[:1232], false, 0, &z.s)
			}
		})
	}
}
