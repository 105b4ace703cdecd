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
	ctx, cancel := context.WithTimeoutCause(ctx, c.callTime, c.late)
	defer cancel()
	return CallLong[Out](ctx, c, name, in)
}

// CallLong is Call for what takes as long as it takes.
func CallLong[Out any](ctx context.Context, c *Client, name string, in any) (out Out, err error) {
	return answerOf[Out](c.post(ctx, name, in))
}

// Upload is Call with octets beside the value.
func Upload[Out any](ctx context.Context, c *Client, name string, in any, body io.Reader) (out Out, err error) {
	return answerOf[Out](c.upload(ctx, name, in, body))
}

func answerOf[Out any](answer *http.Response, err error) (out Out, _ error) {
	if err != nil {
		return out, err
	}
	defer answer.Body.Close()
	err = json.NewDecoder(io.LimitReader(answer.Body, maxAnswer)).Decode(&out)
	return out, broken(err)
}

// List asks for any number of values. An error ends them.
func List[Item any](ctx context.Context, c *Client, name string, in any) iter.Seq2[Item, error] {
	return func(yield func(Item, error) bool) {
		answer, err := c.post(ctx, name, in)
		items(answer, err, yield)
	}
}

// items reads the lines of a list.
func items[Item any](answer *http.Response, err error, yield func(Item, error) bool) {
	var none Item
	if err != nil {
		yield(none, err)
		return
	}
	defer answer.Body.Close()
	d := json.NewDecoder(answer.Body)
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

// post sends a value.
func (c *Client) post(ctx context.Context, name string, in any) (*http.Response, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, name, "", bytes.NewReader(body))
}

// upload sends octets beside a value.
func (c *Client) upload(ctx context.Context, name string, in any, body io.Reader) (*http.Response, error) {
	value, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	return c.send(ctx, name, "?in="+url.QueryEscape(string(value)), io.NopCloser(body))
}

// send gives an answer that is none of a fault.
func (c *Client) send(ctx context.Context, name, query string, body io.Reader) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://dialtone/"+name+query, body)
	if err != nil {
		return nil, err
	}
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
