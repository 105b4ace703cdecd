package dnsserver

import (
	"sync/atomic"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
)

// Types that are counted by themselves; the others count together.
var talliedTypes = [...]uint16{
	dns.TypeA, dns.TypeNS, dns.TypeCNAME, dns.TypeSOA, dns.TypePTR, dns.TypeMX, dns.TypeTXT, dns.TypeKEY, dns.TypeAAAA,
	dns.TypeSRV, dns.TypeNAPTR, dns.TypeDS, dns.TypeDNSKEY, dns.TypeSVCB, dns.TypeHTTPS, dns.TypeIXFR, dns.TypeAXFR, dns.TypeANY,
}

const (
	typeNone  = iota // no query with one question
	typeOther        // none of talliedTypes
	typeFirst
	numTypes = typeFirst + len(talliedTypes)

	// numRcodes goes up to BADCOOKIE, the largest RCODE that there is (RFC 7873).
	numRcodes = dns.RcodeBadCookie + 1
)

// typeSlots leads from types below 256 to their places.
var typeSlots = func() (slots [256]uint8) {
	for t := range slots {
		slots[t] = typeOther
	}
	for i, t := range talliedTypes {
		slots[t] = uint8(typeFirst + i)
	}
	return slots
}()

// tally counts replies to all but updates that could be read, by type and RCODE.
type tally [numTypes * numRcodes]atomic.Uint64

// slotOf is the place of the reply that was last written with a Scratch.
func slotOf(s *answer.Scratch) int {
	t := typeNone
	if q := &s.Request; q.Opcode == dns.OpcodeQuery && q.QuestionEnd != 0 {
		if t = typeOther; q.QType < uint16(len(typeSlots)) {
			t = int(typeSlots[q.QType])
		}
	}
	return t*numRcodes + int(min(s.Rcode(), numRcodes-1))
}

// batchTally counts the replies of one batch for a tally that nobody else writes to: what is on lines of
// its own is added to once a batch, for each kind of reply in it.
type batchTally struct {
	total   tally
	counts  [numTypes * numRcodes]uint32
	touched [numTypes * numRcodes]uint16
	kinds   int
}

func (b *batchTally) add(slot int) {
	if b.counts[slot]++; b.counts[slot] == 1 {
		b.touched[b.kinds] = uint16(slot)
		b.kinds++
	}
}

// flush ends a batch.
func (b *batchTally) flush() {
	for _, slot := range b.touched[:b.kinds] {
		b.total[slot].Add(uint64(b.counts[slot]))
		b.counts[slot] = 0
	}
	b.kinds = 0
}

// protos are the values of the label "proto", each with a tally of its own.
var protos = [...]string{"udp", "tcp"}

func protoIndex(tcp bool) int {
	if tcp {
		return 1
	}
	return 0
}

// repliesOf adds up what the readers of UDP and the others have counted of one kind.
func (s *Server) repliesOf(proto, slot int) uint64 {
	n := s.Counters.Replies[proto][slot].Load()
	if proto == 0 {
		for _, b := range s.tallies {
			n += b.total[slot].Load()
		}
	}
	return n
}

// replies are all that are counted.
func (s *Server) replies() (n uint64) {
	for proto := range protos {
		for slot := range numTypes * numRcodes {
			n += s.repliesOf(proto, slot)
		}
	}
	return n
}

func (s *Server) collectQueries(e exporter) {
	const help = "Replies to all but readable updates, by transport, type asked for and RCODE. Type none is of what is no query with one question, other of rare types."
	for proto, name := range protos {
		for slot := range numTypes * numRcodes {
			if n := s.repliesOf(proto, slot); n > 0 {
				e.count("queries_total", help, n, "proto", name, "type", typeLabel(slot/numRcodes), "rcode", rcodeName(slot%numRcodes))
			}
		}
	}
}

func typeLabel(slot int) string {
	switch slot {
	case typeNone:
		return "none"
	case typeOther:
		return "other"
	}
	return dns.TypeToString[talliedTypes[slot-typeFirst]]
}
