//go:build hard

package hard

import (
	"os"
	"testing"

	"dialtone/integration/peertest"
)

func TestMain(m *testing.M) {
	code := m.Run()
	peertest.Cleanup()
	os.Exit(code)
}
