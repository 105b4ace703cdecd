package web

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"dialtone/dnsserver"
)

// stream keeps one page up to date. Its goroutine is that of the request.
type stream struct {
	s   *Server
	ctx context.Context
	w   http.ResponseWriter
	rc  *http.ResponseController
	err error // of writing

	faults, secondaries string // that were sent
	trouble             string // likewise

	ask     dnsserver.NumberQuestion // no number: the page is about none
	info    dnsserver.NumberInfo
	seen    []byte // JSON of info
	pasts   []*dnsserver.NumberPast
	end     *dnsserver.HistoryEnd
	reading bool               // a history is being read
	again   bool               // and must be read again then
	past    chan *historyFound // from the goroutine that reads
}

// historyFound is what the goroutine that reads a history finds: progress, or all.
type historyFound struct {
	progress *dnsserver.HistoryProgress
	pasts    []*dnsserver.NumberPast
	end      *dnsserver.HistoryEnd
	err      error
	whole    bool // pasts are all that is known, not only what is new
}

// lookEvery is how often a page hears of what is new.
const lookEvery = time.Second

// events is the stream of one page.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	x := sessionIn(r.Context())
	if !s.session.stream(x, 1) {
		s.from.Hit(dnsserver.LimitWebStreams)
		http.Error(w, "too many pages are open in this browser", http.StatusServiceUnavailable)
		return
	}
	defer s.session.stream(x, -1)
	if !s.limits.openStream() {
		http.Error(w, "too many pages are open", http.StatusServiceUnavailable)
		return
	}
	defer s.limits.closeStream()
	ctx, cancel := context.WithDeadline(r.Context(), x.ends)
	defer cancel()
	e := &stream{s: s, ctx: ctx, w: w, rc: http.NewResponseController(w), past: make(chan *historyFound)}
	if q := r.URL.Query(); q.Get("q") != "" {
		number, err := s.o.ParseNumber(cut(q.Get("q")))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		e.ask = dnsserver.NumberQuestion{Zone: cut(q.Get("zone")), Number: number}
	}
	_ = e.rc.SetReadDeadline(time.Time{}) // nothing more comes; an error is for connections without deadlines
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no")
	e.run(x.over)
}

func (e *stream) run(over <-chan struct{}) {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	e.look(true)
	for e.err == nil {
		select {
		case <-tick.C:
			e.look(false)
		case f := <-e.past:
			e.found(f)
		case <-over:
			e.send("end", "logged out")
			return
		case <-e.ctx.Done():
			return
		}
	}
}

// send writes an event. Each line of it is a line of data.
func (e *stream) send(event, data string) {
	if e.err != nil {
		return
	}
	_ = e.rc.SetWriteDeadline(time.Now().Add(writeTime))
	var b strings.Builder
	b.WriteString("event: " + event + "\n")
	for line := range strings.Lines(data) {
		b.WriteString("data: " + strings.TrimRight(line, "\r\n") + "\n")
	}
	b.WriteString("\n")
	if _, e.err = e.w.Write([]byte(b.String())); e.err == nil {
		e.err = e.rc.Flush()
	}
}

// look sends what is new.
func (e *stream) look(first bool) {
	now := e.s.shared.get(e.s.from)
	e.send("rates", now.rates)
	e.sendNew("faults", &e.faults, now.faults, first)
	e.sendNew("secondaries", &e.secondaries, now.secondaries, first)
	if e.ask.Number == "" {
		return
	}
	i, err := e.s.from.Number(e.ctx, e.ask)
	if err != nil {
		if text := err.Error(); text != e.trouble && e.ctx.Err() == nil {
			e.trouble, e.seen = text, nil
			e.send("trouble", e.s.apology(err))
		}
		return
	}
	e.trouble = ""
	stamp := i
	stamp.Now = time.Time{}
	seen, _ := json.Marshal(stamp) // it has nothing that cannot be marshalled
	if bytes.Equal(seen, e.seen) {
		return
	}
	was := e.info
	e.info, e.seen = i, seen
	e.sendNumber()
	if !first {
		if text := announcement(was, i); text != "" {
			e.send("announce", text)
		}
	}
	e.read()
}

// sendNew sends a part of the page that is not as it was.
func (e *stream) sendNew(event string, was *string, now string, first bool) {
	if *was != now || first {
		*was = now
		e.send(event, now)
	}
}

func (e *stream) sendNumber() { e.send("number", fragment("number", numberOf(e.info, e.pasts))) }

// announcement is what is said of a change to who cannot see it.
func announcement(was, now dnsserver.NumberInfo) string {
	before, after := strings.Join(texts(was.Addresses), " and "), strings.Join(texts(now.Addresses), " and ")
	switch {
	case before == after:
		return ""
	case after == "":
		return fmt.Sprintf("%s is not registered any more", now.Number)
	}
	return fmt.Sprintf("%s is now at %s", now.Number, after)
}

// read begins to read the history, or what is new of it.
func (e *stream) read() {
	if e.reading {
		e.again = true
		return
	}
	e.reading, e.again = true, false
	q := dnsserver.HistoryQuestion{NumberQuestion: e.ask, Limit: maxPasts}
	if len(e.pasts) > 0 {
		q.After = e.pasts[0].Since
	}
	go readHistory(e.ctx, e.s.from, q, e.past) // ends with ctx at the latest
}

func readHistory(ctx context.Context, from Source, q dnsserver.HistoryQuestion, to chan<- *historyFound) {
	out := &historyFound{whole: q.After.IsZero()}
	for i, err := range from.NumberHistory(ctx, q) {
		switch {
		case err != nil:
			out.err = err
		case i.Past != nil:
			out.pasts = append(out.pasts, i.Past)
		case i.End != nil:
			out.end = i.End
		case i.Progress != nil:
			select {
			case to <- &historyFound{progress: i.Progress}:
			case <-ctx.Done():
				return
			}
		}
	}
	select {
	case to <- out:
	case <-ctx.Done():
	}
}

// found takes what was read.
func (e *stream) found(f *historyFound) {
	if f.progress != nil {
		e.send("progress", fmt.Sprintf("Reading the journal: %s of %s MiB", grouped(int(f.progress.Read>>20)), grouped(int(f.progress.Of>>20))))
		return
	}
	e.reading = false
	if f.err != nil {
		e.send("trouble", e.s.apology(f.err))
	} else {
		e.merge(f)
		e.send("history", fragment("timeline", historyOf(e.pasts, e.end)))
		e.sendNumber()
	}
	if e.again { // also when it failed: what has changed meanwhile is not asked for again by itself
		e.read()
	}
}

// merge puts what is new before what was known.
func (e *stream) merge(f *historyFound) {
	if f.whole {
		e.pasts, e.end = f.pasts, f.end
		if e.pasts == nil {
			e.pasts = []*dnsserver.NumberPast{}
		}
		return
	}
	isPast := func(p *dnsserver.NumberPast) bool { return p.How != dnsserver.PastKey }
	at := slices.IndexFunc(e.pasts, isPast)
	for _, p := range f.pasts {
		if isPast(p) && at >= 0 { // the last that comes is the one that followed
			e.pasts[at].Until = p.Since
		}
	}
	e.pasts = append(f.pasts, e.pasts...)
	if len(e.pasts) > maxPasts {
		e.pasts, e.end.More = e.pasts[:maxPasts], true
	}
}
