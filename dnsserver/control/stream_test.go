package control

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// newStreamServer gives octets, and takes some and gives a list.
func newStreamServer() *Server {
	s := NewServer(slog.New(slog.DiscardHandler))
	HandleDownload(s, "octets", func(_ context.Context, _ Peer, in question, w io.Writer) error {
		for i := range in.N {
			if _, err := fmt.Fprintf(w, "%0999d\n", i); err != nil {
				return err
			}
		}
		switch in.Text {
		case "mistake":
			return Mistakef("say please")
		case "fault":
			return errTest
		}
		return nil
	})
	HandleUploadList(s, "words", 1000, func(_ context.Context, _ Peer, in question, body io.Reader) iter.Seq2[string, error] {
		return func(yield func(string, error) bool) {
			text, err := io.ReadAll(body)
			for word := range strings.FieldsSeq(string(text)) {
				if err != nil || !yield(in.Text+word, nil) {
					break
				}
			}
			if err != nil {
				yield("", err)
			}
		}
	})
	return s
}

// streams runs a test over the socket and in the same process.
func streams(t *testing.T, test func(t *testing.T, c *Client)) {
	t.Run("socket", func(t *testing.T) {
		dir := t.TempDir()
		l, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		s := newStreamServer()
		s.Serve(l)
		defer s.Close()
		c, err := Dial(t.Context(), dir)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		test(t, c)
	})
	t.Run("local", func(t *testing.T) {
		c := newStreamServer().Local(func() error { return nil })
		defer c.Close()
		test(t, c)
	})
}

func octetsOf(t *testing.T, c *Client, in question) ([]byte, error) {
	t.Helper()
	r, err := Download(t.Context(), c, "octets", in)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

func TestDownload(t *testing.T) {
	streams(t, func(t *testing.T, c *Client) {
		for _, n := range []int{0, 1, 5000} {
			var want bytes.Buffer
			for i := range n {
				fmt.Fprintf(&want, "%0999d\n", i)
			}
			got, err := octetsOf(t, c, question{N: n})
			if err != nil || !bytes.Equal(got, want.Bytes()) {
				t.Errorf("%d lines: %d octets of %d, %v", n, len(got), want.Len(), err)
			}
			// Errors are told before the octets and behind them.
			var m *Mistake
			if _, err := octetsOf(t, c, question{N: n, Text: "mistake"}); !errors.As(err, &m) || m.Text != "say please" {
				t.Errorf("%d lines: %v", n, err)
			}
			if _, err := octetsOf(t, c, question{N: n, Text: "fault"}); err == nil || err.Error() != errTest.Error() {
				t.Errorf("%d lines: %v", n, err)
			}
		}
	})
}

// A server that is gone in the middle is no end.
func TestDownloadThatIsCut(t *testing.T) {
	s := NewServer(slog.New(slog.DiscardHandler))
	HandleDownload(s, "octets", func(ctx context.Context, _ Peer, _ question, w io.Writer) error {
		if _, err := w.Write(make([]byte, 2*pieceOctets)); err != nil {
			return err
		}
		<-ctx.Done()
		_, err := w.Write(make([]byte, 2*pieceOctets))
		return err
	})
	dir := t.TempDir()
	l, err := Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(l)
	c, err := Dial(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	r, err := Download(t.Context(), c, "octets", question{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 2*pieceOctets)); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if n, err := r.Read(make([]byte, 1)); n > 0 || err == nil || err == io.EOF {
		t.Errorf("%d octets, %v", n, err)
	}
}

// Who takes nothing is cut off, and the request ends.
func TestDownloadThatNobodyTakes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(slog.New(slog.DiscardHandler))
		ended := make(chan error, 1)
		HandleDownload(s, "octets", func(_ context.Context, _ Peer, _ question, w io.Writer) error {
			for {
				if _, err := w.Write(make([]byte, 1000)); err != nil {
					ended <- err
					return err
				}
			}
		})
		l := &pipes{conns: make(chan net.Conn), closed: make(chan struct{})}
		s.Serve(l)
		c, err := l.dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		begun := time.Now()
		if _, err := io.WriteString(c, "POST /octets HTTP/1.1\r\nHost: dialtone\r\nContent-Length: 2\r\n\r\n{}"); err != nil {
			t.Fatal(err)
		}
		if err := <-ended; err == nil || time.Since(begun) > 2*patience {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		s.Close()
	})
}

func TestUploadList(t *testing.T) {
	streams(t, func(t *testing.T, c *Client) {
		var got []string
		for word, err := range UploadList[string](t.Context(), c, "words", question{Text: "-"}, strings.NewReader("a b  c")) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, word)
		}
		if strings.Join(got, " ") != "-a -b -c" {
			t.Errorf("%q", got)
		}
		last := error(nil)
		for _, err := range UploadList[string](t.Context(), c, "words", question{}, strings.NewReader(strings.Repeat("x ", 501))) {
			last = err
		}
		if last == nil || !strings.Contains(last.Error(), "too large") {
			t.Errorf("more than may be uploaded: %v", last)
		}
		for _, err := range UploadList[string](t.Context(), c, "nothing", question{}, strings.NewReader("")) {
			if err == nil || !strings.Contains(err.Error(), "does not know the request nothing") {
				t.Errorf("%v", err)
			}
		}
	})
}
