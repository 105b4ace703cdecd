package answer

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/miekg/dns"
)

// raw builds messages that miekg/dns would not pack.
type raw struct{ b []byte }

const hit = "\x075551234\x06phones\x07example\x00"

func newRaw(opcode int, counts ...uint16) *raw {
	r := &raw{[]byte{0xAB, 0xCD, byte(opcode << 3), 0, 0, 0, 0, 0, 0, 0, 0, 0}}
	for i, c := range counts {
		binary.BigEndian.PutUint16(r.b[4+2*i:], c)
	}
	return r
}

func (r *raw) add(octets string) *raw { r.b = append(r.b, octets...); return r }

func (r *raw) question(name string, t, class uint16) *raw {
	r.add(name)
	r.b = binary.BigEndian.AppendUint16(r.b, t)
	r.b = binary.BigEndian.AppendUint16(r.b, class)
	return r
}

func (r *raw) record(owner string, t, class uint16, ttl uint32, data string) *raw {
	r.question(owner, t, class)
	r.b = binary.BigEndian.AppendUint32(r.b, ttl)
	r.b = binary.BigEndian.AppendUint16(r.b, uint16(len(data)))
	return r.add(data)
}

func (r *raw) opt(ttl uint32, options string) *raw {
	return r.record("\x00", dns.TypeOPT, 1232, ttl, options)
}

func (r *raw) flags(set uint16) *raw {
	binary.BigEndian.PutUint16(r.b[2:], binary.BigEndian.Uint16(r.b[2:])|set)
	return r
}

// outcome is what a test of the dispatch table looks at.
type outcome struct {
	verdict  Verdict
	rcode    int
	question bool
	opt      bool
	answers  int
}

func (b *bench) outcome(t testing.TB, msg []byte, tcp bool) outcome {
	t.Helper()
	reply, v := b.respond(msg, tcp, 0)
	if v != Reply {
		if len(reply) != 0 {
			t.Errorf("verdict %d with %d octets", v, len(reply))
		}
		return outcome{verdict: v}
	}
	m := unpack(t, reply)
	return outcome{v, m.Rcode, len(m.Question) == 1, m.IsEdns0() != nil, len(m.Answer)}
}

const tsigData = "\x0bhmac-sha256\x00\x00\x00\x00\x00\x00\x00\x01\x2c\x00\x00\xAB\xCD\x00\x00\x00\x00"

// TestDispatch has one case at least for each row of the table of RCODEs, in
// its order, and for each two neighbours a message that is both.
func TestDispatch(t *testing.T) {
	q := func(counts ...uint16) *raw { return newRaw(0, counts...).question(hit, dns.TypeA, 1) }
	ask := func(name string, qtype, class uint16) *raw {
		return newRaw(0, 1, 0, 0, 1).question(name, qtype, class).opt(0, "")
	}
	const none = "\x05other\x00"
	for _, c := range []struct {
		name string
		msg  *raw
		want outcome
	}{
		{"short", &raw{make([]byte, 11)}, outcome{verdict: Drop}},
		{"empty", &raw{}, outcome{verdict: Drop}},
		{"response", q(1).flags(0x8000), outcome{verdict: Drop}},
		{"response of an unknown opcode", newRaw(6).flags(0x8000), outcome{verdict: Drop}},
		{"plain", q(1), outcome{Reply, 0, true, false, 1}},

		{"IQUERY", newRaw(1, 0, 1), outcome{Reply, dns.RcodeNotImplemented, false, false, 0}},
		{"STATUS with a question and OPT", newRaw(2, 1, 0, 0, 1).question(hit, dns.TypeA, 1).opt(0, ""), outcome{Reply, dns.RcodeNotImplemented, false, false, 0}},
		{"DSO", newRaw(6).add("\x00\x01"), outcome{Reply, dns.RcodeNotImplemented, false, false, 0}},
		{"opcode 15, junk", newRaw(15, 9, 9, 9, 9).add("\xff\xff"), outcome{Reply, dns.RcodeNotImplemented, false, false, 0}},

		{"no question where one is counted", newRaw(0, 1), outcome{Reply, dns.RcodeFormatError, false, false, 0}},
		{"question without class", newRaw(0, 1).add(hit + "\x00\x01\x00"), outcome{Reply, dns.RcodeFormatError, false, false, 0}},
		{"compressed question", newRaw(0, 1).question("\xc0\x00", 1, 1), outcome{Reply, dns.RcodeFormatError, false, false, 0}},
		{"question of 256 octets", newRaw(0, 1).question(longName(256), 1, 1), outcome{Reply, dns.RcodeFormatError, false, false, 0}},
		{"question of 255 octets", newRaw(0, 1).question(longName(255), 1, 1), outcome{Reply, dns.RcodeRefused, true, false, 0}},
		{"label of 64 octets", newRaw(0, 1).question("\x40"+string(make([]byte, 64))+"\x00", 1, 1), outcome{Reply, dns.RcodeFormatError, false, false, 0}},
		{"record missing", q(1, 0, 0, 1), outcome{Reply, dns.RcodeFormatError, true, false, 0}},
		{"OPT, then a record missing", q(1, 0, 0, 2).opt(0, ""), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"rdata past the end", q(1, 0, 0, 1).record("\x00", 1, 1, 0, "1234").shorten(1), outcome{Reply, dns.RcodeFormatError, true, false, 0}},
		{"pointer forwards", q(1, 1).record("\xc0\xff", 1, 1, 0, "1234"), outcome{Reply, dns.RcodeFormatError, true, false, 0}},
		{"pointer to itself", q(1, 1).record("\xc0\x29", 1, 1, 0, "1234"), outcome{Reply, dns.RcodeFormatError, true, false, 0}},
		{"answer in a query", q(1, 1).record("\xc0\x0c", 1, 1, 0, "1234"), outcome{Reply, 0, true, false, 1}},
		{"OPT in the answer section", q(1, 1).opt(0, ""), outcome{Reply, dns.RcodeFormatError, true, false, 0}},
		{"OPT with an owner", q(1, 0, 0, 1).record("\xc0\x0c", dns.TypeOPT, 1232, 0, ""), outcome{Reply, dns.RcodeFormatError, true, false, 0}},
		{"UPDATE that does not parse", newRaw(5, 1), outcome{Reply, dns.RcodeFormatError, false, false, 0}},
		{"NOTIFY that does not parse", newRaw(4, 1, 1).question(hit, dns.TypeSOA, 1), outcome{Reply, dns.RcodeFormatError, true, false, 0}},

		{"two OPT", q(1, 0, 0, 2).opt(0, "").opt(0, ""), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"two OPT, one of version 1", q(1, 0, 0, 2).opt(0x10000, "").opt(0, ""), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"version 1", q(1, 0, 0, 1).opt(0x10000, ""), outcome{Reply, dns.RcodeBadVers, true, true, 0}},
		{"version 255 and malformed options", q(1, 0, 0, 1).opt(0xFF0000, "\x00"), outcome{Reply, dns.RcodeBadVers, true, true, 0}},
		{"version 1, UPDATE", newRaw(5, 1, 0, 0, 1).question(hit, dns.TypeSOA, 1).opt(0x10000, ""), outcome{Reply, dns.RcodeBadVers, false, true, 0}},
		{"version 1, not in a zone", newRaw(0, 1, 0, 0, 1).question(none, 1, 1).opt(0x10000, ""), outcome{Reply, dns.RcodeBadVers, true, true, 0}},
		{"extended RCODE in a query", q(1, 0, 0, 1).opt(0xFF000000, ""), outcome{Reply, 0, true, true, 1}},
		{"option header cut", q(1, 0, 0, 1).opt(0, "\x00\x03\x00"), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"option data cut", q(1, 0, 0, 1).opt(0, "\x00\x03\x00\x01"), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"COOKIE malformed", q(1, 0, 0, 1).opt(0, "\x00\x0a\x00\x071234567"), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"COOKIE malformed in version 1", q(1, 0, 0, 1).opt(0x10000, "\x00\x0a\x00\x071234567"), outcome{Reply, dns.RcodeBadVers, true, true, 0}},
		{"EXPIRE with data", q(1, 0, 0, 1).opt(0, "\x00\x09\x00\x04\x00\x00\x00\x01"), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"NSID with data", q(1, 0, 0, 1).opt(0, "\x00\x03\x00\x02hi"), outcome{Reply, 0, true, true, 1}},
		{"unknown option", q(1, 0, 0, 1).opt(0, "\xfd\xe9\x00\x02hi"), outcome{Reply, 0, true, true, 1}},
		{"keepalive with data over UDP", q(1, 0, 0, 1).opt(0, "\x00\x0b\x00\x02\x00\x01"), outcome{Reply, 0, true, true, 1}},
		{"OPT before another record", q(1, 0, 0, 2).opt(0, "").record("\x00", 1, 1, 0, "1234"), outcome{Reply, 0, true, true, 1}},

		{"TSIG", q(1, 0, 0, 1).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData), outcome{verdict: Later}},
		{"TSIG and two questions", newRaw(0, 2, 0, 0, 1).question(hit, 1, 1).question(hit, 1, 1).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData), outcome{verdict: Later}},
		{"TSIG before OPT", q(1, 0, 0, 2).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData).opt(0, ""), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"two TSIG", q(1, 0, 0, 2).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData), outcome{Reply, dns.RcodeFormatError, true, false, 0}},
		{"TSIG in the authority section", q(1, 0, 1).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData), outcome{Reply, dns.RcodeFormatError, true, false, 0}},
		{"octets behind TSIG", q(1, 0, 0, 1).record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData).add("x"), outcome{Reply, dns.RcodeFormatError, true, false, 0}},

		{"UPDATE", newRaw(5, 1).question(hit, dns.TypeSOA, 1), outcome{verdict: Later}},
		{"NOTIFY", newRaw(4, 1).question(hit, dns.TypeSOA, 1), outcome{verdict: Later}},

		{"two questions", newRaw(0, 2).question(hit, 1, 1).question(hit, 28, 1), outcome{Reply, dns.RcodeFormatError, false, false, 0}},
		{"two questions with OPT", newRaw(0, 2, 0, 0, 1).question(hit, 1, 1).question(hit, 28, 1).opt(0, ""), outcome{Reply, dns.RcodeFormatError, false, true, 0}},
		{"no question", newRaw(0), outcome{Reply, dns.RcodeFormatError, false, false, 0}},
		{"no question with OPT", newRaw(0, 0, 0, 0, 1).opt(0, ""), outcome{Reply, dns.RcodeFormatError, false, true, 0}},
		{"no question with COOKIE", newRaw(0, 0, 0, 0, 1).opt(0, "\x00\x0a\x00\x0812345678"), outcome{Reply, 0, false, true, 0}},
		{"no question with a wrong server cookie", newRaw(0, 0, 0, 0, 1).opt(0, "\x00\x0a\x00\x101234567812345678"), outcome{Reply, dns.RcodeBadCookie, false, true, 0}},
		{"no question with a malformed COOKIE", newRaw(0, 0, 0, 0, 1).opt(0, "\x00\x0a\x00\x091234567812345678"), outcome{Reply, dns.RcodeFormatError, false, true, 0}},

		{"NXNAME", ask(hit, typeNXNAME, 1), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"NXNAME outside", ask(none, typeNXNAME, 1), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"meta type", ask(hit, dns.TypeTSIG, 1), outcome{Reply, dns.RcodeNotImplemented, true, true, 0}},
		{"meta type OPT", ask(hit, dns.TypeOPT, 1), outcome{Reply, dns.RcodeNotImplemented, true, true, 0}},
		{"meta type MAILA outside", ask(none, dns.TypeMAILA, 1), outcome{Reply, dns.RcodeNotImplemented, true, true, 0}},
		{"unknown type", ask(hit, 65280, 1), outcome{Reply, 0, true, true, 0}},
		{"type 0", ask(hit, 0, 1), outcome{Reply, 0, true, true, 0}},
		{"not in a zone", ask(none, 1, 1), outcome{Reply, dns.RcodeRefused, true, true, 0}},
		{"not in a zone, octets left over", ask(none, 1, 1).add("x"), outcome{Reply, dns.RcodeRefused, true, true, 0}},
		{"class HS", ask(hit, 1, 4), outcome{Reply, dns.RcodeRefused, true, true, 0}},
		{"class ANY", ask(hit, 1, 255), outcome{Reply, dns.RcodeRefused, true, true, 0}},
		{"class NONE", ask(hit, 1, 254), outcome{Reply, dns.RcodeRefused, true, true, 0}},
		{"class CH", ask(hit, 1, 3), outcome{Reply, dns.RcodeRefused, true, true, 0}},
		{"AXFR", ask(hit, dns.TypeAXFR, 1), outcome{verdict: Later}},
		{"AXFR outside", ask(none, dns.TypeAXFR, 1), outcome{verdict: Later}},
		{"IXFR", newRaw(0, 1, 0, 1).question(hit, dns.TypeIXFR, 1).record("\xc0\x0c", dns.TypeSOA, 1, 0, "\x00\x00"+string(make([]byte, 20))), outcome{verdict: Later}},
		{"AXFR of class CH", ask(hit, dns.TypeAXFR, 3), outcome{Reply, dns.RcodeRefused, true, true, 0}},
		{"AXFR of class HS", ask(hit, dns.TypeAXFR, 4), outcome{Reply, dns.RcodeRefused, true, true, 0}},
		{"AXFR, octets left over", ask(hit, dns.TypeAXFR, 1).add("x"), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"AXFR outside, octets left over", ask(none, dns.TypeAXFR, 1).add("x"), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"octets left over", ask(hit, 1, 1).add("x"), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
		{"octets left over, CH", ask("\x02id\x06server\x00", dns.TypeTXT, 3).add("x"), outcome{Reply, dns.RcodeFormatError, true, true, 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newPhones(t)
			if got := b.outcome(t, c.msg.b, false); got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func (r *raw) shorten(n int) *raw { r.b = r.b[:len(r.b)-n]; return r }

// longName is a name of n octets, longer than may be when n > 255.
func longName(n int) string {
	b := []byte{}
	for n-len(b) > 1 {
		l := min(63, n-len(b)-2)
		b = append(append(b, byte(l)), bytes.Repeat([]byte{'a'}, l)...)
	}
	return string(append(b, 0))
}

// RFC 8906, sections 2 and 3.1.3: unknown flags are ignored and not echoed.
func TestHeaderBits(t *testing.T) {
	b := newPhones(t)
	for bits, want := range map[uint16]uint16{
		0:      0x8400,
		0x0100: 0x8500, // RD is copied
		0x0400: 0x8400, // AA
		0x0200: 0x8400, // TC
		0x0080: 0x8400, // RA
		0x0040: 0x8400, // Z
		0x0020: 0x8400, // AD
		0x0010: 0x8400, // CD
		0x000F: 0x8400, // RCODE
	} {
		reply, _ := b.respond(newRaw(0, 1).question(hit, 1, 1).flags(bits).b, false, 0)
		if got := binary.BigEndian.Uint16(reply[2:]); got != want {
			t.Errorf("query flags %04x: reply %04x, want %04x", bits, got, want)
		}
		if reply[0] != 0xAB || reply[1] != 0xCD {
			t.Errorf("ID %x", reply[:2])
		}
	}
}

// RFC 8906, sections 3.2.4 and 3.2.6: DO is copied, unknown EDNS flags are not.
func TestEDNSFlags(t *testing.T) {
	b := newPhones(t)
	for flags, want := range map[uint32]uint32{0: 0, 0x8000: 0x8000, 0x4000: 0, 0xFFFF: 0x8000, 0x7F000000: 0} {
		reply, _ := b.respond(newRaw(0, 1, 0, 0, 1).question(hit, 1, 1).opt(flags, "").b, false, 0)
		if got := unpack(t, reply).IsEdns0().Hdr.Ttl; got != want {
			t.Errorf("flags %08x: reply %08x, want %08x", flags, got, want)
		}
	}
}

// RFC 6891, section 6.1.1: no OPT in the request, none in the reply, whatever
// the RCODE; and an EDE has no place then.
func TestNoOPTUnlessAsked(t *testing.T) {
	b := newPhones(t)
	for _, m := range []*raw{
		newRaw(0, 1).question(hit, 1, 1), newRaw(0, 1).question("\x00", 1, 1), newRaw(0, 1).question(hit, typeNXNAME, 1), newRaw(0, 2),
	} {
		reply, v := b.respond(m.b, false, 0)
		if v != Reply || unpack(t, reply).IsEdns0() != nil {
			t.Errorf("%x: %x", m.b, reply)
		}
	}
}

// A Later verdict leaves what the handlers need.
func TestRequestAfterLater(t *testing.T) {
	b := newPhones(t)
	msg := newRaw(0, 1, 0, 0, 2).question(hit, dns.TypeAXFR, 1).opt(0x8000, "\x00\x09\x00\x00\x00\x03\x00\x00")
	signed := len(msg.b)
	msg.record("\x01k\x00", dns.TypeTSIG, 255, 0, tsigData)
	if _, v := b.respond(msg.b, true, 0); v != Later {
		t.Fatalf("verdict %d", v)
	}
	q := b.s.Request
	if q.TSIG != signed || q.QType != dns.TypeAXFR || q.QClass != 1 || !q.OPT || !q.DO || !q.Expire || !q.NSID ||
		q.KeepAlive || q.Size != 1232 || q.QuestionEnd != 12+len(hit)+4 || q.Opcode != 0 {
		t.Errorf("%+v", q)
	}
	// Less its TSIG it is what any other request is.
	binary.BigEndian.PutUint16(msg.b[10:], 1)
	msg.b = msg.b[:signed]
	if _, v := b.respond(msg.b, true, 100); v != Later || b.s.Request.TSIG != 0 {
		t.Errorf("verdict %d", v)
	}
}
