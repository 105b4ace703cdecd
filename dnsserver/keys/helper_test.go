package keys

import (
	"errors"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"time"

	"dialtone/dnsserver/control"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

var (
	apex  = rr.MustName("phones.example.")
	plain = rr.MustName("plain.example.")
	empty = rr.MustName("empty.example.")
	admin = control.Peer{UID: 7}
	start = time.Date(2026, 11, 26, 4, 0, 0, 0, time.UTC)
)

// desk is a Book on a store: phones.example. has a seed, plain.example. has
// none, empty.example. is not in the store.
type desk struct {
	*Book
	t       *testing.T
	store   *store.Store
	seed    *tsig.Seed
	changed []string
	audit   []control.Entry
	fail    error // of the audit log
	now     time.Time
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	s, err := store.Open(store.Options{Dir: t.TempDir(), MemTable: 1 << 20, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	d := &desk{t: t, store: s, now: start}
	if d.seed, err = tsig.NewSeed(make([]byte, 32)); err != nil {
		t.Fatal(err)
	}
	d.Book = New(Options{
		Configured: []tsig.Key{
			{Name: rr.MustName("admin.key."), Algorithm: tsig.HMACSHA256, Secret: []byte("admin")},
			{Name: rr.MustName("100.Phones.example."), Algorithm: tsig.HMACSHA512, Secret: []byte("configured")},
		},
		Changed: func(names ...rr.Name) {
			for _, name := range names {
				d.changed = append(d.changed, name.String())
			}
		},
		Audit: func(e control.Entry) error {
			d.audit = append(d.audit, e)
			return d.fail
		},
		Now: func() time.Time { return d.now }, DataDir: "DIR",
	})
	d.SetZones([]*Zone{{Apex: apex, Seed: d.seed, Store: d.zone(apex)}, {Apex: plain, Store: d.zone(plain)}, {Apex: empty, Seed: d.seed}})
	return d
}

func (d *desk) zone(apex rr.Name) *store.Zone {
	d.t.Helper()
	z, err := d.store.Zone(apex)
	if err == nil {
		err = z.Seed(1, func(func(store.OwnedRRset, error) bool) {})
	}
	if err != nil {
		d.t.Fatal(err)
	}
	return z
}

// works gives the secret that verifies for a name; "" when none does.
func (d *desk) works(name string) string {
	d.t.Helper()
	k, ok, err := d.Find(rr.MustName(name))
	if err != nil {
		d.t.Fatal(err)
	}
	if ok && !k.Name.EqualFold(rr.MustName(name)) {
		d.t.Errorf("%s: the key is named %s", name, k.Name)
	}
	return string(k.Secret)
}

func (d *desk) derived(number string, generation uint32) string {
	d.t.Helper()
	k, err := d.seed.Key(rr.MustName(number+".phones.example."), generation)
	if err != nil {
		d.t.Fatal(err)
	}
	return string(k.Secret)
}

func (d *desk) add(in Add) Info {
	d.t.Helper()
	i, err := d.Add(d.t.Context(), admin, in)
	if err != nil {
		d.t.Fatal(err)
	}
	return i
}

func (d *desk) revoke(in Revoke) Info {
	d.t.Helper()
	i, err := d.Revoke(d.t.Context(), admin, in)
	if err != nil {
		d.t.Fatal(err)
	}
	return i
}

// wantMistake wants an error that can be corrected and says so.
func wantMistake(t *testing.T, err error, want string) {
	t.Helper()
	var m *control.Mistake
	if !errors.As(err, &m) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a mistake with %q", err, want)
	}
}

func collect(t *testing.T, list iter.Seq2[Info, error]) (all []Info) {
	t.Helper()
	for i, err := range list {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, i)
	}
	return all
}
