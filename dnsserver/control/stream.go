package control

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
)

// pieceOctets is how much of a download is sent at a time. Who takes less than
// that within patience is cut off, so a download lasts no longer than 30 s a MiB.
const pieceOctets = 1 << 20

// endTrailer is what a download has behind its octets: how it ended, as JSON.
const endTrailer = "Dialtone-End"

// HandleDownload adds a request that is answered by octets. An error comes
// instead of them as long as none was sent, and else behind them; w gives an error
// when nobody takes them any more, or the server stops.
func HandleDownload[In any](s *Server, name string, do func(ctx context.Context, who Peer, in In, w io.Writer) error) {
	s.handle(name, func(x *exchange) {
		var in In
		if !x.read(&in) {
			return
		}
		d := &download{x: x}
		err := do(x.r.Context(), x.who, in, d)
		if err != nil && !d.sent {
			x.fault(err)
			return
		}
		if err == nil {
			err = d.send()
		}
		end := line[struct{}]{End: true}
		if err != nil {
			end = line[struct{}]{fault: faultOf(err)}
		}
		text, _ := json.Marshal(end) // of this it never fails
		x.mayWrite()
		x.w.Header().Set(endTrailer, string(text))
	})
}

// download gathers octets to pieces.
type download struct {
	x    *exchange
	buf  []byte
	sent bool
}

func (d *download) Write(b []byte) (int, error) {
	d.buf = append(d.buf, b...)
	if len(d.buf) < pieceOctets {
		return len(b), nil
	}
	return len(b), d.send()
}

func (d *download) send() error {
	if !d.sent {
		d.sent = true
		d.x.w.Header().Set("Trailer", endTrailer)
		d.x.w.Header().Set("Content-Type", "application/octet-stream")
	}
	if err := d.x.r.Context().Err(); err != nil {
		return errors.New("the server is stopping, or who asked is gone")
	}
	d.x.mayWrite()
	_, err := d.x.w.Write(d.buf)
	d.buf = d.buf[:0]
	return err
}

// Download asks for octets. The reader gives io.EOF only when all of them have
// come, and else the error that ended them.
func Download(ctx context.Context, c *Client, name string, in any) (io.ReadCloser, error) {
	answer, err := c.post(ctx, name, in)
	if err != nil {
		return nil, err
	}
	return &downloaded{answer}, nil
}

type downloaded struct{ answer *http.Response }

func (d *downloaded) Read(b []byte) (int, error) {
	n, err := d.answer.Body.Read(b)
	if err != io.EOF {
		return n, broken(err)
	}
	var end line[struct{}]
	if json.Unmarshal([]byte(d.answer.Trailer.Get(endTrailer)), &end) != nil {
		return n, broken(io.ErrUnexpectedEOF)
	}
	switch {
	case end.End:
		return n, io.EOF
	case end.err() != nil:
		return n, end.err()
	}
	return n, broken(io.ErrUnexpectedEOF)
}

func (d *downloaded) Close() error { return d.answer.Body.Close() }

// HandleUploadList is HandleUpload with any number of values as its answer, none
// of which may come before the body is read.
func HandleUploadList[In, Item any](s *Server, name string, limit int64, do func(ctx context.Context, who Peer, in In, body io.Reader) iter.Seq2[Item, error]) {
	s.handle(name, func(x *exchange) {
		var in In
		if body := x.upload(&in, limit); body != nil {
			list(x, do(x.r.Context(), x.who, in, body))
		}
	})
}

// UploadList is Upload with any number of values as its answer.
func UploadList[Item any](ctx context.Context, c *Client, name string, in any, body io.Reader) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		answer, err := c.upload(ctx, name, in, body)
		items(answer, err, yield)
	}
}
