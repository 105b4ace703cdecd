package keys

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"time"

	"dialtone/dnsserver/control"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// Names of the requests.
const (
	RequestAdd    = "key/add"
	RequestRevoke = "key/revoke"
	RequestShow   = "key/show"
	RequestList   = "key/list"
	RequestImport = "key/import"
)

// Kind is where a number's key comes from.
type Kind string

// The kinds.
const (
	KindConfigured Kind = "configured" // in the configuration
	KindKept       Kind = "kept"       // in the store
	KindDerived    Kind = "derived"    // from the zone's seed
	KindBlocked    Kind = "blocked"    // there is none, and none is derived
	KindNone       Kind = "none"       // there is none, or none any more
)

// Info tells of a number's key.
type Info struct {
	Zone       string    `json:"zone"`
	Number     string    `json:"number"`
	Name       string    `json:"name"`
	Kind       Kind      `json:"kind"`
	Algorithm  string    `json:"algorithm,omitempty"`
	Generation uint32    `json:"generation,omitempty"`
	Changed    time.Time `json:"changed,omitzero"`  // when it was made, or the one before revoked
	Secret     []byte    `json:"secret,omitempty"`  // not in lists
	Derives    bool      `json:"derives,omitempty"` // the zone has a seed
}

// Add is the request to make a key.
type Add struct {
	Zone      string `json:"zone"`
	Number    string `json:"number"`
	Algorithm string `json:"algorithm"`
	Replace   bool   `json:"replace"` // also when there is a key
	Derived   bool   `json:"derived"` // go back to the derived key
}

// Revoke is the request to take a key away.
type Revoke struct {
	Zone   string `json:"zone"`
	Number string `json:"number"`
	Block  bool   `json:"block"` // and let no other be derived
}

// Show is the request for one key with its secret.
type Show struct {
	Zone   string `json:"zone"`
	Number string `json:"number"`
}

// List is the request for all keys but those that are derived at generation 1.
type List struct {
	Zone string `json:"zone"`
}

// Register adds the requests to a server.
func (b *Book) Register(s *control.Server) {
	control.Handle(s, RequestAdd, b.Add)
	control.Handle(s, RequestRevoke, b.Revoke)
	control.Handle(s, RequestShow, b.Show)
	control.HandleList(s, RequestList, b.List)
	control.HandleUpload(s, RequestImport, MaxImport, b.Import)
}

// find gives the number's state; configured is its key in the configuration, or
// nil.
func (b *Book) find(zone, number string) (s state, configured *tsig.Key, err error) {
	z, err := b.zone(zone)
	if err != nil {
		return s, nil, err
	}
	if !rr.IsNumber(number) {
		return s, nil, control.Mistakef("%q is not a number of 1 to %d digits", number, rr.MaxDigits)
	}
	if s, err = z.state(number); err != nil {
		return s, nil, err
	}
	if len(s.name()) > rr.MaxName {
		return s, nil, control.Mistakef("%s.%s is longer than a name can be", number, z.Apex)
	}
	if k, ok := b.inConfiguration(s.name()); ok {
		return s, &k, nil
	}
	return s, nil, nil
}

// changeable is find for what is about to be changed.
func (b *Book) changeable(zone, number string) (state, error) {
	s, configured, err := b.find(zone, number)
	switch {
	case err != nil:
	case configured != nil:
		err = control.Mistakef("the key of %s is in the configuration, which goes before all others: take %s out of keys and reload the server", number, configured.Name)
	case s.z.Store == nil:
		err = b.notStored(s.z)
	}
	return s, err
}

func (b *Book) notStored(z *Zone) error {
	return control.Mistakef("zone %s is not in the data directory %s yet, where keys are kept: start the server once, with dialtone serve", z.Apex, b.o.DataDir)
}

// Add makes a key.
func (b *Book) Add(_ context.Context, who control.Peer, in Add) (Info, error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	s, err := b.changeable(in.Zone, in.Number)
	if err != nil {
		return Info{}, err
	}
	next, detail := s.kept, "made"
	switch kind := s.kind(); {
	case in.Derived && s.z.Seed == nil:
		return Info{}, control.Mistakef("zone %s has no derived_keys: without --derived, a key is made that the server keeps", s.z.Apex)
	case in.Derived && kind == KindDerived:
		return Info{}, control.Mistakef("%s has its derived key: dialtone key show %s", in.Number, in.Number)
	case kind == KindKept && !in.Replace:
		return Info{}, control.Mistakef("%s has a key since %s: dialtone key show %s; or revoke that and make another with --replace", in.Number, s.kept.Created.Format(time.DateOnly), in.Number)
	case kind == KindDerived && !in.Replace:
		return Info{}, control.Mistakef("%s has a derived key: dialtone key show %s; or revoke that and make one that the server keeps with --replace", in.Number, in.Number)
	case kind == KindKept || kind == KindDerived:
		detail = "made in place of the one before, which was " + string(kind)
		if next, err = s.revoked(); err != nil {
			return Info{}, err
		}
	}
	next.Blocked, next.Secret, next.Algorithm = false, nil, 0
	if in.Derived {
		detail = fmt.Sprintf("derived again, at generation %d", next.Generation)
	} else if next.Algorithm, next.Secret, err = newSecret(in.Algorithm); err != nil {
		return Info{}, err
	}
	return b.change(&s, next, control.Entry{Action: "key add", Who: who, Detail: detail})
}

func newSecret(algorithm string) (uint8, []byte, error) {
	a := tsig.HMACSHA256
	if algorithm != "" {
		var err error
		if a, err = tsig.ParseAlgorithm(algorithm); err != nil {
			return 0, nil, control.Mistakef("--algorithm: %v", err)
		}
	}
	secret := make([]byte, a.Size()) // RFC 8945, section 8
	rand.Read(secret)                // never fails
	return uint8(a), secret, nil
}

// Revoke takes a key away, so that it does not verify any more when this
// returns. A derived key gives way to that of the next generation, which nobody
// has before it is shown.
func (b *Book) Revoke(_ context.Context, who control.Peer, in Revoke) (Info, error) {
	b.changing.Lock()
	defer b.changing.Unlock()
	s, err := b.changeable(in.Zone, in.Number)
	if err != nil {
		return Info{}, err
	}
	kind := s.kind()
	switch {
	case kind == KindBlocked:
		return Info{}, control.Mistakef("%s is blocked already: it has no key", in.Number)
	case kind == KindNone && !in.Block:
		return Info{}, control.Mistakef("%s has no key in %s", in.Number, s.z.Apex)
	}
	next, err := s.revoked()
	if err != nil {
		return Info{}, err
	}
	next.Blocked = in.Block
	detail := "it was " + string(kind)
	if in.Block {
		detail += "; blocked"
	}
	return b.change(&s, next, control.Entry{Action: "key revoke", Who: who, Detail: detail})
}

// change keeps next, notes it, and gives what there is then.
func (b *Book) change(s *state, next store.PhoneKey, e control.Entry) (Info, error) {
	next.Created = b.o.Now()
	err := s.z.Store.PutPhoneKeys(next)
	b.o.Changed(s.name()) // what is there may be next also after an error
	switch {
	case isBefore(err):
		return Info{}, fmt.Errorf("the key of %s is not changed: %w", s.number, err)
	case err != nil:
		return Info{}, fmt.Errorf("it is not known whether the key of %s was changed: %w; see dialtone key show %s", s.number, err, s.number)
	}
	s.kept, s.exists = next, true
	e.Zone, e.Number, e.Key = s.z.Apex.String(), s.number, s.name().String()
	if err := b.o.Audit(e); err != nil {
		return Info{}, fmt.Errorf("the key of %s is changed, but that could not be noted: %w", s.number, err)
	}
	return s.info(true)
}

// isBefore tells whether an error of the store came before anything was written.
func isBefore(err error) bool {
	return errors.Is(err, store.ErrFull) || errors.Is(err, store.ErrNotLoaded) || errors.Is(err, store.ErrClosed)
}

func (s *state) info(secret bool) (Info, error) {
	i := Info{
		Zone: s.z.Apex.String(), Number: s.number, Name: s.name().Lower().String(), Kind: s.kind(),
		Generation: s.kept.Generation, Derives: s.z.Seed != nil,
	}
	if s.exists {
		i.Changed = s.kept.Created.UTC()
	}
	k, ok, err := s.key()
	if ok {
		i.Algorithm = k.Algorithm.String()
		if secret {
			i.Secret = k.Secret
		}
	}
	return i, err
}

// Show gives a number's key with its secret.
func (b *Book) Show(_ context.Context, _ control.Peer, in Show) (Info, error) {
	s, configured, err := b.find(in.Zone, in.Number)
	if err != nil {
		return Info{}, err
	}
	if configured != nil {
		i := s.configured(configured)
		i.Secret = configured.Secret
		return i, nil
	}
	switch kind := s.kind(); {
	case kind == KindBlocked:
		return Info{}, control.Mistakef("%s is blocked since %s and has no key: dialtone key add %s gives it one", in.Number, s.kept.Created.Format(time.DateOnly), in.Number)
	case kind == KindNone && s.z.Store == nil:
		return Info{}, b.notStored(s.z)
	case kind == KindNone:
		return Info{}, control.Mistakef("%s has no key in %s: dialtone key add %s makes one", in.Number, s.z.Apex, in.Number)
	}
	return s.info(true)
}

func (s *state) configured(k *tsig.Key) Info {
	return Info{Zone: s.z.Apex.String(), Number: s.number, Name: k.Name.String(), Kind: KindConfigured, Algorithm: k.Algorithm.String(), Derives: s.z.Seed != nil}
}

// List gives the keys of a zone: those in the configuration, then what the
// store knows, by number.
func (b *Book) List(ctx context.Context, _ control.Peer, in List) iter.Seq2[Info, error] {
	return func(yield func(Info, error) bool) {
		z, err := b.zone(in.Zone)
		if err != nil {
			yield(Info{}, err)
			return
		}
		for _, k := range b.sources.Load().keys {
			if of, number := b.split(k.Name); of == z {
				s := state{z: z, number: number}
				if !yield(s.configured(&k), nil) {
					return
				}
			}
		}
		if z.Store == nil {
			return
		}
		for kept, err := range z.Store.PhoneKeys("") {
			s := state{z: z, number: kept.Number, kept: kept, exists: true}
			var i Info
			if err == nil {
				err = ctx.Err()
			}
			if err == nil {
				if _, ok := b.inConfiguration(s.name()); ok {
					continue
				}
				i, err = s.info(false)
			}
			if !yield(i, err) || err != nil {
				return
			}
		}
	}
}
