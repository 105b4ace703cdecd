package transfer

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"testing"

	"dialtone/update/tsig"
	"dialtone/zone/rr"

	"github.com/miekg/dns"
)

// packed packs records and gives the messages.
func packed(t testing.TB, size int, records []rr.RR) (msgs [][]byte) {
	t.Helper()
	r := &Request{TCP: true, Question: []byte("\x07EXAMPLE\x00\x00\xfc\x00\x01")}
	p := newPacker(context.Background(), r, "\x07example\x00", (*tsig.Context)(nil).Stream(), func(b []byte) error {
		msgs = append(msgs, slices.Clone(b))
		return nil
	}, &Stats{}, size, nil)
	for _, r := range records {
		if err := p.rr(r); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.flush(); err != nil {
		t.Fatal(err)
	}
	return msgs
}

// unpacked reads messages back with this project's own reader of names.
func unpacked(t testing.TB, msgs [][]byte) (records []rr.RR) {
	t.Helper()
	for i, msg := range msgs {
		p := &parser{msg: msg, off: headerLen}
		if i == 0 {
			p.off += len("\x07EXAMPLE\x00") + 4
		}
		for p.off < len(msg) {
			rec, err := p.record()
			if err != nil {
				t.Fatal(err)
			}
			data, err := rr.UnpackData(msg, rec.data, rec.length, rec.typ)
			if err != nil {
				t.Fatal(err)
			}
			records = append(records, rr.RR{Owner: rec.owner, Type: rec.typ, TTL: rec.ttl, Data: data})
		}
	}
	return records
}

// RFC 3597, section 4: names in rdata of newer types are not compressed.
func TestOnlyOldTypesAreCompressed(t *testing.T) {
	owner := rr.MustName("a.example.")
	for _, c := range []struct {
		typ  uint16
		data string
		size int // of the rdata on the wire
	}{
		{dns.TypeNS, string(owner), 2},
		{dns.TypeCNAME, "\x01b" + string(owner), 4},
		{dns.TypeMX, "\x00\x01" + string(owner), 4},
		{dns.TypeSOA, string(owner) + "\x01b" + string(owner) + "01234567890123456789", 2 + 4 + 20},
		{dns.TypeSRV, "\x00\x01\x00\x02\x00\x03" + string(owner), 6 + len(owner)},
		{dns.TypeDNAME, string(owner), len(owner)},
		{dns.TypeRP, string(owner + owner), 2 * len(owner)},
		{65280, string(owner), len(owner)},
	} {
		msg := packed(t, 65535, []rr.RR{{Owner: owner, Type: c.typ, Data: c.data}})[0]
		// The question has another case, so the owner is written out.
		start := headerLen + 9 + 4 + len(owner) + 10
		if got := len(msg) - start; got != c.size {
			t.Errorf("%s: %d octets, want %d", rr.TypeString(c.typ), got, c.size)
		}
		if got := unpacked(t, [][]byte{msg}); got[0].Data != c.data {
			t.Errorf("%s: %q, want %q", rr.TypeString(c.typ), got[0].Data, c.data)
		}
	}
}

// Names that pointers can no longer reach do not make wrong pointers.
func TestMessagesLargerThanPointersReach(t *testing.T) {
	var records []rr.RR
	for i := range 4000 {
		n := rr.MustName(fmt.Sprintf("x%d.y%d.example.", i, i/3))
		records = append(records, rr.RR{Owner: n, Type: dns.TypeNS, TTL: uint32(i), Data: string(n)})
	}
	msgs := packed(t, 65535, records)
	if got := unpacked(t, msgs); !slices.Equal(got, records) || len(msgs[0]) < 60000 {
		t.Errorf("%d records of %d come back changed", len(got), len(records))
	}
}

// Whatever names there are, they come back octet for octet, from messages of
// any size.
func FuzzPacker(f *testing.F) {
	f.Add([]byte("\x01a\x07example\x00\x01A\x07example\x00\x00\x07EXAMPLE\x00"), uint16(600))
	f.Add([]byte("\x01a\x01a\x01a\x00\x01a\x01a\x00\x01a\x00\x00\x01a\x01a\x01a\x01a\x00"), uint16(700))
	f.Add([]byte("\x3f012345678901234567890123456789012345678901234567890123456789012\xc0\x0c\x00"), uint16(65535))
	f.Fuzz(func(t *testing.T, b []byte, size uint16) {
		var names []rr.Name
		for len(b) > 0 && len(names) < 3000 {
			n, next, err := rr.UnpackName(b, 0)
			if err != nil {
				b = b[1:]
				continue
			}
			names, b = append(names, n), b[next:]
		}
		var records []rr.RR
		for i, n := range names {
			data := names[len(names)-1-i]
			records = append(records, rr.RR{Owner: n, Type: dns.TypeNS, TTL: uint32(i), Data: string(data)},
				rr.RR{Owner: data, Type: dns.TypeMX, Data: "\x00\x00" + string(n)})
		}
		limit := max(int(size), 600)
		msgs := packed(t, limit, records)
		for _, m := range msgs {
			if len(m) > limit {
				t.Fatalf("message of %d octets, limit %d", len(m), limit)
			}
		}
		if got := unpacked(t, msgs); !slices.Equal(got, records) {
			t.Fatalf("got %v, want %v", got, records)
		}
	})
}

// BenchmarkFullTransfer packs a zone of a million numbers; an op is a zone.
func BenchmarkFullTransfer(b *testing.B) {
	z := bigZone(b, 1000000)
	for _, size := range []int{16384, 32768, 65535} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			s := testServer(func(o *Options) { o.MessageSize = size })
			r := ask(b, axfr(), true)
			var st Stats
			for b.Loop() {
				var err error
				if st, err = s.Serve(context.Background(), r, z, nil, func([]byte) error { return nil }); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(st.Octets), "octets")
			b.ReportMetric(float64(st.Messages), "messages")
		})
	}
}

// A name that has the slot of the zone's own name does not keep the names
// behind it from being compressed.
func TestApexIsKnownInSpiteOfCollisions(t *testing.T) {
	var slots nameTable
	slot := func(n rr.Name) uint32 {
		slots.hash([]byte(n))
		return slots.hashes[0] % uint32(len(slots.slots))
	}
	apex := rr.MustName("example.")
	i := 0
	for slot(rr.MustName(fmt.Sprintf("x%d.example.", i))) != slot(apex) {
		i++
	}
	records := []rr.RR{{Owner: rr.MustName(fmt.Sprintf("x%d.example.", i)), Type: dns.TypeA, Data: "abcd"}}
	for range 100 {
		i++
		records = append(records, rr.RR{Owner: rr.MustName(fmt.Sprintf("x%d.example.", i)), Type: dns.TypeA, Data: "abcd"})
	}
	msgs := packed(t, 65535, records)
	if got := unpacked(t, msgs); !slices.Equal(got, records) {
		t.Errorf("got %v, want %v", got, records)
	}
	written := 0
	for _, m := range msgs {
		written += bytes.Count(m, []byte("\x07example\x00"))
	}
	if written != 1 {
		t.Errorf("the zone's name is written out %d times", written)
	}
}
