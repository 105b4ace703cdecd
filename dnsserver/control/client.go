package control

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"net"
	"net/http"
	"net/url"
	"time"
)

// Late says that a server which listens has not answered.
type Late struct{ Text string }

func (l *Late) Error() string { return l.Text }

// Client asks a Server.
type Client struct {
	http     *http.Client
	close    func() error
	callTime time.Duration // how long an answer to Call may take
	late     error         // the error after that
}

func newClient(dial func(ctx context.Context) (net.Conn, error), close func() error, callTime time.Duration, late error) *Client {
	t := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dial(ctx) }}
	return &Client{http: &http.Client{Transport: t}, callTime: callTime, late: late, close: func() error {
		t.CloseIdleConnections()
		return close()
	}}
}

// Close ends the connection, and the Server of a local Client.
func (c *Client) Close() error { return c.close() }

// maxAnswer is more than any answer but a list has, in octets.
const maxAnswer = 4 << 20

// A server answers at once, or after a commit; one that starts, when it serves. In
// this process the disk alone can be slow.
const (
	callTime  = 30 * time.Second
	localTime = 5 * time.Minute
)

// Call asks for one value. An error that is a *Mistake can be corrected.
func Call[Out any](ctx context.Context, c *Client, name string, in any) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.callTime, c.late)
	defer cancel()
	return answerOf[Out](c.post(ctx, name, "", bytes.NewReader(body)))
}

// CallLong is Call for what takes as long as it takes.
func CallLong[Out any](ctx context.Context, c *Client, name string, in any) (out Out, err error) {
	body, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	return answerOf[Out](c.post(ctx, name, "", bytes.NewReader(body)))
}

// Upload is Call with octets beside the value.
func Upload[Out any](ctx context.Context, c *Client, name string, in any, body io.Reader) (out Out, err error) {
	value, err := json.Marshal(in)
	if err != nil {
		return out, err
	}
	return answerOf[Out](c.post(ctx, name, "?in="+url.QueryEscape(string(value)), io.NopCloser(body)))
}

func answerOf[Out any](answer io.ReadCloser, err error) (out Out, _ error) {
	if err != nil {
		return out, err
	}
	defer answer.Close()
	err = json.NewDecoder(io.LimitReader(answer, maxAnswer)).Decode(&out)
	return out, broken(err)
}

// List asks for any number of values. An error ends them.
func List[Item any](ctx context.Context, c *Client, name string, in any) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		body, err := json.Marshal(in)
		var answer io.ReadCloser
		if err == nil {
			answer, err = c.post(ctx, name, "", bytes.NewReader(body))
		}
		items(answer, err, yield)
	}
}

// items reads the lines of a list.
func items[Item any](answer io.ReadCloser, err error, yield func(Item, error) bool) {
	var none Item
	if err != nil {
		yield(none, err)
		return
	}
	defer answer.Close()
	d := json.NewDecoder(answer)
	for {
		var l line[Item]
		if err = d.Decode(&l); err == nil {
			err = l.err()
		} else {
			err = broken(err)
		}
		switch {
		case err != nil:
			yield(none, err)
			return
		case l.End:
			return
		case l.Item != nil && !yield(*l.Item, nil):
			return
		}
	}
}

// post gives the body of an answer that is none of a fault.
func (c *Client) post(ctx context.Context, name, query string, body io.Reader) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dialtone/"+name+query, body)
	if err != nil {
		return nil, err
	}
	answer, err := c.send(ctx, r, name)
	if err != nil {
		return nil, err
	}
	return answer.Body, nil
}

// send gives an answer that is none of a fault.
func (c *Client) send(ctx context.Context, r *http.Request, name string) (*http.Response, error) {
	answer, err := c.http.Do(r)
	if err != nil {
		var shell *url.Error
		if errors.As(err, &shell) {
			err = shell.Err
		}
		if cause := context.Cause(ctx); cause != nil {
			return nil, cause
		}
		return nil, broken(err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer, nil
	}
	defer answer.Body.Close()
	if answer.StatusCode == http.StatusNotFound {
		return nil, fmt.Errorf("the server that runs does not know the request %s: it is of another version than this program", name)
	}
	var f fault
	if err := json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&f); err != nil || f.Error == "" {
		return nil, fmt.Errorf("the server answers %s", answer.Status)
	}
	return nil, f.err()
}

// broken says what it means that a server is gone in the middle.
func broken(err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("the server did not answer to the end, so it is not known what it has done: %w", err)
}
