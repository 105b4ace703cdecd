package keys

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/dnsserver/control"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// Zone is what a zone's keys come from.
type Zone struct {
	Apex  rr.Name
	Seed  *tsig.Seed  // nil: no keys are derived
	Store *store.Zone // nil: the store does not hold the zone yet
}

// Options of New.
type Options struct {
	// Configured are the keys in the configuration.
	Configured []tsig.Key
	// Changed is called after the keys of these names have changed, and before that
	// is told to anybody.
	Changed func(names ...rr.Name)
	// Audit notes what was done.
	Audit func(control.Entry) error
	Now   func() time.Time
	// DataDir is the data directory, for messages.
	DataDir string
}

// Book finds and changes keys. Its methods may be called by any goroutine.
type Book struct {
	Counters Counters

	o        Options
	sources  atomic.Pointer[sources]
	changing sync.Mutex // orders what reads a key and then writes it
}

// sources are where keys come from. They are never changed, but replaced.
type sources struct {
	zones      []*Zone
	byApex     map[rr.Name]*Zone // in lower case
	keys       []tsig.Key
	configured map[rr.Name]tsig.Key // keys by name in lower case
}

// Counters count what Find found.
type Counters struct{ Kept, Derived, Unknown, Failed atomic.Uint64 }

// New makes a Book without zones.
func New(o Options) *Book {
	b := &Book{o: o}
	b.Set(o.Configured, nil)
	return b
}

// SetZones gives the Book other zones.
func (b *Book) SetZones(zones []*Zone) { b.Set(b.sources.Load().keys, zones) }

// Set gives the Book other keys of the configuration and other zones.
func (b *Book) Set(configured []tsig.Key, zones []*Zone) {
	s := &sources{zones: zones, byApex: map[rr.Name]*Zone{}, keys: configured, configured: map[rr.Name]tsig.Key{}}
	for _, k := range configured {
		s.configured[k.Name.Lower()] = k
	}
	for _, z := range zones {
		s.byApex[z.Apex.Lower()] = z
	}
	b.sources.Store(s)
}

// inConfiguration gives the key of a name in the configuration.
func (b *Book) inConfiguration(name rr.Name) (tsig.Key, bool) {
	k, ok := b.sources.Load().configured[name.Lower()]
	return k, ok
}

// Find is a tsig.Lookup: it does not look into the configuration.
func (b *Book) Find(name rr.Name) (k tsig.Key, ok bool, err error) {
	z, number := b.split(name)
	if z == nil {
		b.Counters.Unknown.Add(1)
		return k, false, nil
	}
	s, err := z.state(number)
	if err == nil {
		k, ok, err = s.key()
	}
	switch {
	case err != nil:
		b.Counters.Failed.Add(1)
	case !ok:
		b.Counters.Unknown.Add(1)
	case len(s.kept.Secret) > 0:
		b.Counters.Kept.Add(1)
	default:
		b.Counters.Derived.Add(1)
	}
	return k, ok, err
}

// split finds zone and number of a key's name; nil when it is that of no number
// in any zone.
func (b *Book) split(name rr.Name) (*Zone, string) {
	if len(name) < 2 || len(name) <= int(name[0]) || !rr.IsNumber(string(name[1:1+name[0]])) {
		return nil, ""
	}
	return b.sources.Load().byApex[name.Parent().Lower()], string(name[1 : 1+name[0]])
}

// state is what decides about a number's key beside the configuration.
type state struct {
	z      *Zone
	number string
	kept   store.PhoneKey // of generation 1 when there is none
	exists bool           // kept is in the store
}

func (z *Zone) state(number string) (s state, err error) {
	s = state{z: z, number: number, kept: store.PhoneKey{Number: number, Generation: 1}}
	if z.Store == nil {
		return s, nil
	}
	kept, ok, err := z.Store.PhoneKey(number)
	if ok {
		s.kept, s.exists = kept, true
	}
	return s, err
}

func (s *state) name() rr.Name { return rr.NumberName(s.number, s.z.Apex) }

// key is the key that works.
func (s *state) key() (k tsig.Key, ok bool, err error) {
	switch s.kind() {
	case KindKept:
		return tsig.Key{Name: s.name().Lower(), Algorithm: tsig.Algorithm(s.kept.Algorithm), Secret: s.kept.Secret}, true, nil
	case KindDerived:
		k, err = s.z.Seed.Key(s.name().Lower(), s.kept.Generation)
		return k, err == nil, err
	}
	return k, false, nil
}

func (s *state) kind() Kind {
	switch {
	case s.kept.Blocked:
		return KindBlocked
	case len(s.kept.Secret) > 0:
		return KindKept
	case s.z.Seed != nil:
		return KindDerived
	}
	return KindNone
}

// zone finds the zone that a request names; "" is the only one that there is.
func (b *Book) zone(text string) (*Zone, error) {
	is := b.sources.Load()
	if text == "" {
		if len(is.zones) == 1 {
			return is.zones[0], nil
		}
		return nil, control.Mistakef("--zone is missing: there are %s", is.zoneNames())
	}
	apex, err := rr.ParseName(text)
	if err != nil {
		return nil, control.Mistakef("--zone: %v", err)
	}
	if z := is.byApex[apex.Lower()]; z != nil {
		return z, nil
	}
	return nil, control.Mistakef("--zone %s: there is no such zone, only %s", apex, is.zoneNames())
}

func (s *sources) zoneNames() string {
	names := make([]string, len(s.zones))
	for i, z := range s.zones {
		names[i] = z.Apex.String()
	}
	slices.Sort(names)
	if more := len(names) - 10; more > 0 {
		names = append(names[:10], "others")
	}
	return strings.Join(names, " ")
}

// HasSecret tells whether a number's name has a key that is configured, kept or
// blocked: then nobody can claim the number with a key of his own. One that could
// be derived is none before it is used.
func (b *Book) HasSecret(name rr.Name) bool {
	z, number := b.split(name)
	if z == nil {
		return false
	}
	s, configured, err := b.find(z.Apex.String(), number)
	if err != nil || configured != nil {
		return true // not known is not free
	}
	kind := s.kind()
	return kind == KindKept || kind == KindBlocked
}

// IsBlocked tells whether a number's name is kept without a secret.
func (b *Book) IsBlocked(name rr.Name) bool {
	z, number := b.split(name)
	if z == nil {
		return false
	}
	s, configured, err := b.find(z.Apex.String(), number)
	return err == nil && configured == nil && s.kind() == KindBlocked
}
