package integration

import (
	"math/rand/v2"
	"slices"
	"strings"

	"dialtone/integration/peertest"

	"github.com/miekg/dns"
)

// diffZoneFile has one of everything that an update can run into. Its names are relative to the zone.
const diffZoneFile = `$TTL 60
@           SOA ns1.other.example. admin.phones.example. 1000 3600 600 86400 30
@           NS  ns1.other.example.
@           NS  ns2.other.example.
@           TXT "apex"
a           A   192.0.2.1
a           A   192.0.2.2
b           AAAA 2001:db8::1
alias       CNAME a
*.wild      A   192.0.2.3
sub         NS  ns.other.example.
host.sub    A   192.0.2.4
deep.er.ent TXT "below empty non-terminals"
dn          DNAME other.example.
`

// message is one generated update, with what the table of deviations needs to know of it.
type message struct {
	peertest.Update
	faulty bool // a rule of RFC 2136, sections 2.3 to 3.4.1 is broken on purpose
}

// generator makes random updates. What it makes depends on its seed and on the contents it is shown, only.
type generator struct {
	*rand.Rand
	zone   string
	known  map[string][]dns.RR // owner (lower case) and type -> RRset, as of the last comparison
	owners []string            // of known, sorted
	serial uint32              // what the next SOA that should be taken carries
}

func newGenerator(zone string, seed uint64) *generator {
	return &generator{zone: zone, Rand: rand.New(rand.NewPCG(seed, 2136)), serial: 1_000_000}
}

// learn makes the content the material for prerequisites that hold and deletions that hit.
func (g *generator) learn(c peertest.Content) {
	g.known = map[string][]dns.RR{}
	for _, r := range c.Records {
		k := setKey(r.Header().Name, r.Header().Rrtype)
		g.known[k] = append(g.known[k], r)
	}
	g.owners = g.owners[:0]
	for k, set := range g.known {
		g.owners = append(g.owners, k)
		slices.SortFunc(set, func(a, b dns.RR) int { return strings.Compare(a.String(), b.String()) })
	}
	slices.Sort(g.owners)
}

func setKey(owner string, t uint16) string {
	return strings.ToLower(owner) + " " + dns.Type(t).String()
}

// next makes one message.
func (g *generator) next() message {
	m := message{Update: peertest.Update{ID: uint16(g.Uint32()),
		Zone: []peertest.Entry{{Owner: g.mixCase(g.zone), Type: dns.TypeSOA, Class: dns.ClassINET}}}}
	for range g.count(3, 0.4) {
		m.Prerequisites = append(m.Prerequisites, g.prerequisite()...)
	}
	for range g.count(6, 0.9) {
		m.Updates = append(m.Updates, g.update())
	}
	if g.chance(0.08) {
		g.breakRule(&m)
	}
	if sameValueTwice(m.Prerequisites) {
		m.Updates = nil // BIND fails it (see deviations): let it change nothing anywhere
	}
	return m
}

// count gives 0 with probability 1-p, else 1 to most.
func (g *generator) count(most int, p float64) int {
	if !g.chance(p) {
		return 0
	}
	return 1 + g.IntN(most)
}

func (g *generator) chance(p float64) bool { return g.Float64() < p }

func pick[T any](g *generator, from []T) T { return from[g.IntN(len(from))] }

var ownerPool = []string{"a", "b", "c", "d", "alias", "alias2", "*.wild", "wild", "x.wild", "*", "sub", "host.sub",
	"dn", "deep.er.ent", "er.ent", "ent", "_sip._udp.a", `\000\255`, `d\.t`, `back\\slash`, strings.Repeat("x", 63),
	"5551234", "", ""}

func (g *generator) owner() string {
	name := pick(g, ownerPool)
	if name == "" {
		return g.mixCase(g.zone)
	}
	return g.mixCase(name + "." + g.zone)
}

// mixCase changes the case of some letters, now and then.
func (g *generator) mixCase(name string) string {
	if !g.chance(0.2) {
		return name
	}
	b := []byte(name)
	for i, c := range b {
		if 'a' <= c && c <= 'z' && g.chance(0.5) {
			b[i] = c - 'a' + 'A'
		}
	}
	return string(b)
}

// dataPool is small on purpose: equal data must come up often.
var dataPool = map[string][]string{
	"A":     {"192.0.2.1", "192.0.2.2", "192.0.2.3", "198.51.100.7"},
	"AAAA":  {"2001:db8::1", "2001:db8::2"},
	"TXT":   {`"one"`, `"two" "three"`, `""`, `"\000\255\""`},
	"MX":    {"10 a.phones.example.", "20 a.phones.example.", "10 mail.other.example."},
	"SRV":   {"0 5 5060 a.phones.example.", "0 5 5061 b.phones.example."},
	"NAPTR": {`100 10 "u" "E2U+sip" "!^.*$!sip:a@phones.example!" .`, `100 10 "s" "SIP+D2U" "" _sip._udp.a.phones.example.`},
	"CNAME": {"a.phones.example.", "b.phones.example.", "x.other.example."},
	"NS":    {"ns1.other.example.", "ns2.other.example.", "ns3.other.example."},
	"PTR":   {"a.phones.example.", "b.phones.example."},
	"HINFO": {`"phone" "dialtone"`},
	"CAA":   {`0 issue "ca.example"`},
	"DNAME": {"other.example."}, // one only: Knot 3.2.6 crashes when an update replaces a DNAME by another
	"SVCB":  {"1 a.phones.example. port=5060", "0 b.phones.example."},
	"HTTPS": {"1 ."},
	"TLSA":  {"3 1 1 0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"},

	"TYPE65280": {`\# 3 010203`, `\# 0`},
	"TYPE999":   {`\# 1 ff`},
}

var typePool = []string{"A", "A", "A", "A", "AAAA", "AAAA", "TXT", "TXT", "MX", "SRV", "NAPTR", "CNAME", "CNAME", "CNAME",
	"NS", "NS", "PTR", "HINFO", "CAA", "DNAME", "SVCB", "HTTPS", "TLSA", "TYPE65280", "TYPE999"}

// ownerFor avoids what the table of deviations covers: DNAME keeps to one name that has nothing below it.
func (g *generator) ownerFor(t string) string {
	if t == "DNAME" {
		return g.mixCase("dn." + g.zone)
	}
	for {
		owner := g.owner()
		if t == "NS" && strings.HasPrefix(owner, "*") {
			continue
		}
		return owner
	}
}

func (g *generator) entry(class uint16, ttl uint32) peertest.Entry {
	t := pick(g, typePool)
	return peertest.Entry{Owner: g.ownerFor(t), Type: typeOf(t), Class: class, TTL: ttl, Data: mustRdata(t, pick(g, dataPool[t]))}
}

// existing gives an RRset that was there at the last comparison, as entries.
func (g *generator) existing(class uint16) []peertest.Entry {
	if len(g.owners) == 0 {
		return nil
	}
	var out []peertest.Entry
	for _, r := range g.known[pick(g, g.owners)] {
		out = append(out, peertest.Entry{Owner: g.mixCase(r.Header().Name), Type: r.Header().Rrtype, Class: class, Data: rdataOf(r)})
	}
	return out
}

var ttlPool = []uint32{0, 1, 60, 60, 60, 300, 86400, 1<<31 - 1}

func (g *generator) update() peertest.Entry {
	switch n := g.IntN(100); {
	case n < 50:
		return g.entry(dns.ClassINET, pick(g, ttlPool))
	case n < 54:
		return g.soa()
	case n < 64: // delete an RRset
		e := g.entry(dns.ClassANY, 0)
		e.Data = nil
		return e
	case n < 72: // delete a name
		return peertest.Entry{Owner: g.owner(), Type: dns.TypeANY, Class: dns.ClassANY}
	case n < 84: // delete one record
		return g.entry(dns.ClassNONE, 0)
	default: // delete one that is there
		if set := g.existing(dns.ClassNONE); len(set) > 0 {
			return pick(g, set)
		}
		return g.entry(dns.ClassNONE, 0)
	}
}

// soa adds a SOA that is to be taken, or one that is to be ignored.
func (g *generator) soa() peertest.Entry {
	e := peertest.Entry{Owner: g.mixCase(g.zone), Type: dns.TypeSOA, Class: dns.ClassINET, TTL: pick(g, []uint32{60, 300})}
	soa := &dns.SOA{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: "ns1.other.example.",
		Mbox: "admin.phones.example.", Serial: g.Uint32N(500), Refresh: 3600, Retry: 600, Expire: 86400, Minttl: 30 + g.Uint32N(3)}
	switch g.IntN(4) {
	case 0:
		e.Owner = "a." + g.zone
	case 1:
		g.serial += 1_000_000
		soa.Serial = g.serial
	case 2:
		e.Class, e.TTL = dns.ClassNONE, 0
	}
	e.Data = rdataOf(soa)
	return e
}

func (g *generator) prerequisite() []peertest.Entry {
	bare := func(class uint16, any bool) []peertest.Entry {
		e := g.entry(class, 0)
		if g.chance(0.5) && len(g.owners) > 0 {
			e = g.existing(class)[0]
		}
		e.Data = nil
		if any {
			e.Type = dns.TypeANY
		}
		return []peertest.Entry{e}
	}
	switch g.IntN(8) {
	case 0:
		return bare(dns.ClassANY, true)
	case 1:
		return bare(dns.ClassANY, false)
	case 2:
		return bare(dns.ClassNONE, true)
	case 3:
		return bare(dns.ClassNONE, false)
	case 4:
		return []peertest.Entry{g.entry(dns.ClassINET, 0)}
	case 5: // perhaps a proper subset, or the set and one more, or one record twice
		set := g.existing(dns.ClassINET)
		switch g.IntN(3) {
		case 0:
			if len(set) > 0 {
				set = set[:len(set)-1]
			}
		case 1:
			if len(set) > 0 {
				set = append(set, set[0])
			}
		default:
			set = append(set, g.entry(dns.ClassINET, 0))
		}
		return set
	default:
		return g.existing(dns.ClassINET)
	}
}

// breakRule puts one fault into the message.
func (g *generator) breakRule(m *message) {
	m.faulty = true
	bad := g.entry(dns.ClassINET, 60)
	switch g.IntN(14) {
	case 0:
		m.Zone[0].Type = dns.TypeA
	case 1:
		m.Zone = nil
	case 2:
		m.Zone[0].Owner = pick(g, []string{"unknown.example.", "a." + g.zone, "example."})
	case 3:
		bad.TTL, bad.Owner = 0, "elsewhere.example."
		m.Prerequisites = append(m.Prerequisites, bad)
	case 4:
		bad.Owner = "elsewhere.example."
		m.Updates = append(m.Updates, bad)
	case 5: // TTL in a prerequisite
		m.Prerequisites = append(m.Prerequisites, bad)
	case 6:
		bad.TTL, bad.Class = 0, dns.ClassCHAOS
		m.Prerequisites = append(m.Prerequisites, bad)
	case 7:
		bad.Class = dns.ClassCHAOS
		m.Updates = append(m.Updates, bad)
	case 8:
		bad.Type = pick(g, []uint16{dns.TypeANY, dns.TypeAXFR, dns.TypeIXFR})
		m.Updates = append(m.Updates, bad)
	case 9: // class NONE with a TTL, or with type ANY
		bad.Class = dns.ClassNONE
		if g.chance(0.5) {
			bad.TTL, bad.Type = 0, dns.TypeANY
		}
		m.Updates = append(m.Updates, bad)
	case 10: // class ANY with data
		bad.TTL, bad.Class = 0, dns.ClassANY
		m.Updates = append(m.Updates, bad)
	case 11:
		bad.TTL, bad.Class = 0, pick(g, []uint16{dns.ClassANY, dns.ClassNONE})
		m.Prerequisites = append(m.Prerequisites, bad)
	case 12: // data too short for its type
		bad.Type, bad.Data = dns.TypeA, []byte{192, 0, 2}
		m.Updates = append(m.Updates, bad)
	case 13: // class ANY with a TTL: Knot runs it (see deviations), so it names what never exists
		m.Updates = []peertest.Entry{{Owner: "never." + g.zone, Type: dns.TypeA, Class: dns.ClassANY, TTL: 60}}
	}
}

// sameValueTwice tells whether a value-dependent prerequisite repeats a record.
func sameValueTwice(prerequisites []peertest.Entry) bool {
	seen := map[string]bool{}
	for _, e := range prerequisites {
		if e.Class != dns.ClassINET {
			continue
		}
		k := setKey(e.Owner, e.Type) + " " + strings.ToLower(string(e.Data))
		if seen[k] {
			return true
		}
		seen[k] = true
	}
	return false
}

func typeOf(text string) uint16 {
	if t, ok := dns.StringToType[text]; ok {
		return t
	}
	switch text {
	case "TYPE65280":
		return 65280
	case "TYPE999":
		return 999
	}
	panic("no type " + text)
}

func mustRdata(t, text string) []byte {
	data, err := peertest.Rdata(t, text)
	if err != nil {
		panic(err)
	}
	return data
}

func rdataOf(r dns.RR) []byte {
	r = dns.Copy(r)
	r.Header().Name = "."
	buf := make([]byte, 65535)
	n, err := dns.PackRR(r, buf, 0, nil, false)
	if err != nil {
		panic(err)
	}
	return slices.Clone(buf[11:n])
}
