package integration

import (
	"os"
	"testing"

	"dialtone/integration/peertest"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(resolveVariable); name != "" {
		os.Exit(resolveOnly(name))
	}
	code := m.Run()
	peertest.Cleanup()
	os.Exit(code)
}
