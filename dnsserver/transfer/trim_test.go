package transfer

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/zone/store"
	"dialtone/zone/zonetest"

	"dialtone/zone"
	"dialtone/zone/rr"
)

// TestJournalTrimmedUnderATransfer has the whole journal dropped while an IXFR reads it, at each place where the transfer lets others run: from the
// first chunk of the journal to the last message. What comes is the difference all the same, for it is of one moment; the next one gets the whole zone.
func TestJournalTrimmedUnderATransfer(t *testing.T) {
	text := smallZone
	for i := range 2000 { // more than the difference
		text += fmt.Sprintf("pad%d 60 IN TXT \"%s\"\n", i, strings.Repeat("p", 100))
	}
	for _, at := range []int{0, 3, 7} {
		db, err := store.Open(store.Options{Dir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = db.Close() })
		kept, err := db.Zone(rr.MustName(apex))
		if err != nil {
			t.Fatal(err)
		}
		if err := kept.Seed(10, func(yield func(store.OwnedRRset, error) bool) {
			for _, s := range zonetest.Parse(t, apex, text) {
				if !yield(s, nil) {
					return
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		z := zonetest.OpenWith(t, apex, text, func(o *zone.Options) { o.Store = kept })
		old := zonetest.Read(z)
		// Of some chunks that are read at a time; the difference is less than the zone is.
		for i := range 900 {
			put(t, z, fmt.Sprintf("n%d 60 IN TXT \"%s\"\n", i%300, strings.Repeat(fmt.Sprint((i+i/300)%10), 200)))
		}
		want := zonetest.Read(z)
		runs := 0
		s := testServer(func(o *Options) {
			o.Yield = func() {
				if runs++; runs != at+1 {
					return
				}
				if err := kept.Trim(time.Now(), 0, 1); err != nil {
					t.Error(err)
				}
			}
		})
		a := serve(t, s, ask(t, ixfr(10), true), z)
		if a.stats.Style != Incremental || runs <= at {
			t.Fatalf("trimmed at %d of %d: style %v", at, runs, a.stats.Style)
		}
		if got := apply(t, old, a); !slices.Equal(got, want) {
			t.Errorf("trimmed at %d: the difference leads elsewhere", at)
		}
		if a := serve(t, s, ask(t, ixfr(10), true), z); a.stats.Style != Full {
			t.Errorf("after the trim: style %v", a.stats.Style)
		}
	}
}
