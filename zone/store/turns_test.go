package store

import (
	"log/slog"
	"testing"
)

// TestCompactionsTakeTurns holds that Badger still says when a compaction has
// made a table, in the words that are looked for.
func TestCompactionsTakeTurns(t *testing.T) {
	s := openStore(t, Options{Dir: t.TempDir(), MemTable: 256 << 10, Logger: slog.New(slog.DiscardHandler)})
	z := openZone(t, s, apex)
	seed(t, z, 1, manySets(phones, 0)...)
	for serial := uint32(1); s.turns.tables.Load() == 0; serial++ {
		if serial == 50_000 {
			t.Fatalf("no word of a table after %d commits; %d tables", serial, len(s.tableIDs()))
		}
		commit(t, z, change(z, serial, serial+1, int(serial*37)%(phones-20), 20, int(serial)))
	}
}
