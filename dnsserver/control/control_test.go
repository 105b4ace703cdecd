package control

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

type question struct {
	Text string `json:"text"`
	N    int    `json:"n"`
}

type reply struct {
	Text string `json:"text"`
	Who  Peer   `json:"who"`
}

var errTest = errors.New("the disk is full")

// newTestServer has one request of each kind; they fail as their question says.
func newTestServer() *Server {
	s := NewServer(slog.New(slog.DiscardHandler))
	failing := func(text string) error {
		switch text {
		case "mistake":
			return fmt.Errorf("asked: %w", Mistakef("say %s", "please"))
		case "fault":
			return errTest
		}
		return nil
	}
	Handle(s, "echo", func(_ context.Context, who Peer, in question) (reply, error) {
		return reply{in.Text, who}, failing(in.Text)
	})
	HandleList(s, "count", func(_ context.Context, _ Peer, in question) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			for i := range in.N {
				if !yield(i, nil) {
					return
				}
			}
			if err := failing(in.Text); err != nil {
				yield(0, err)
			}
		}
	})
	HandleUpload(s, "size", 1000, func(_ context.Context, _ Peer, in question, body io.Reader) (reply, error) {
		n, err := io.Copy(io.Discard, body)
		return reply{Text: fmt.Sprint(in.Text, n)}, errors.Join(err, failing(in.Text))
	})
	return s
}

// bothWays runs a test over the socket and in the same process.
func bothWays(t *testing.T, test func(t *testing.T, c *Client)) {
	t.Run("socket", func(t *testing.T) {
		dir := t.TempDir()
		l, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := newTestServer()
		s.Serve(l)
		defer s.Close()
		c, err := Dial(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		test(t, c)
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("local", func(t *testing.T) {
		closed := false
		c := newTestServer().Local(func() error { closed = true; return errTest })
		test(t, c)
		if err := c.Close(); !errors.Is(err, errTest) || !closed {
			t.Errorf("close: %v", err)
		}
	})
}

func TestCall(t *testing.T) {
	bothWays(t, func(t *testing.T, c *Client) {
		for range 3 {
			r, err := Call[reply](t.Context(), c, "echo", question{Text: "hello"})
			if err != nil || r.Text != "hello" || r.Who.UID != os.Getuid() {
				t.Fatalf("%+v, %v", r, err)
			}
		}
		var mistake *Mistake
		if _, err := Call[reply](t.Context(), c, "echo", question{Text: "mistake"}); !errors.As(err, &mistake) || err.Error() != "asked: say please" {
			t.Errorf("mistake: %v", err)
		}
		if _, err := Call[reply](t.Context(), c, "echo", question{Text: "fault"}); errors.As(err, &mistake) || err == nil || err.Error() != errTest.Error() {
			t.Errorf("fault: %v", err)
		}
		if _, err := Call[reply](t.Context(), c, "none", question{}); err == nil || !strings.Contains(err.Error(), "another version") {
			t.Errorf("unknown request: %v", err)
		}
		if _, err := Call[reply](t.Context(), c, "echo", 7); !errors.As(err, &mistake) || !strings.Contains(err.Error(), "does not parse") {
			t.Errorf("bad request: %v", err)
		}
		if _, err := Call[reply](t.Context(), c, "echo", question{Text: strings.Repeat("x", maxRequest)}); !errors.As(err, &mistake) {
			t.Errorf("large request: %v", err)
		}
	})
}

func TestList(t *testing.T) {
	bothWays(t, func(t *testing.T, c *Client) {
		const n = 10_000
		next := 0
		for i, err := range List[int](t.Context(), c, "count", question{N: n}) {
			if err != nil || i != next {
				t.Fatalf("%d, %v; want %d", i, err, next)
			}
			next++
		}
		if next != n {
			t.Errorf("%d items", next)
		}
		for range List[int](t.Context(), c, "count", question{N: n}) {
			break // who has enough may leave
		}
		for text, want := range map[string]bool{"mistake": true, "fault": false} {
			var got []int
			var last error
			for i, err := range List[int](t.Context(), c, "count", question{N: 3, Text: text}) {
				if last = err; err == nil {
					got = append(got, i)
				}
			}
			var mistake *Mistake
			if !slices.Equal(got, []int{0, 1, 2}) || last == nil || errors.As(last, &mistake) != want {
				t.Errorf("%s: %v, %v", text, got, last)
			}
		}
	})
}

func TestUpload(t *testing.T) {
	bothWays(t, func(t *testing.T, c *Client) {
		r, err := Upload[reply](t.Context(), c, "size", question{Text: "a&b=c "}, strings.NewReader(strings.Repeat("x", 1000)))
		if err != nil || r.Text != "a&b=c 1000" {
			t.Errorf("%+v, %v", r, err)
		}
		if _, err := Upload[reply](t.Context(), c, "size", question{}, strings.NewReader(strings.Repeat("x", 1001))); err == nil {
			t.Error("more than the limit was taken")
		}
		var mistake *Mistake
		if _, err := Upload[reply](t.Context(), c, "size", question{Text: "mistake"}, strings.NewReader("x")); !errors.As(err, &mistake) {
			t.Errorf("mistake: %v", err)
		}
	})
}

// A server that dies in the middle of a list must not look like one that has
// come to its end.
func TestListThatBreaksOff(t *testing.T) {
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer()
	HandleList(s, "die", func(context.Context, Peer, question) iter.Seq2[int, error] {
		return func(yield func(int, error) bool) {
			yield(1, nil)
			panic(http.ErrAbortHandler)
		}
	})
	s.Serve(l)
	defer s.Close()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	var last error
	for _, err := range List[int](t.Context(), c, "die", question{}) {
		last = err
	}
	if last == nil {
		t.Error("no error")
	}
}

func TestCloseWaitsForRequests(t *testing.T) {
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s := newTestServer()
	begun, over := make(chan struct{}), false
	Handle(s, "wait", func(ctx context.Context, _ Peer, _ question) (reply, error) {
		close(begun)
		<-ctx.Done() // Close ends it
		over = true
		return reply{}, Mistakef("stopped")
	})
	s.Serve(l)
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() {
		_, err := Call[reply](context.Background(), c, "wait", question{})
		done <- err
	}()
	<-begun
	s.Close()
	if !over {
		t.Error("Close returned before the request ended")
	}
	if err := <-done; err == nil {
		t.Error("no error for the request")
	}
	if _, err := os.Lstat(filepath.Join(dir, SocketName)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket is left: %v", err)
	}
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNoServer) {
		t.Errorf("dial after the end: %v", err)
	}
	s.Close() // a second time is no fault
}

func TestSocketIsForItsUserAlone(t *testing.T) {
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	fi, err := os.Lstat(filepath.Join(dir, SocketName))
	if err != nil || fi.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("mode %v, %v", fi.Mode(), err)
	}
	for uid, want := range map[int]bool{0: true, os.Getuid(): true, os.Getuid() + 1: false, 65534: false} {
		if got := allowed(Peer{uid}); got != want {
			t.Errorf("user %d: %v", uid, got)
		}
	}
}

func TestStaleSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, SocketName)
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Net: "unix", Name: path})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false) // as a crash does
	stale.Close()
	if _, err := Dial(t.Context(), dir); !errors.Is(err, ErrNoServer) {
		t.Errorf("dial of a stale socket: %v", err)
	}
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Listen(dir); err == nil || !strings.Contains(err.Error(), "is no socket: remove it") {
		t.Errorf("a file in place of the socket: %v", err)
	}
	if _, err := Listen(filepath.Join(dir, "none")); err == nil {
		t.Error("listen in no directory")
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	most, now := 0, 0
	full := make(chan struct{})
	s := NewServer(slog.New(slog.DiscardHandler))
	Handle(s, "hold", func(_ context.Context, _ Peer, _ question) (reply, error) {
		mu.Lock()
		now++
		if most = max(most, now); now == maxConnections {
			close(full)
		}
		mu.Unlock()
		<-full
		mu.Lock()
		defer mu.Unlock()
		now--
		return reply{}, nil
	})
	s.Serve(l)
	defer s.Close()
	var wg sync.WaitGroup
	for range maxConnections + 4 {
		wg.Go(func() {
			c, err := Dial(t.Context(), dir)
			if err != nil {
				t.Error(err)
				return
			}
			defer c.Close()
			if _, err := Call[reply](t.Context(), c, "hold", question{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if most != maxConnections {
		t.Errorf("%d requests at a time", most)
	}
}

// A server that hangs is named, and not waited for.
func TestServerThatHangs(t *testing.T) {
	dir := t.TempDir()
	l, err := Listen(dir) // nobody accepts
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if c.callTime != callTime {
		t.Errorf("it waits for %s", c.callTime)
	}
	c.callTime = time.Millisecond
	if _, err := Call[reply](t.Context(), c, "echo", question{}); err == nil || !strings.HasPrefix(err.Error(), "the server on "+dir+" does not answer, for 30s: ") {
		t.Errorf("%v", err)
	}
}
