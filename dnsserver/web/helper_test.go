package web

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

const testToken = "0123456789abcdef-token"

// fake is a server that knows what a test tells it.
type fake struct {
	mu struct {
		sync.Mutex
		status  dnsserver.Status
		zones   []string
		numbers map[string]dnsserver.NumberInfo // by zone and number
		pasts   map[string][]*dnsserver.NumberPast
		asked   []dnsserver.HistoryQuestion
		hits    map[dnsserver.Limit]int
	}
	counters dnsserver.WebCounters
}

func newFake() *fake {
	f := &fake{}
	f.mu.zones = []string{"phones.example."}
	f.mu.numbers, f.mu.pasts, f.mu.hits = map[string]dnsserver.NumberInfo{}, map[string][]*dnsserver.NumberPast{}, map[dnsserver.Limit]int{}
	return f
}

func (f *fake) Status() dnsserver.Status {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.status
}

func (f *fake) ZoneNames(most int) []string { return f.mu.zones[:min(most, len(f.mu.zones))] }

func (f *fake) Number(_ context.Context, q dnsserver.NumberQuestion) (dnsserver.NumberInfo, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch q.Zone {
	case "mistake.":
		return dnsserver.NumberInfo{}, control.Mistakef("the zone %s is not served here", q.Zone)
	case "broken.":
		return dnsserver.NumberInfo{}, errors.New("secret path /var/x")
	}
	i, ok := f.mu.numbers[q.Zone+q.Number]
	if !ok {
		i = dnsserver.NumberInfo{Zone: q.Zone, Number: q.Number, Name: q.Number + "." + q.Zone}
	}
	return i, nil
}

// NumberHistory gives what there is after the question's moment.
func (f *fake) NumberHistory(_ context.Context, q dnsserver.HistoryQuestion) iter.Seq2[dnsserver.HistoryItem, error] {
	return func(yield func(dnsserver.HistoryItem, error) bool) {
		f.mu.Lock()
		f.mu.asked = append(f.mu.asked, q)
		list := f.mu.pasts[q.Number]
		f.mu.Unlock()
		if !yield(dnsserver.HistoryItem{Progress: &dnsserver.HistoryProgress{Read: 5 << 20, Of: 7 << 20}}, nil) {
			return
		}
		for _, p := range list {
			if !p.Since.After(q.After) {
				break
			}
			one := *p
			if !yield(dnsserver.HistoryItem{Past: &one}, nil) {
				return
			}
		}
		yield(dnsserver.HistoryItem{End: &dnsserver.HistoryEnd{Number: q.Number}}, nil)
	}
}

func (f *fake) Hit(l dnsserver.Limit) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.mu.hits[l]++
}

func (f *fake) hits(l dnsserver.Limit) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.mu.hits[l]
}

func (f *fake) Web() *dnsserver.WebCounters { return &f.counters }

// moved gives a number an address, now.
func (f *fake) moved(number, address string, at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	a := netip.MustParseAddr(address)
	f.mu.numbers["phones.example."+number] = dnsserver.NumberInfo{
		Zone: "phones.example.", Number: number, Name: number + ".phones.example.", Addresses: []netip.Addr{a},
		Records: []string{number + ".phones.example. 60 IN A " + address},
	}
	for _, p := range f.mu.pasts[number] {
		if p.Until.IsZero() {
			p.Until = at
		}
	}
	f.mu.pasts[number] = append([]*dnsserver.NumberPast{{
		How: "update", Since: at, Addresses: []netip.Addr{a}, Records: 1, Serial: 7, By: []dnsserver.PastAuthor{{How: "update", From: a}},
	}}, f.mu.pasts[number]...)
}

// serve runs the page on a fake.
func serve(t *testing.T, f *fake, change func(o *Options)) *Server {
	t.Helper()
	o := Options{
		Listen: netip.MustParseAddrPort("127.0.0.1:0"), Token: testToken, Hosts: []string{"desk.example"}, Logger: slog.New(slog.DiscardHandler),
		ParseNumber: func(text string) (string, error) {
			digits := regexp.MustCompile(`[ -]`).ReplaceAllString(text, "")
			if !regexp.MustCompile(`^[0-9]{1,15}$`).MatchString(digits) {
				return "", fmt.Errorf("%q is not a number", text)
			}
			return digits, nil
		},
	}
	if change != nil {
		change(&o)
	}
	s, err := Listen(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	s.Serve(f)
	t.Cleanup(s.Close)
	return s
}

// visitor is a browser without scripts.
type visitor struct {
	t *testing.T
	s *Server
	c *http.Client
}

func visit(t *testing.T, s *Server) *visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // a certificate of the test's own
	t.Cleanup(tr.CloseIdleConnections)
	return &visitor{t, s, &http.Client{Jar: jar, Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// ask sends a request; change may alter it.
func (v *visitor) ask(method, path string, form url.Values, change func(r *http.Request)) (*http.Response, string) {
	v.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(v.t.Context(), method, strings.TrimSuffix(v.s.URL(), "/")+path, body)
	if err != nil {
		v.t.Fatal(err)
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if change != nil {
		change(r)
	}
	answer, err := v.c.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return answer, string(text)
}

func (v *visitor) login(token string) *http.Response {
	v.t.Helper()
	answer, _ := v.ask("POST", "/login", url.Values{"token": {token}, "next": {"/?q=1"}}, nil)
	return answer
}

// sees wants a page with that status and these words.
func (v *visitor) sees(path string, status int, words ...string) string {
	v.t.Helper()
	answer, text := v.ask("GET", path, nil, nil)
	if answer.StatusCode != status {
		v.t.Errorf("%s: %s, want %d", path, answer.Status, status)
	}
	for _, w := range words {
		if !strings.Contains(text, w) {
			v.t.Errorf("%s lacks %q:\n%s", path, w, text)
		}
	}
	return text
}

// stream reads the events of a page.
type events struct {
	t *testing.T
	r *bufio.Reader
}

func (v *visitor) stream(path string) (*events, *http.Response) {
	v.t.Helper()
	ctx, cancel := context.WithCancel(v.t.Context())
	v.t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, "GET", strings.TrimSuffix(v.s.URL(), "/")+path, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	answer, err := v.c.Do(r)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { answer.Body.Close() })
	return &events{v.t, bufio.NewReader(answer.Body)}, answer
}

// until reads up to an event that has the words, and gives its data.
func (e *events) until(event string, words ...string) string {
	e.t.Helper()
	name, data := "", ""
	for {
		line, err := e.r.ReadString('\n')
		if err != nil {
			e.t.Fatalf("before %s with %q: %v", event, words, err)
		}
		switch line = strings.TrimSuffix(line, "\n"); {
		case strings.HasPrefix(line, "event: "):
			name = line[7:]
		case strings.HasPrefix(line, "data: "):
			data += line[6:] + "\n"
		case line == "":
			has := name == event
			for _, w := range words {
				has = has && strings.Contains(data, w)
			}
			if has {
				return data
			}
			name, data = "", ""
		}
	}
}
