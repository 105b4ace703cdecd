package control

import (
	"context"
	"errors"
	"io"
	"iter"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What takes long to do is done to its end.
func TestAnswersTakeTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(slog.New(slog.DiscardHandler))
		wait := func(ctx context.Context) error {
			time.Sleep(2 * patience)
			return ctx.Err()
		}
		Handle(s, "call", func(ctx context.Context, who Peer, in question) (reply, error) {
			return reply{Text: in.Text}, wait(ctx)
		})
		HandleList(s, "list", func(ctx context.Context, _ Peer, in question) iter.Seq2[int, error] {
			return func(yield func(int, error) bool) {
				for i := range in.N {
					if !yield(i, wait(ctx)) {
						return
					}
				}
			}
		})
		HandleUpload(s, "upload", 1<<20, func(ctx context.Context, _ Peer, _ question, body io.Reader) (reply, error) {
			text, err := io.ReadAll(body)
			return reply{Text: string(text)}, errors.Join(err, wait(ctx))
		})
		c := s.Local(func() error { return nil })
		for range 2 {
			if r, err := Call[reply](t.Context(), c, "call", question{Text: "slow"}); err != nil || r.Text != "slow" {
				t.Errorf("call: %+v, %v", r, err)
			}
			n := 0
			for _, err := range List[int](t.Context(), c, "list", question{N: 3}) {
				if n++; err != nil {
					t.Errorf("list: %v", err)
				}
			}
			if r, err := Upload[reply](t.Context(), c, "upload", question{}, strings.NewReader("text")); err != nil || r.Text != "text" || n != 3 {
				t.Errorf("upload: %+v, %v; %d items", r, err, n)
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A peer that sends nothing is not waited for.
func TestUploadThatStalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(slog.New(slog.DiscardHandler))
		var fault error
		HandleUpload(s, "upload", 1<<20, func(_ context.Context, _ Peer, _ question, body io.Reader) (reply, error) {
			_, fault = io.ReadAll(body)
			return reply{}, fault
		})
		c := s.Local(func() error { return nil })
		r, w := io.Pipe()
		go w.Write([]byte("some"))
		begun := time.Now()
		if _, err := Upload[reply](t.Context(), c, "upload", question{}, r); err == nil || fault == nil {
			t.Errorf("the upload was taken: %v, %v", err, fault)
		}
		if took := time.Since(begun); took != patience {
			t.Errorf("it took %v", took)
		}
		w.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// A server that never answers is given up.
func TestCallThatIsNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(slog.New(slog.DiscardHandler))
		Handle(s, "hang", func(ctx context.Context, _ Peer, _ question) (reply, error) {
			<-ctx.Done()
			return reply{}, ctx.Err()
		})
		c := s.Local(func() error { return nil })
		if _, err := Call[reply](t.Context(), c, "hang", question{}); err == nil || !strings.Contains(err.Error(), "the data directory has not answered within 5m0s") {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := Call[reply](ctx, c, "hang", question{}); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}
