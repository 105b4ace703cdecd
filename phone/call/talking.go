package call

import (
	"context"
	"time"
)

// talking is a call after the answer.
type talking struct {
	media  *media
	stream *stream
	play   *Audio        // may be nil
	record *recording    // may be nil
	limit  time.Duration // 0: until play ends
	fault  func(error)
}

// until plays and listens until the dialog ends, ctx ends, or it has been enough.
// It tells whether the dialog ended, and leaves the media to be closed.
func (t *talking) until(ctx, dialog context.Context) (ended bool) {
	t.media.listen(t.stream, t.record, t.fault)
	enough, cancel := context.WithCancel(ctx)
	defer cancel()
	if t.limit > 0 {
		defer time.AfterFunc(t.limit, cancel).Stop()
	}
	played := make(chan struct{})
	go func() {
		defer close(played)
		if t.play != nil && t.stream.sends {
			if err := t.media.play(enough, t.stream, t.play); err != nil && enough.Err() == nil {
				t.fault(err)
			}
		}
		if t.limit == 0 {
			cancel()
		}
	}()
	select {
	case <-dialog.Done():
		ended = true
		cancel()
	case <-enough.Done():
	}
	<-played
	return ended
}
