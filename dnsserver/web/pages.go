package web

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dialtone/dnsserver"
	"dialtone/dnsserver/control"
)

//go:embed templates
var templateFiles embed.FS

// templates escape whatever they show.
var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"iso":     func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
	"utc":     func(t time.Time) string { return t.UTC().Format(time.DateTime + " UTC") },
	"grouped": grouped,
}).ParseFS(templateFiles, "templates/*.html"))

// page is what the templates of whole pages show.
type page struct {
	Title, Error string
	Next         string // where the login leads
	LoggedIn     bool

	Query, Zone string
	Zones       []string // to choose from
	NameZone    bool     // there are too many to list
	Choices     []choice // zones that have the number
	Missing     string   // why there is no number to show
	Number      *numberView
	History     *historyView // of the page without scripts
	HistoryURL  string
	EventsURL   string
	Overview    overviewView
}

// choice is one of the zones that have a number.
type choice struct{ Zone, URL string }

// Zones that a number is looked for in, when none is named, and that can be chosen from.
const maxSearched, maxChoice = 20, 200

func (s *Server) render(w http.ResponseWriter, status int, name string, p page) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, p); err != nil {
		s.log.Error("a page cannot be made", "op", "web", "page", name, "err", err)
		http.Error(w, "This page cannot be made: see the server's log.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = b.WriteTo(w)
}

func (s *Server) nothing(w http.ResponseWriter, r *http.Request) {
	s.render(w, http.StatusNotFound, "nothing", page{Title: "No such page", LoggedIn: true})
}

// index is the page: the search, what was found, and how the server is.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	p := s.found(r)
	if p.Error != "" {
		status = http.StatusBadRequest
	}
	p.Overview = s.shared.get(s.from).view
	s.render(w, status, "index", p)
}

// found makes a page of what a request asks for.
func (s *Server) found(r *http.Request) page {
	q := r.URL.Query()
	p := page{Title: "dialtone", LoggedIn: true, Query: cut(q.Get("q")), Zone: cut(q.Get("zone")), EventsURL: "/events"}
	zones := s.from.ZoneNames(maxChoice + 1)
	if len(zones) > maxChoice {
		zones, p.NameZone = nil, true
	}
	if len(zones) > 1 {
		p.Zones = zones
	}
	if p.Query != "" {
		s.find(r.Context(), &p, zones)
	}
	return p
}

// cut bounds what is shown again of what somebody has written.
func cut(text string) string {
	text = strings.TrimSpace(text)
	if len(text) > 200 {
		return strings.ToValidUTF8(text[:200], "")
	}
	return text
}

// find looks for the number that a page is about.
func (s *Server) find(ctx context.Context, p *page, zones []string) {
	number, err := s.o.ParseNumber(p.Query)
	if err != nil {
		p.Title, p.Error = "Not a number", sentence(err.Error())
		return
	}
	p.Title = number
	switch {
	case p.Zone != "":
		zones = []string{p.Zone}
	case p.NameZone || len(zones) > maxSearched:
		p.Error = "Say in which zone: this server has too many to look in all of them."
		return
	}
	var shown []dnsserver.NumberInfo
	for _, zone := range zones {
		i, err := s.from.Number(ctx, dnsserver.NumberQuestion{Zone: zone, Number: number})
		if err != nil {
			p.Error = s.apology(err)
			return
		}
		if len(zones) == 1 || len(i.Records) > 0 || !i.Updated.IsZero() {
			shown = append(shown, i)
		}
	}
	switch len(shown) {
	case 0:
		p.Missing = number
	case 1:
		p.Zone = shown[0].Zone
		p.Number = numberOf(shown[0], nil)
		ask := "?" + url.Values{"q": {number}, "zone": {p.Zone}}.Encode()
		p.EventsURL, p.HistoryURL = "/events"+ask, "/history"+ask
	default:
		for _, i := range shown {
			p.Choices = append(p.Choices, choice{i.Zone, "/?" + url.Values{"q": {p.Query}, "zone": {i.Zone}}.Encode()})
		}
	}
}

// apology is what is said of an error: what who asks can correct, or that the log knows.
func (s *Server) apology(err error) string {
	var mistake *control.Mistake
	if errors.As(err, &mistake) {
		return sentence(mistake.Text)
	}
	s.log.Error("the web page cannot be answered", "op", "web", "err", err)
	return "The server could not read what it has stored: see its log."
}

func sentence(text string) string {
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:] + "."
}

// historyPage is the page with the history in it, for browsers without scripts.
func (s *Server) historyPage(w http.ResponseWriter, r *http.Request) {
	p := s.found(r)
	if p.Number == nil {
		http.Redirect(w, r, "/?"+r.URL.RawQuery, http.StatusSeeOther)
		return
	}
	var pasts []*dnsserver.NumberPast
	var end *dnsserver.HistoryEnd
	q := dnsserver.HistoryQuestion{NumberQuestion: dnsserver.NumberQuestion{Zone: p.Zone, Number: p.Number.Digits}, Limit: maxPasts}
	for i, err := range s.from.NumberHistory(r.Context(), q) {
		switch {
		case err != nil:
			p.Error = s.apology(err)
		case i.Past != nil:
			pasts = append(pasts, i.Past)
		case i.End != nil:
			end = i.End
		}
	}
	p.History = historyOf(pasts, end)
	p.Number.dated(pasts)
	p.Number.Waiting = false
	p.Overview = s.shared.get(s.from).view
	s.render(w, http.StatusOK, "index", p)
}

// grouped writes 1234567 as 1,234,567.
func grouped(n int) string {
	s := strconv.Itoa(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

type contextKey struct{}

func contextWith(ctx context.Context, x *session) context.Context {
	return context.WithValue(ctx, contextKey{}, x)
}

func sessionIn(ctx context.Context) *session {
	x, _ := ctx.Value(contextKey{}).(*session)
	return x
}
