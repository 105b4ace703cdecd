package call

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/pion/rtp"
)

// budget is the octets of sound that may still be recorded, by all calls together.
type budget struct{ left atomic.Int64 }

func newBudget(octets int64) *budget {
	b := new(budget)
	b.left.Store(octets)
	return b
}

func (b *budget) take(octets int64) bool {
	if b.left.Add(-octets) >= 0 {
		return true
	}
	b.left.Add(octets)
	return false
}

var errRecordLimit = errors.New("the limit of recordings is reached: nothing more is recorded")

// recording is a WAV file in which each packet has its place by its timestamp, so
// that what comes late or twice does no harm, and what is lost is silence. The
// file is made when there is something to record.
type recording struct {
	name   string
	budget *budget
	opened func(file string) // is told the name that it got

	file  *os.File
	begun time.Time
	ssrc  uint32
	last  uint32 // timestamp of the packet whose place is at
	at    int64  // in samples
	end   int64  // samples that the file has
	saved int64  // samples that its header tells of

	failed error // why it ended early; for who has closed the media
}

// CheckRecording tells, before there is a call, whether recordings of that name
// can be made: it makes a file beside them and takes it away.
func CheckRecording(name string) error {
	if fi, err := os.Stat(name); strings.HasSuffix(name, string(filepath.Separator)) || err == nil && fi.IsDir() {
		return fmt.Errorf("recording %s: it is a directory: name a file in it", name)
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".recording-*")
	if err != nil {
		var path *fs.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fmt.Errorf("recording %s: no file can be made in %s: %w", name, filepath.Dir(name), err)
	}
	return errors.Join(f.Close(), os.Remove(f.Name()))
}

// maxRecordings bounds the names that are tried.
const maxRecordings = 10_000

// open makes a file that was not there before: NAME.wav, or NAME-2.wav and so on.
func (r *recording) open() error {
	name, ext := r.name, filepath.Ext(r.name)
	for i := 1; i <= maxRecordings; i++ {
		if i > 1 {
			name = fmt.Sprintf("%s-%d%s", strings.TrimSuffix(r.name, ext), i, ext)
		}
		f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // what people say is theirs
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err == nil {
			r.file = f
			r.opened(name)
		}
		return err
	}
	return fmt.Errorf("%s: there are %d recordings of that name: move them away", r.name, maxRecordings)
}

// slack is how far a timestamp may be from where time is, in samples: clocks
// differ, packets wait.
const slack = 2 * sampleRate

// add writes what a packet holds to its place. A sender that begins anew with its
// timestamps goes on at the end.
func (r *recording) add(h *rtp.Header, pcm []byte, now time.Time) error {
	if r.file == nil {
		if err := r.open(); err != nil {
			return err
		}
		r.begun, r.ssrc, r.last = now, h.SSRC, h.Timestamp
	}
	at := r.at + int64(int32(h.Timestamp-r.last)) // timestamps wrap (RFC 3550, section 5.1)
	elapsed := int64(now.Sub(r.begun).Seconds() * sampleRate)
	if h.SSRC != r.ssrc || at < r.end-slack || at > elapsed+slack {
		at = r.end
	}
	r.ssrc, r.last, r.at = h.SSRC, h.Timestamp, at
	if at < 0 {
		return nil // before the first
	}
	end := max(r.end, at+int64(len(pcm)/sampleSize))
	if end > maxSamples || !r.budget.take((end-r.end)*sampleSize) {
		return errRecordLimit
	}
	if _, err := r.file.WriteAt(pcm, headerSize+at*sampleSize); err != nil {
		return err
	}
	if r.end = end; r.end-r.saved > sampleRate {
		return r.save()
	}
	return nil
}

// maxSamples is what the header of a WAV file can tell of.
const maxSamples = (1<<32 - 1 - headerSize) / sampleSize

// save makes the header tell of all that there is. It is done once a second, so
// that a crash leaves a file that plays.
func (r *recording) save() error {
	r.saved = r.end
	_, err := r.file.WriteAt(header(uint32(r.end*sampleSize)), 0)
	return err
}

func (r *recording) close() error {
	if r.file == nil {
		return nil
	}
	return errors.Join(r.save(), r.file.Close())
}
