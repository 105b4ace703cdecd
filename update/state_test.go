package update

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// memory is a State for tests: a map, which counts what is set.
type memory struct {
	apex rr.Name
	sets map[string][]rr.RRset // by lower-case owner, ascending types
	log  []string              // one line for each Set

	withdrew bool

	now     int64
	numbers map[string]rr.Registration
	signers map[rr.Name]rr.Signer
}

func newMemory(t testing.TB, apex, text string) *memory {
	t.Helper()
	m := &memory{
		apex: rr.MustName(apex), sets: map[string][]rr.RRset{}, now: 1_800_000_000_000,
		numbers: map[string]rr.Registration{}, signers: map[rr.Name]rr.Signer{},
	}
	zp := dns.NewZoneParser(strings.NewReader(text), apex, "")
	zp.SetDefaultTTL(300)
	for x, ok := zp.Next(); ok; x, ok = zp.Next() {
		r, err := rr.FromMiekg(x)
		if err != nil {
			t.Fatal(err)
		}
		s, _ := m.RRset(r.Owner, r.Type)
		m.Set(r.Owner, rr.RRset{Type: r.Type, TTL: r.TTL, Data: append(slices.Clone(s.Data), r.Data)})
	}
	if err := zp.Err(); err != nil {
		t.Fatal(err)
	}
	m.log = nil
	return m
}

func (m *memory) Apex() rr.Name { return m.apex }

func (m *memory) RRset(owner rr.Name, t uint16) (rr.RRset, bool) {
	for _, s := range m.RRsets(owner) {
		if s.Type == t {
			return s, true
		}
	}
	return rr.RRset{}, false
}

func (m *memory) RRsets(owner rr.Name) []rr.RRset { return m.sets[string(owner.Lower())] }

func (m *memory) Set(owner rr.Name, set rr.RRset) {
	m.log = append(m.log, fmt.Sprintf("%s %s", owner, rr.TypeString(set.Type)))
	key := string(owner.Lower())
	sets := slices.DeleteFunc(slices.Clone(m.sets[key]), func(s rr.RRset) bool { return s.Type == set.Type })
	if len(set.Data) > 0 {
		sets = append(sets, set)
	}
	slices.SortFunc(sets, func(a, b rr.RRset) int { return int(a.Type) - int(b.Type) })
	m.sets[key] = sets
	if len(sets) == 0 {
		delete(m.sets, key)
	}
}

func (m *memory) Now() int64 { return m.now }

func (m *memory) Registration(number string) rr.Registration {
	r := m.numbers[number]
	r.Number = number
	return r
}

func (m *memory) Hold(r rr.Registration) {
	if m.numbers[r.Number] = r; r.SaysNothing() {
		delete(m.numbers, r.Number)
	}
}

func (m *memory) Stored(number string) (rr.Registration, error) { return m.Registration(number), nil }

func (m *memory) IsEmpty(number string) bool {
	for owner := range m.sets {
		if rr.Name(owner).TopLabel(m.apex) == number {
			return false
		}
	}
	return true
}

func (m *memory) CountBelow(number string) (n int, err error) {
	for owner := range m.sets {
		if o := rr.Name(owner); o.TopLabel(m.apex) == number && !o.EqualFold(rr.NumberName(number, m.apex)) {
			n++
		}
	}
	return n, nil
}

// forgetEmpty is what a zone does after each op.
func (m *memory) forgetEmpty() {
	for number, r := range m.numbers {
		if m.IsEmpty(number) {
			r.Lease, r.KeyLease = 0, 0
		}
		if _, ok := m.RRset(rr.NumberName(number, m.apex), dns.TypeKEY); !ok {
			r.KeyLease = 0
		}
		m.Hold(r)
	}
}

func (m *memory) Withdraw(number string, keyToo bool) {
	log := m.log // it is not Evaluate that sets
	defer func() { m.log, m.withdrew = log, true }()
	for owner, sets := range m.sets {
		if rr.Name(owner).TopLabel(m.apex) != number {
			continue
		}
		for _, set := range sets {
			if keyToo || set.Type != dns.TypeKEY {
				m.Set(rr.Name(owner), rr.RRset{Type: set.Type})
			}
		}
	}
	r := m.Registration(number)
	if r.Lease = 0; keyToo {
		r.KeyLease = 0
	}
	m.Hold(r)
}

func (m *memory) Signer(key rr.Name) rr.Signer {
	x := m.signers[key.Lower()]
	x.Key = key.Lower()
	return x
}

func (m *memory) SetSigner(x rr.Signer) { m.signers[x.Key] = x }

// held gives what is held beside records, in order, times from now on.
func (m *memory) held() (lines []string) {
	left := func(ms int64) string {
		if ms == 0 {
			return "-"
		}
		return fmt.Sprint((ms-m.now)/1000, "s")
	}
	for _, number := range slices.Sorted(maps.Keys(m.numbers)) {
		r := m.numbers[number]
		lines = append(lines, fmt.Sprintf("; %s lease %s key %s signed %d by %q from %s", number, left(r.Lease), left(r.KeyLease), r.Signed, r.Key.String(), r.From))
	}
	for _, key := range slices.Sorted(maps.Keys(m.signers)) {
		lines = append(lines, fmt.Sprintf("; %s signed %d", key, m.signers[key].Signed))
	}
	return lines
}

// dump gives the records in canonical order, with names relative to the apex
// where that is shorter.
func (m *memory) dump() []string {
	owners := make([]rr.Name, 0, len(m.sets))
	for o := range m.sets {
		owners = append(owners, rr.Name(o))
	}
	slices.SortFunc(owners, rr.Name.Compare)
	var lines []string
	for _, o := range owners {
		for _, s := range m.sets[string(o)] {
			var set []string
			for _, d := range s.Data {
				line := rr.RR{Owner: o, Type: s.Type, TTL: s.TTL, Data: d}.String()
				set = append(set, strings.Join(strings.Fields(line), " "))
			}
			slices.Sort(set)
			lines = append(lines, set...)
		}
	}
	return lines
}

// check returns which invariant of the package comment is broken.
func (m *memory) check() error {
	soa, _ := m.RRset(m.apex, dns.TypeSOA)
	if len(soa.Data) != 1 {
		return fmt.Errorf("apex has %d SOA records", len(soa.Data))
	}
	if ns, _ := m.RRset(m.apex, dns.TypeNS); len(ns.Data) == 0 {
		return fmt.Errorf("apex has no NS record")
	}
	for owner, sets := range m.sets {
		if !rr.Name(owner).IsBelowOrEqual(m.apex) {
			return fmt.Errorf("%s is outside of the zone", rr.Name(owner))
		}
		if err := checkNode(sets); err != nil {
			return fmt.Errorf("%s: %w", rr.Name(owner), err)
		}
	}
	return nil
}

func checkNode(sets []rr.RRset) error {
	cname, others := false, 0
	for _, s := range sets {
		switch {
		case s.Type == dns.TypeCNAME:
			cname = true
		case !besideCNAME(s.Type):
			others++
		}
		if isSingleton(s.Type) && len(s.Data) != 1 {
			return fmt.Errorf("%d records of %s", len(s.Data), rr.TypeString(s.Type))
		}
		if rr.IsMetaType(s.Type) || s.Type == dns.TypeNone {
			return fmt.Errorf("meta type %s", rr.TypeString(s.Type))
		}
		if s.TTL > 1<<31-1 {
			return fmt.Errorf("TTL %d", s.TTL)
		}
		seen := map[string]bool{}
		for _, d := range s.Data {
			if c := rr.CanonicalData(s.Type, d); seen[c] {
				return fmt.Errorf("%s twice", rr.TypeString(s.Type))
			} else {
				seen[c] = true
			}
			if err := rr.ValidateData(s.Type, d); err != nil {
				return err
			}
		}
	}
	if cname && others > 0 {
		return fmt.Errorf("CNAME and other data")
	}
	return nil
}
