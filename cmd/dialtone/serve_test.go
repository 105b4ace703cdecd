package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestServeWarnsOfADirectoryThatAllMayRead(t *testing.T) {
	for mode, want := range map[os.FileMode]int{0: 0, 0o700: 0, 0o750: 0, 0o751: 1, 0o755: 1} { // 0: it is not there yet
		dir := t.TempDir()
		if data := filepath.Join(dir, "dialtone-data"); mode != 0 {
			if err := os.Mkdir(data, 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(data, mode); err != nil { // whatever the umask is
				t.Fatal(err)
			}
		}
		s := start(t, dir, []string{"DIALTONE_LISTEN=127.0.0.1:0"}, "serve")
		s.readUntil(t, "Ctrl-C")
		s.stop(t, syscall.SIGTERM)
		const warning = `level=WARN msg="everybody on this machine may read the keys in ./dialtone-data: take the permission away with chmod o= ./dialtone-data" op=config`
		if got := strings.Count(s.stderr.String(), warning); got != want {
			t.Errorf("mode %v: %d warnings, want %d:\n%s", mode, got, want, s.stderr)
		}
	}
}
