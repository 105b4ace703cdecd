//go:build hard

package hard

import (
	"math/rand/v2"
	"testing"
	"time"

	"dialtone/integration/linear"
)

// TestLinearizableAcrossManyKills is TestLinearizableAcrossKills of package integration with more kills and
// less time between them, half a dozen times.
func TestLinearizableAcrossManyKills(t *testing.T) {
	ops, made, unknown := 0, 0, 0
	for range 6 {
		server := start(t, "")
		h := linear.NewHistory()
		clients := linear.NewClients(h, linear.Options{Zone: phones + ".", Clients: 8, Seed: rand.Uint64()})
		for range 10 {
			err := clients.RunUntil([]string{server.Addr}, 20+rand.IntN(250), func() error { server.Kill(t); return nil })
			if err != nil {
				t.Fatal(err)
			}
			server.Restart(t)
		}
		o, m, u := h.Count()
		ops, made, unknown = ops+o, made+m, unknown+u
		if err := h.Check(3 * time.Minute); err != nil {
			t.Error(err)
		}
	}
	t.Logf("%d operations, %d updates made, %d cut off", ops, made, unknown)
	if made < 1000 || unknown < 100 {
		t.Errorf("%d updates made of %d operations, %d cut off: too few to judge", made, ops, unknown)
	}
}
