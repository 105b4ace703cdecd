package load

import (
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// TestPercentiles compares with what sorting gives.
func TestPercentiles(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	for _, n := range []int{1, 2, 99, 100, 101, 5000} {
		var h Histogram
		var all []time.Duration
		for range n {
			d := time.Duration(r.Uint64() >> (10 + r.IntN(50)))
			h.Add(d)
			all = append(all, d)
		}
		slices.Sort(all)
		for _, p := range []float64{1, 50, 90, 99, 100} {
			want := all[(int(p)*n+99)/100-1]
			got := h.Percentile(p)
			if got < want || got > want+want/64 {
				t.Errorf("%d values: percentile %v is %d, sorted it is %d", n, p, got, want)
			}
		}
		if h.Max() != all[n-1] || h.Total() != uint64(n) {
			t.Errorf("%d values: max %d, total %d", n, h.Max(), h.Total())
		}
	}
	if got := new(Histogram).Percentile(99); got != 0 {
		t.Errorf("percentile of nothing is %d", got)
	}
}

func TestBucketsCoverAllValues(t *testing.T) {
	last := -1
	for i := range buckets {
		top := highest(i)
		if bucketOf(top) != i {
			t.Fatalf("the largest value of bucket %d, %d, falls into bucket %d", i, top, bucketOf(top))
		}
		if top != ^uint64(0) && bucketOf(top+1) != i+1 {
			t.Fatalf("%d falls into bucket %d, not %d", top+1, bucketOf(top+1), i+1)
		}
		last = i
	}
	if highest(last) != ^uint64(0) {
		t.Errorf("the last bucket ends at %d", highest(last))
	}
}

func TestQueryPackets(t *testing.T) {
	cookie := append([]byte{0, 10, 0, 24}, make([]byte, 24)...)
	list := []Question{{5000000, TypeA}, {5999999, TypeAAAA}, {7000001, TypeA}}
	for _, options := range [][]byte{nil, cookie} {
		p, err := NewPackets("phones.example.", list, options)
		if err != nil {
			t.Fatal(err)
		}
		if p.Len() != len(list) {
			t.Fatalf("%d packets", p.Len())
		}
		for i, q := range list {
			m := new(dns.Msg)
			if err := m.Unpack(p.at(i)); err != nil {
				t.Fatal(err)
			}
			name := strconv.Itoa(q.Number) + ".phones.example."
			if len(m.Question) != 1 || m.Question[0] != (dns.Question{Name: name, Qtype: q.Type, Qclass: dns.ClassINET}) {
				t.Errorf("packet %d asks %v", i, m.Question)
			}
			if opt := m.IsEdns0(); (opt != nil) != (options != nil) || opt != nil && len(opt.Option) != 1 {
				t.Errorf("packet %d has OPT %v", i, opt)
			}
		}
	}
	if _, err := NewPackets("phones.example.", []Question{{5, TypeA}, {50, TypeA}}, nil); err == nil {
		t.Error("packets of different lengths are accepted")
	}
	if _, err := NewPackets("phones..example.", []Question{{5, TypeA}}, nil); err == nil {
		t.Error("an empty label is accepted")
	}
}

func TestTransferQuery(t *testing.T) {
	q, err := TransferQuery("phones.example.", TypeIXFR, 4711)
	if err != nil {
		t.Fatal(err)
	}
	m := new(dns.Msg)
	if err := m.Unpack(q); err != nil {
		t.Fatal(err)
	}
	if len(m.Ns) != 1 || m.Ns[0].(*dns.SOA).Serial != 4711 || m.Ns[0].Header().Name != "phones.example." || m.Question[0].Qtype != dns.TypeIXFR {
		t.Errorf("IXFR query is %v", m)
	}
}

// TestUpdateIsSigned has miekg/dns check the signature and read the update.
func TestUpdateIsSigned(t *testing.T) {
	secret := base64.StdEncoding.EncodeToString([]byte("0123456789abcdef0123456789abcdef"))
	u, err := newUpdateMaker("phones.example.", Key{Name: "k.", Secret: secret})
	if err != nil {
		t.Fatal(err)
	}
	for i, id := range []uint16{1, 77, 65535} {
		number := 5000000 + i
		b := u.appendUpdate(make([]byte, 0, 256), id, number, 10<<24|uint32(i), time.Now())
		if err := dns.TsigVerify(slices.Clone(b), secret, "", false); err != nil {
			t.Fatalf("update %d: %v", i, err)
		}
		m := new(dns.Msg)
		if err := m.Unpack(b); err != nil {
			t.Fatal(err)
		}
		want := new(dns.Msg)
		want.SetUpdate("phones.example.")
		want.Id = id
		r, err := dns.NewRR(strconv.Itoa(number) + ".phones.example. 60 IN A 10.0.0." + strconv.Itoa(i))
		if err != nil {
			t.Fatal(err)
		}
		want.RemoveRRset([]dns.RR{r})
		want.Insert([]dns.RR{r})
		m.Extra = nil
		if m.String() != want.String() {
			t.Errorf("the update is\n%v\nnot\n%v", m, want)
		}
	}
	b := u.appendUpdate(nil, 9, 5000000, 1, time.Now())
	b[len(b)-60]++
	if dns.TsigVerify(b, secret, "", false) == nil {
		t.Error("a changed update verifies")
	}
}

func TestBuildingAnUpdateAllocatesNothing(t *testing.T) {
	u, err := newUpdateMaker("phones.example.", Key{Name: "k.", Secret: "MDEyMzQ1Njc4OWFiY2RlZg=="})
	if err != nil {
		t.Fatal(err)
	}
	room := make([]byte, 0, 256)
	now := time.Now()
	if n := testing.AllocsPerRun(100, func() { u.appendUpdate(room, 1, 5000000, 1, now) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestBadKeysAreRefused(t *testing.T) {
	for _, k := range []Key{{"k.", "not base64!"}, {"k..x.", "MDEy"}} {
		if _, err := newUpdateMaker("phones.example.", k); err == nil {
			t.Errorf("%v is accepted", k)
		}
	}
}

// stream packs records into messages of a transfer, some records each.
func stream(t testing.TB, each int, records ...string) [][]byte {
	t.Helper()
	var messages [][]byte
	for part := range slices.Chunk(records, each) {
		m := new(dns.Msg)
		m.SetAxfr("phones.example.")
		m.Response, m.Compress = true, true
		for _, text := range part {
			r, err := dns.NewRR(text)
			if err != nil {
				t.Fatal(err)
			}
			m.Answer = append(m.Answer, r)
		}
		b, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		messages = append(messages, b)
	}
	return messages
}

func soa(serial string) string {
	return "phones.example. 60 IN SOA ns1.phones.example. hostmaster.phones.example. " + serial + " 3600 900 604800 60"
}

func address(number string) string { return number + ".phones.example. 60 IN A 192.0.2.1" }

func TestWalker(t *testing.T) {
	for _, c := range []struct {
		name        string
		w           func() *Walker
		records     []string
		done        bool
		incremental bool
	}{
		{"AXFR", NewAXFR, []string{soa("5"), address("1"), address("2"), soa("5")}, true, false},
		{"AXFR without its end", NewAXFR, []string{soa("5"), address("1")}, false, false},
		{"AXFR of an empty zone", NewAXFR, []string{soa("5"), soa("5")}, true, false},
		{"IXFR", since(3), []string{soa("5"), soa("3"), address("1"), soa("4"), address("2"), soa("4"), soa("5"), address("3"), soa("5")}, true, true},
		{"IXFR of one step", since(3), []string{soa("5"), soa("3"), address("1"), soa("5"), address("2"), soa("5")}, true, true},
		{"IXFR without its end", since(3), []string{soa("5"), soa("3"), address("1"), soa("5"), address("2")}, false, true},
		{"IXFR of nothing", since(5), []string{soa("5")}, true, false},
		{"IXFR that is the zone", since(3), []string{soa("5"), address("1"), soa("5")}, true, false},
	} {
		for each := 1; each <= len(c.records); each++ {
			w := c.w()
			for _, m := range stream(t, each, c.records...) {
				if w.Done {
					t.Fatalf("%s, %d records a message: done too early", c.name, each)
				}
				if err := w.Message(m); err != nil {
					t.Fatalf("%s, %d records a message: %v", c.name, each, err)
				}
			}
			if w.Done != c.done || w.Incremental != c.incremental || w.Records != len(c.records) || w.Serial != 5 {
				t.Errorf("%s, %d records a message: %+v", c.name, each, w)
			}
		}
	}
}

func since(serial uint32) func() *Walker { return func() *Walker { return NewIXFR(serial) } }

func TestWalkerRefuses(t *testing.T) {
	good := stream(t, 9, soa("5"), address("1"), soa("5"))[0]
	changed := func(f func(m []byte) []byte) []byte { return f(slices.Clone(good)) }
	for name, m := range map[string][]byte{
		"a query":            changed(func(m []byte) []byte { m[2] &^= 0x80; return m }),
		"REFUSED":            changed(func(m []byte) []byte { m[3] |= 5; return m }),
		"a cut message":      good[:len(good)-1],
		"a cut header":       good[:11],
		"records too many":   changed(func(m []byte) []byte { binary.BigEndian.PutUint16(m[6:], 4); return m }),
		"no SOA":             stream(t, 9, address("1"))[0],
		"more behind it":     stream(t, 9, soa("5"), soa("5"), address("1"))[0],
		"a reserved label":   changed(func(m []byte) []byte { m[headerLen] = 0x80; return m }),
		"a name cut short":   good[:headerLen+3],
		"a short SOA":        changed(func(m []byte) []byte { m[33+10+1]--; return m }),
		"a question too few": changed(func(m []byte) []byte { m[5] = 0; return m }),
	} {
		if err := NewAXFR().Message(m); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func FuzzWalker(f *testing.F) {
	for _, m := range stream(f, 2, soa("5"), soa("3"), address("1"), soa("4"), address("2"), soa("4"), soa("5"), address("3"), soa("5")) {
		f.Add(m, m, true)
	}
	for _, m := range stream(f, 9, soa("5"), address("1"), soa("5")) {
		f.Add(m, []byte{}, false)
	}
	f.Fuzz(func(t *testing.T, first, second []byte, ixfr bool) {
		w := NewAXFR()
		if ixfr {
			w = NewIXFR(3)
		}
		for _, m := range [][]byte{first, second} {
			before := w.Records
			err := w.Message(m)
			if w.Records-before > len(m)/11 {
				t.Fatalf("%d records in %d octets", w.Records-before, len(m))
			}
			if err != nil || w.Done {
				return
			}
		}
	})
}
