package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"runtime"
	"strings"
	"testing"
	"time"

	"dialtone/dnsserver"
)

func TestNothingIsSeenWithoutTheToken(t *testing.T) {
	f := newFake()
	v := visit(t, serve(t, f, nil))
	for _, path := range []string{"/", "/?q=5551234", "/history?q=1", "/nothing"} {
		answer, text := v.ask("GET", path, nil, nil)
		if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/login?next="+url.QueryEscape(path) || strings.Contains(text, "5551234.") {
			t.Errorf("%s: %s to %s", path, answer.Status, answer.Header.Get("Location"))
		}
	}
	v.sees("/events?q=1", http.StatusUnauthorized)
	v.sees("/login", http.StatusOK, "Log in", `type="password"`)
	if answer := v.login(testToken + "x"); answer.StatusCode != http.StatusForbidden || len(answer.Cookies()) > 0 {
		t.Errorf("a wrong token: %s, cookies %v", answer.Status, answer.Cookies())
	}
	answer := v.login(" " + testToken + "\n")
	if answer.StatusCode != http.StatusSeeOther || answer.Header.Get("Location") != "/?q=1" {
		t.Fatalf("the token: %s to %q", answer.Status, answer.Header.Get("Location"))
	}
	c := answer.Cookies()[0]
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Secure || c.Path != "/" || len(c.Value) < 40 {
		t.Errorf("cookie %+v", c)
	}
	v.sees("/", http.StatusOK, "Search")
	v.sees("/nothing", http.StatusNotFound, "No such page")
	v.sees("/login", http.StatusSeeOther)
	if n := f.counters.Sessions.Load(); n != 1 {
		t.Errorf("%d sessions", n)
	}
	// Logging out ends the session itself, not only its cookie.
	cookie := c.Name + "=" + c.Value
	if answer, _ := v.ask("POST", "/logout", url.Values{}, nil); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("log out: %s", answer.Status)
	}
	if answer, _ := visit(t, v.s).ask("GET", "/", nil, func(r *http.Request) { r.Header.Set("Cookie", cookie) }); answer.StatusCode != http.StatusSeeOther {
		t.Errorf("the old cookie after logging out: %s", answer.Status)
	}
	if ok, failed := f.counters.Logins.Load(), f.counters.LoginsFailed.Load(); ok != 1 || failed != 1 {
		t.Errorf("counted: %d and %d failed", ok, failed)
	}
}

func TestAttemptsAreFew(t *testing.T) {
	f := newFake()
	s := serve(t, f, nil)
	now, from := time.Unix(1_800_000_000, 0), netip.MustParseAddr("192.0.2.1")
	tries := func(from string, n int) (taken int) {
		for range n {
			if s.limits.mayTry(netip.MustParseAddr(from), now) {
				taken++
			}
		}
		return taken
	}
	if got := tries("192.0.2.1", 9); got != attemptsEach {
		t.Errorf("%d attempts were taken", got)
	}
	if got := tries("2001:db8::1", 3) + tries("2001:db8::2", 9); got != attemptsEach {
		t.Errorf("%d attempts of one network were taken", got)
	}
	s.limits.forgive(from)
	if got := tries("::ffff:192.0.2.1", 9); got != attemptsEach {
		t.Errorf("%d attempts after one that succeeded", got)
	}
	all := 0
	for i := range 100 {
		all += tries(fmt.Sprintf("198.51.100.%d", i), 5)
	}
	if want := attemptsAll - 2*attemptsEach; all != want {
		t.Errorf("%d attempts from anywhere, want %d", all, want)
	}
	now = now.Add(time.Minute)
	if got := tries("192.0.2.1", 9); got != attemptsEach {
		t.Errorf("%d attempts a minute later", got)
	}
	if f.hits(dnsserver.LimitWebLogins) == 0 {
		t.Error("nothing was counted")
	}
}

func TestOtherSitesAreKeptOut(t *testing.T) {
	f := newFake()
	v := visit(t, serve(t, f, nil))
	host := func(h string) func(r *http.Request) { return func(r *http.Request) { r.Host = h } }
	for h, want := range map[string]int{
		"evil.example": 421, "desk.example.evil.example": 421, "": 200, "localhost": 200, "LOCALHOST:80": 200, "Desk.Example:8053": 200,
		"192.0.2.1:99": 200, "[2001:db8::1]:99": 200, "[::1]": 200,
	} {
		answer, _ := v.ask("GET", "/login", nil, host(h))
		if answer.StatusCode != want {
			t.Errorf("Host %q: %s, want %d", h, answer.Status, want)
		}
	}
	own := strings.TrimSuffix(v.s.URL(), "/")
	for _, tt := range []struct {
		name, value string
		refused     bool
	}{
		{"Origin", "http://evil.example", true}, {"Origin", "null", true}, {"Origin", own, false}, {"Sec-Fetch-Site", "cross-site", true},
		{"Sec-Fetch-Site", "same-site", true}, {"Sec-Fetch-Site", "same-origin", false},
	} {
		answer, _ := v.ask("POST", "/logout", url.Values{}, func(r *http.Request) { r.Header.Set(tt.name, tt.value) })
		if (answer.StatusCode == http.StatusForbidden) != tt.refused {
			t.Errorf("%s %s: %s", tt.name, tt.value, answer.Status)
		}
	}
	answer, _ := v.ask("GET", "/login", nil, nil)
	for name, want := range map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
		"X-Content-Type-Options":  "nosniff", "Referrer-Policy": "no-referrer", "X-Frame-Options": "DENY", "Cache-Control": "no-store",
	} {
		if got := answer.Header.Get(name); got != want {
			t.Errorf("%s: %q", name, got)
		}
	}
	for _, next := range []string{"//evil.example", "https://evil.example/", "/\\evil.example", "javascript:alert(1)", "/login?next=/", "/a\tb", "", "x"} {
		if got := ownPath(next); got != "/" {
			t.Errorf("%q leads to %q", next, got)
		}
	}
	if got := ownPath("/?q=1&zone=a."); got != "/?q=1&zone=a." {
		t.Errorf("got %q", got)
	}
}

func TestPagesOfNumbers(t *testing.T) {
	f := newFake()
	f.moved("5551234", "192.0.2.9", time.Now())
	f.mu.status.Faults, f.mu.status.FaultsTotal = []dnsserver.Fault{{Kind: dnsserver.FaultDisk, Zone: "<b>", Text: "the disk is full"}}, 3
	v := visit(t, serve(t, f, nil))
	v.login(testToken)
	v.sees("/?q=555-1234", 200, "<title>5551234 – dialtone</title>", "192.0.2.9", "Registered", "Reading the journal", `data-events="/events?q=5551234&amp;zone=phones.example."`,
		"the disk is full", "&lt;b&gt;", "and 2 more")
	v.sees("/history?q=555-1234&zone=phones.example.", 200, `class="timeline"`, "from 192.0.2.9, unsigned")
	v.sees("/history?q=x", http.StatusSeeOther)
	v.sees("/?q=5559999", 200, "Not registered", "calls do not get through")
	v.sees("/?q=%3Cscript%3E", 400, "&lt;script&gt;", `role="alert"`)
	v.sees("/?q=1&zone=mistake.", 400, "The zone mistake. is not served here.")
	if text := v.sees("/?q=1&zone=broken.", 400, "see its log"); strings.Contains(text, "secret path") {
		t.Error("an error of the server's own is shown")
	}
	v.sees("/?q="+strings.Repeat("1", 10_000), 400)

	// Several zones.
	f.mu.zones = []string{"phones.example.", "other.example."}
	v.sees("/?q=5551234", 200, "192.0.2.9", "<option selected>phones.example.</option>")
	v.sees("/?q=5559999", 200, "No zone of this server has the number")
	f.mu.numbers["other.example.5551234"] = dnsserver.NumberInfo{Zone: "other.example.", Number: "5551234", Records: []string{"x"}}
	v.sees("/?q=5551234", 200, "Several zones have it", `href="/?q=5551234&amp;zone=other.example."`)
	for i := range maxChoice {
		f.mu.zones = append(f.mu.zones, fmt.Sprintf("z%d.", i))
	}
	v.sees("/?q=5551234", 400, "Say in which zone", `<input id="zone"`)
	v.sees("/?q=5551234&zone=phones.example.", 200, "192.0.2.9")
}

// TestChangeDuringAFailedReading: what changes while a history is being read in vain is read all the same.
func TestChangeDuringAFailedReading(t *testing.T) {
	f := newFake()
	f.moved("5551234", "192.0.2.9", time.Now())
	w := httptest.NewRecorder()
	e := &stream{
		s: serve(t, f, nil), ctx: t.Context(), w: w, rc: http.NewResponseController(w), past: make(chan *historyFound),
		ask: dnsserver.NumberQuestion{Zone: "phones.example.", Number: "5551234"}, reading: true, again: true,
	}
	e.found(&historyFound{err: errors.New("the disk")})
	if !e.reading {
		t.Fatal("it is not read again")
	}
	for e.reading {
		e.found(<-e.past)
	}
	if text := w.Body.String(); !strings.Contains(text, "event: trouble") || !strings.Contains(text, "event: history") || len(e.pasts) != 1 {
		t.Errorf("%s", text)
	}
}

func TestStreamTellsWhatChanges(t *testing.T) {
	f := newFake()
	begun := time.Now().Add(-time.Hour)
	f.moved("5551234", "192.0.2.9", begun)
	v := visit(t, serve(t, f, nil))
	v.login(testToken)
	e, answer := v.stream("/events?q=555-1234&zone=phones.example.")
	if kind := answer.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("%s, %s", answer.Status, kind)
	}
	e.until("rates", `"queries":`)
	e.until("number", "192.0.2.9", "reading the journal")
	e.until("progress", "Reading the journal: 5 of 7 MiB")
	e.until("history", "192.0.2.9", "now")
	e.until("number", "192.0.2.9", "from 192.0.2.9, unsigned")
	f.moved("5551234", "192.0.2.10", begun.Add(time.Minute))
	if got := e.until("announce"); got != "5551234 is now at 192.0.2.10\n" {
		t.Errorf("announced %q", got)
	}
	text := e.until("history", "192.0.2.10")
	if strings.Count(text, `class="now"`) != 1 || !strings.Contains(text, "192.0.2.9") {
		t.Errorf("history:\n%s", text)
	}
	f.mu.Lock()
	last := f.mu.asked[len(f.mu.asked)-1]
	f.mu.Unlock()
	if !last.After.Equal(begun) {
		t.Errorf("the journal was read back to %v", last.After)
	}
	if n := f.counters.Streams.Load(); n != 1 {
		t.Errorf("%d streams", n)
	}
	if answer, _ := v.ask("POST", "/logout", url.Values{}, nil); answer.StatusCode != http.StatusSeeOther {
		t.Error(answer.Status)
	}
	e.until("end")
	if _, err := e.r.ReadByte(); err != io.EOF {
		t.Errorf("after the end: %v", err)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	f := newFake()
	s := serve(t, f, func(o *Options) { o.Streams = sessionStreams + 2 })
	v := visit(t, s)
	v.login(testToken)
	for range sessionStreams {
		e, _ := v.stream("/events")
		e.until("secondaries")
	}
	v.sees("/events", http.StatusServiceUnavailable, "too many pages are open in this browser")
	w := visit(t, s)
	w.login(testToken)
	for range 2 {
		e, _ := w.stream("/events")
		e.until("secondaries")
	}
	w.sees("/events", http.StatusServiceUnavailable, "too many pages are open")
	if n := f.hits(dnsserver.LimitWebStreams); n != 2 {
		t.Errorf("%d hits", n)
	}
	if n := f.counters.Streams.Load(); n != sessionStreams+2 {
		t.Errorf("%d streams", n)
	}
	w.sees("/events?q=x", http.StatusServiceUnavailable)
	s.Close() // ends all of them
	if n := f.counters.Streams.Load(); n != 0 {
		t.Errorf("%d streams after the end", n)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	f := newFake()
	s := serve(t, f, func(o *Options) { o.Connections = 2 })
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatal(line, err)
		}
		held = append(held, c)
	}
	c, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "GET /login HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if _, err := bufio.NewReader(c).ReadString('\n'); err == nil {
		t.Error("the third connection is answered")
	}
	if f.hits(dnsserver.LimitWebConnections) != 1 {
		t.Error("it was not counted")
	}
	held[0].Close()
	for f.counters.Connections.Load() > 1 {
		runtime.Gosched()
	}
	visit(t, s).sees("/login", 200)
}

func TestSessionsAreBounded(t *testing.T) {
	f := newFake()
	s := serve(t, f, nil)
	now := time.Now()
	first := s.session.begin(now)
	for i := range maxSessions {
		s.session.begin(now.Add(time.Duration(i+1) * time.Second))
	}
	if s.session.find(first, now) != nil || f.counters.Sessions.Load() != maxSessions {
		t.Errorf("%d sessions, the first is still there: %v", f.counters.Sessions.Load(), s.session.find(first, now) != nil)
	}
	late := s.session.begin(now)
	if s.session.find(late, now.Add(sessionTime-1)) == nil || s.session.find(late, now.Add(sessionTime)) != nil || s.session.find("", now) != nil {
		t.Error("a session does not end when it should")
	}
	s.session.begin(now.Add(2 * sessionTime))
	if n := f.counters.Sessions.Load(); n != 1 {
		t.Errorf("%d sessions when all have ended but one", n)
	}
}

func TestAssets(t *testing.T) {
	v := visit(t, serve(t, newFake(), nil))
	for path, kind := range map[string]string{
		"/assets/app.css": "text/css; charset=utf-8", "/assets/app.js": "text/javascript; charset=utf-8", "/assets/icon.svg": "image/svg+xml",
		"/assets/uplot/uPlot.iife.min.js": "text/javascript; charset=utf-8", "/assets/uplot/uPlot.min.css": "text/css; charset=utf-8",
		"/assets/uplot/LICENSE": "text/plain; charset=utf-8",
	} {
		answer, text := v.ask("GET", path, nil, nil)
		tag := answer.Header.Get("ETag")
		if answer.StatusCode != 200 || answer.Header.Get("Content-Type") != kind || text == "" || tag == "" {
			t.Errorf("%s: %s, %s, %d octets", path, answer.Status, answer.Header.Get("Content-Type"), len(text))
		}
		if answer, text := v.ask("GET", path, nil, func(r *http.Request) { r.Header.Set("If-None-Match", tag) }); answer.StatusCode != 304 || text != "" {
			t.Errorf("%s again: %s", path, answer.Status)
		}
	}
	v.sees("/assets/", http.StatusNotFound)
	v.sees("/assets/../web.go", http.StatusTemporaryRedirect)
}

func TestAddressInUse(t *testing.T) {
	s := serve(t, newFake(), nil)
	_, err := Listen(t.Context(), Options{Listen: s.Addr(), Logger: slog.New(slog.DiscardHandler)})
	var bind *dnsserver.BindError
	if !errors.As(err, &bind) || !strings.Contains(err.Error(), "another process uses it") {
		t.Errorf("got %v", err)
	}
}

func TestTLS(t *testing.T) {
	like := httptest.NewTLSServer(http.NotFoundHandler())
	defer like.Close()
	s := serve(t, newFake(), func(o *Options) { o.TLS = &like.TLS.Certificates[0] })
	if !strings.HasPrefix(s.URL(), "https://") {
		t.Fatal(s.URL())
	}
	v := visit(t, s)
	c := v.login(testToken).Cookies()
	if len(c) != 1 || !c[0].Secure || c[0].Name != "__Host-dialtone" {
		t.Errorf("cookies %v", c)
	}
	answer, _ := v.ask("GET", "/", nil, nil)
	if answer.StatusCode != 200 || answer.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%s, %v", answer.Status, answer.Header)
	}
	e, _ := v.stream("/events")
	e.until("secondaries")
}
