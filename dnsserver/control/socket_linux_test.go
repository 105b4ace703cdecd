package control

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The path of a socket has 108 octets at most, that of a directory 4096.
func TestSocketInADirectoryWithALongPath(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("a", 200), strings.Repeat("b", 100))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer()
	s.Serve(l)
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := Call[reply](t.Context(), c, "echo", question{Text: "far"}); err != nil || r.Text != "far" {
		t.Errorf("%+v, %v", r, err)
	}
	s.Close()
	if _, err := os.Lstat(filepath.Join(dir, SocketName)); err == nil {
		t.Error("the socket is left")
	}
	if l, err = Listen(dir); err != nil {
		t.Fatal(err)
	}
	l.Close()
}
