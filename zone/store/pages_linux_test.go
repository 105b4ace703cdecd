package store

import (
	"os"
	"strings"
	"testing"
)

// mappedIn gives what is mapped in of the tables in dir, in KiB.
func mappedIn(t *testing.T, dir string) (kib int) {
	t.Helper()
	text, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	table := false
	for line := range strings.Lines(string(text)) {
		switch f := strings.Fields(line); {
		case strings.Contains(f[0], "-"): // a mapping's own line
			table = strings.Contains(line, dir+"/") && strings.HasSuffix(f[len(f)-1], ".sst")
		case table && f[0] == "Rss:":
			n := 0
			for _, c := range f[1] {
				n = 10*n + int(c-'0')
			}
			kib += n
		}
	}
	return kib
}

// TestPagesOfTablesAreLetGo reads a zone whose tables have been written, which
// maps them in, and lets go.
func TestPagesOfTablesAreLetGo(t *testing.T) {
	s := openStore(t, testOptions(t.TempDir()))
	z := openZone(t, s, apex)
	sets := manySets(30_000, 1)
	seed(t, z, 1, sets...)
	s = reopen(t, s) // moves all to tables
	z = openZone(t, s, apex)
	wantContent(t, z, contentOf(append(sets, soaSet(1))...)) // All lets go itself
	dir := s.o.Dir
	if kib := mappedIn(t, dir); kib > 0 {
		t.Errorf("%d KiB are still mapped in", kib)
	}
	keys(t, s)
	if mappedIn(t, dir) == 0 {
		t.Fatal("reading maps nothing in: this test tests nothing")
	}
	s.releasePages()
	if s.releasePages() {
		t.Error("it goes on although no table came or went")
	}
	if kib := mappedIn(t, dir); kib > 0 {
		t.Errorf("%d KiB are still mapped in", kib)
	}
	wantContent(t, z, contentOf(append(sets, soaSet(1))...))
}
