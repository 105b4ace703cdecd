package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"time"
)

const (
	maxRequest     = 64 << 10
	maxConnections = 16
	patience       = 30 * time.Second // for one piece
	headerTime     = 5 * time.Second
	stopTime       = 2 * time.Second // for answers to requests whose context has ended
)

// Peer is who asks.
type Peer struct {
	UID int `json:"uid"` // -1 where the system does not tell
}

// Mistake is an error that who asked can correct: its text says how.
type Mistake struct{ Text string }

func (m *Mistake) Error() string { return m.Text }

// Mistakef makes a Mistake.
func Mistakef(format string, args ...any) error { return &Mistake{fmt.Sprintf(format, args...)} }

// Server answers requests.
type Server struct {
	log  *slog.Logger
	mux  *http.ServeMux
	http *http.Server
	// ctx is that of all requests; stop ends it.
	ctx     context.Context
	stop    context.CancelFunc
	serving sync.WaitGroup // goroutines of Serve
	// running is held for reading by requests.
	running struct {
		sync.RWMutex
		over bool
	}
}

// NewServer makes a Server without requests.
func NewServer(log *slog.Logger) *Server {
	s := &Server{log: log, mux: http.NewServeMux()}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.http = &http.Server{
		Handler: s.mux, ReadHeaderTimeout: headerTime, IdleTimeout: time.Minute, MaxHeaderBytes: maxRequest,
		BaseContext: func(net.Listener) context.Context { return s.ctx },
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, peerKey{}, c.(*accepted).who)
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	return s
}

type peerKey struct{}

// Serve answers requests from l in a goroutine of its own, which ends in Close.
func (s *Server) Serve(l net.Listener) {
	s.serving.Go(func() {
		if err := s.http.Serve(limit(l)); !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("commands are not answered any more", "op", "control", "err", err)
		}
	})
}

// Close ends the context of the requests that run, waits for them, and closes
// all listeners and connections.
func (s *Server) Close() {
	s.stop()
	ctx, cancel := context.WithTimeout(context.Background(), stopTime)
	defer cancel()
	if s.http.Shutdown(ctx) != nil {
		s.http.Close()
	}
	s.running.Lock()
	s.running.over = true
	s.running.Unlock()
	s.serving.Wait()
}

// Handle adds a request of one value and an answer of one value.
func Handle[In, Out any](s *Server, name string, do func(ctx context.Context, who Peer, in In) (Out, error)) {
	s.handle(name, func(x *exchange) {
		var in In
		if !x.read(&in) {
			return
		}
		out, err := do(x.r.Context(), x.who, in)
		x.answer(out, err)
	})
}

// HandleUpload adds a request with octets beside its value; they end with an
// error when there are more than limit.
func HandleUpload[In, Out any](s *Server, name string, limit int64, do func(ctx context.Context, who Peer, in In, body io.Reader) (Out, error)) {
	s.handle(name, func(x *exchange) {
		var in In
		if body := x.upload(&in, limit); body != nil {
			out, err := do(x.r.Context(), x.who, in, body)
			x.answer(out, err)
		}
	})
}

// HandleList adds a request that is answered by any number of values.
func HandleList[In, Item any](s *Server, name string, do func(ctx context.Context, who Peer, in In) iter.Seq2[Item, error]) {
	s.handle(name, func(x *exchange) {
		var in In
		if !x.read(&in) {
			return
		}
		list(x, do(x.r.Context(), x.who, in))
	})
}

func list[Item any](x *exchange, items iter.Seq2[Item, error]) {
	x.w.Header().Set("Content-Type", "application/jsonl")
	out := json.NewEncoder(x.w)
	for item, err := range items {
		x.mayWrite()
		if err != nil {
			_ = out.Encode(faultOf(err)) // who does not take it does not take anything
			return
		}
		if out.Encode(line[Item]{Item: &item}) != nil {
			return
		}
	}
	x.mayWrite()
	_ = out.Encode(line[Item]{End: true})
}

// line is one line of a list.
type line[Item any] struct {
	Item *Item `json:"item,omitempty"`
	End  bool  `json:"end,omitempty"`
	fault
}

// fault is an answer that is an error.
type fault struct {
	Error   string `json:"error,omitempty"`
	Mistake bool   `json:"mistake,omitempty"`
}

func faultOf(err error) fault {
	var m *Mistake
	return fault{err.Error(), errors.As(err, &m)}
}

// err is the error on the client's side.
func (f fault) err() error {
	switch {
	case f.Error == "":
		return nil
	case f.Mistake:
		return &Mistake{f.Error}
	}
	return errors.New(f.Error)
}

// exchange is one request and its answer.
type exchange struct {
	w   http.ResponseWriter
	r   *http.Request
	who Peer
}

func (s *Server) handle(name string, do func(x *exchange)) {
	s.mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, r *http.Request) {
		s.running.RLock()
		defer s.running.RUnlock()
		x := &exchange{w: w, r: r}
		x.who, _ = r.Context().Value(peerKey{}).(Peer)
		x.mayRead()
		x.mayWrite()
		if s.running.over {
			x.fault(errors.New("the server is stopping"))
			return
		}
		if !allowed(x.who) {
			x.fault(Mistakef("user %d may not give this server commands: only root and user %d may", x.who.UID, os.Getuid()))
			return
		}
		do(x)
	})
}

// allowed guards where the permissions of the socket do not: some systems give
// them to it a moment after it was made, and some ignore them. A system that does not tell who asks has the permissions alone.
func allowed(who Peer) bool { return who.UID == 0 || who.UID == -1 || who.UID == os.Getuid() }

// mayRead and mayWrite give the next piece its time. An error is for connections
// without deadlines, which have none to break.
func (x *exchange) mayRead() {
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Now().Add(patience))
}

// hasRead lets the answer take its time: HTTP goes on reading meanwhile, to find
// out when the peer is gone.
func (x *exchange) hasRead() {
	_ = http.NewResponseController(x.w).SetReadDeadline(time.Time{})
}

func (x *exchange) mayWrite() {
	_ = http.NewResponseController(x.w).SetWriteDeadline(time.Now().Add(patience))
}

func (x *exchange) read(in any) bool {
	d := json.NewDecoder(http.MaxBytesReader(x.w, x.r.Body, maxRequest))
	if err := d.Decode(in); err != nil {
		x.fault(Mistakef("the request does not parse: %v", err))
		return false
	}
	x.hasRead()
	return true
}

// upload reads the value of a request with octets beside it, and gives these; nil
// after a fault.
func (x *exchange) upload(in any, limit int64) io.Reader {
	if err := json.Unmarshal([]byte(x.r.URL.Query().Get("in")), in); err != nil {
		x.fault(Mistakef("the request does not parse: %v", err))
		return nil
	}
	return &patient{x, http.MaxBytesReader(x.w, x.r.Body, limit)}
}

func (x *exchange) answer(out any, err error) {
	x.mayWrite()
	if err != nil {
		x.fault(err)
		return
	}
	x.w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(x.w).Encode(out) // the peer is gone, and what it asked for is done
}

func (x *exchange) fault(err error) {
	f := faultOf(err)
	x.w.Header().Set("Content-Type", "application/json")
	if f.Mistake {
		x.w.WriteHeader(http.StatusBadRequest)
	} else {
		x.w.WriteHeader(http.StatusInternalServerError)
	}
	_ = json.NewEncoder(x.w).Encode(f)
}

// patient gives each read its time.
type patient struct {
	x *exchange
	io.Reader
}

func (p *patient) Read(b []byte) (int, error) {
	p.x.mayRead()
	n, err := p.Reader.Read(b)
	p.x.hasRead()
	return n, err
}
