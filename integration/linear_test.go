package integration

import (
	"math/rand/v2"
	"testing"
	"time"

	"dialtone/integration/linear"
	"dialtone/integration/peertest"
)

// linearConfig listens on two addresses, so that clients come through several sockets.
const linearConfig = `
listen: ["127.0.0.1:PORT", "127.0.0.2:PORT"]
data_dir: DIR/data
keys:
  - {name: admin.key., algorithm: hmac-sha256, secret: b8jnkvdkr8hC9ZzDbsgKbpiCMKxHkB/1Hd08kbpQ0Uo=}
zones:
  - name: phones.example.
    file: DIR/zone.db
    acl:
      - {key: admin.key., action: update}
      - {address: 127.0.0.0/8, action: [update, transfer]}
`

// TestLinearizableAcrossKills kills the server in the middle of what clients do at once, and starts it again. All that they
// saw, before and after, must be explained by one order of their operations.
func TestLinearizableAcrossKills(t *testing.T) {
	server := peertest.Dialtone(t, phones, linearConfig, map[string]string{"zone.db": phonesFile})
	addrs := []string{server.Addr, "127.0.0.2" + server.Addr[len("127.0.0.1"):]}
	h := linear.NewHistory()
	seed := env(t, "DIALTONE_TEST_SEED", rand.Uint64N(1<<32))
	clients := linear.NewClients(h, linear.Options{Zone: phones, KeyName: adminKey.Name, Secret: adminKey.Secret, Clients: 8, Seed: seed})
	for range 4 {
		err := clients.RunUntil(addrs, 250, func() error { server.Kill(t); return nil })
		if err != nil {
			t.Fatal(err)
		}
		server.Restart(t)
	}
	ops, made, unknown := h.Count()
	t.Logf("%d operations, %d updates made, %d cut off", ops, made, unknown)
	if made < 100 || unknown == 0 {
		t.Errorf("%d updates made of %d operations, %d cut off: too few to judge", made, ops, unknown)
	}
	if err := h.Check(time.Minute); err != nil {
		t.Errorf("DIALTONE_TEST_SEED=%d: %v", seed, err)
	}
}
