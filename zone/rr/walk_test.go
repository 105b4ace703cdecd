package rr

import (
	"testing"

	"github.com/miekg/dns"
)

// FuzzWalk holds the walk over records to miekg/dns: what that unpacks is
// walked to its end, in as many steps as there are records.
func FuzzWalk(f *testing.F) {
	m := new(dns.Msg).SetUpdate("phones.example.")
	for _, text := range []string{"1.phones.example. 60 A 192.0.2.1", "_sip._udp.1.phones.example. 60 SRV 0 0 5060 1.phones.example."} {
		r, err := dns.NewRR(text)
		if err != nil {
			f.Fatal(err)
		}
		m.Insert([]dns.RR{r})
	}
	m.Compress = true
	b, err := m.SetEdns0(1232, false).Pack()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:HeaderSize])
	f.Add(b[:len(b)-1])
	f.Fuzz(func(t *testing.T, msg []byte) {
		off, ok := SkipQuestions(msg)
		steps := 0
		for ok && off < len(msg) {
			fields, end, whole := SkipRecord(msg, off)
			if ok = whole; ok {
				if fields <= off || end < fields+10 || end > len(msg) {
					t.Fatalf("record at %d: fields at %d, end at %d of %d", off, fields, end, len(msg))
				}
				off = end
				steps++
			}
		}
		var m dns.Msg
		if m.Unpack(msg) != nil {
			return
		}
		records := len(m.Answer) + len(m.Ns) + len(m.Extra)
		// miekg/dns leaves out what its counts promise and is not there.
		if header := int(msg[7]) + int(msg[9]) + int(msg[11]); records == header && records > 0 && msg[6]|msg[8]|msg[10] == 0 && steps < records {
			t.Fatalf("%d records are unpacked, %d were walked", records, steps)
		}
	})
}
