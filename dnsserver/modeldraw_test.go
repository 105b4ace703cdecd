package dnsserver

import (
	"fmt"
	"strings"

	"github.com/miekg/dns"
	"pgregory.net/rapid"
)

// modelOwners are few, so that updates meet; "out.other." is not in the zone.
var modelOwners = []string{"5551", "5552", "_sip._udp.5551", "x.5552", "host", "", "a.b.c"}

// modelData is what records can have.
var modelData = map[uint16][]string{
	dns.TypeA:     {"192.0.2.1", "192.0.2.2", "192.0.2.3"},
	dns.TypeTXT:   {`"a"`, `"b"`},
	dns.TypeCNAME: {"5551." + apex, "host." + apex},
	dns.TypeSRV:   {"0 0 5060 5551." + apex, "0 0 5061 x.5552." + apex},
	dns.TypeNS:    {"ns.other.example.", "ns2.other.example."},
}

// modelRecord is one of an update message. What has no data has none on the wire.
type modelRecord struct {
	owner string // with a final dot it is not in the zone
	typ   uint16
	class uint16
	ttl   uint32
	data  string
}

type modelUpdate struct {
	signer        string // a number, "shared.", or "" for none
	signed        int64
	lease         int64 // that is asked for, in seconds; -1: none
	prerequisites []modelRecord
	updates       []modelRecord
}

// updates draws updates. As one generator they show as one line of the script.
var updates = rapid.Custom(drawUpdate)

func drawUpdate(t *rapid.T) *modelUpdate {
	u := &modelUpdate{
		signer: rapid.SampledFrom([]string{"", "", "shared.", "5551", "5552"}).Draw(t, "signer"),
		lease:  rapid.SampledFrom([]int64{-1, -1, -1, 0, 1, 60, 600, 1 << 20}).Draw(t, "lease"),
	}
	for range rapid.SampledFrom([]int{0, 0, 1, 2}).Draw(t, "prerequisites") {
		u.prerequisites = append(u.prerequisites, drawRecord(t, u, true))
	}
	for range rapid.IntRange(1, 4).Draw(t, "updates") {
		u.updates = append(u.updates, drawRecord(t, u, false))
	}
	return u
}

func drawRecord(t *rapid.T, u *modelUpdate, prerequisite bool) modelRecord {
	owners := modelOwners
	if strings.HasPrefix(u.signer, "555") && rapid.IntRange(0, 9).Draw(t, "foreign") > 0 {
		owners = []string{u.signer, "x." + u.signer, "_sip._udp." + u.signer}
	} else if rapid.IntRange(0, 29).Draw(t, "outside") == 29 {
		owners = []string{"out.other."}
	}
	r := modelRecord{owner: rapid.SampledFrom(owners).Draw(t, "owner")}
	r.class = rapid.SampledFrom([]uint16{dns.ClassINET, dns.ClassINET, dns.ClassINET, dns.ClassANY, dns.ClassNONE}).Draw(t, "class")
	types := []uint16{dns.TypeA, dns.TypeA, dns.TypeTXT, dns.TypeCNAME, dns.TypeSRV}
	if r.owner == "" {
		types = append(types, dns.TypeNS)
	}
	if r.class == dns.ClassANY || prerequisite && r.class == dns.ClassNONE {
		types = append(types, dns.TypeANY, dns.TypeANY)
	}
	r.typ = rapid.SampledFrom(types).Draw(t, "type")
	if r.class == dns.ClassINET || r.class == dns.ClassNONE && !prerequisite {
		r.data = rapid.SampledFrom(modelData[r.typ]).Draw(t, "data")
	}
	if r.class == dns.ClassINET && !prerequisite {
		r.ttl = rapid.SampledFrom([]uint32{60, 600, 0}).Draw(t, "ttl")
	}
	switch rapid.IntRange(0, 59).Draw(t, "fault") { // of form
	case 58:
		r.class = dns.ClassCHAOS
	case 59:
		r.ttl = 60
	}
	return r
}

func (r modelRecord) rr() dns.RR {
	h := dns.RR_Header{Name: nameOf(r.owner), Rrtype: r.typ, Class: r.class, Ttl: r.ttl}
	if r.data == "" {
		return &dns.ANY{Hdr: h}
	}
	x, err := dns.NewRR(fmt.Sprintf("%s %d IN %s %s", h.Name, h.Ttl, dns.TypeToString[r.typ], r.data))
	if err != nil {
		panic(err)
	}
	x.Header().Class = r.class
	return x
}

// message gives the update as it is sent, but for its signature.
func (u *modelUpdate) message() *dns.Msg {
	m := new(dns.Msg).SetUpdate(apex)
	for _, r := range u.prerequisites {
		m.Answer = append(m.Answer, r.rr())
	}
	for _, r := range u.updates {
		m.Ns = append(m.Ns, r.rr())
	}
	if u.lease >= 0 {
		withLease(m, leaseData(uint32(u.lease)))
	}
	return m
}

// String shows it as a script would have it.
func (u *modelUpdate) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "update signed by %q, lease %d", u.signer, u.lease)
	for _, r := range u.prerequisites {
		fmt.Fprintf(&b, "\n  prerequisite %s", r.rr())
	}
	for _, r := range u.updates {
		fmt.Fprintf(&b, "\n  %s", r.rr())
	}
	return b.String()
}

// pack signs it, if it is to be signed.
func pack(t *rapid.T, u *modelUpdate) []byte {
	m := u.message()
	t.Logf("at %d %s", u.signed, u)
	if u.signer == "" {
		raw, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		return raw
	}
	m.SetTsig(nameOf(u.signer), dns.HmacSHA256, 300, u.signed)
	raw, _, err := dns.TsigGenerate(m, secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
