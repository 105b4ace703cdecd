package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// sessions are the browsers that are logged in. Only hashes of their cookies are kept, and of the token.
type sessions struct {
	token [sha256.Size]byte
	from  Source
	mu    struct {
		sync.Mutex
		all map[[sha256.Size]byte]*session
	}
}

// session is one browser.
type session struct {
	ends    time.Time
	over    chan struct{} // closed when it has logged out
	streams int           // sessions.mu guards it
}

const (
	sessionTime = 12 * time.Hour // a day at the desk
	maxSessions = 256            // the one that ends first makes room
	// sessionStreams is less than the connections that a browser makes to one
	// server, so that the next page still loads.
	sessionStreams = 5
)

func (s *sessions) init(token string, from Source) {
	s.token, s.from = sha256.Sum256([]byte(token)), from
	s.mu.all = map[[sha256.Size]byte]*session{}
}

// isToken compares in constant time, whatever the lengths.
func (s *sessions) isToken(text string) bool {
	got := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(got[:], s.token[:]) == 1
}

// begin makes a session and gives its cookie's value.
func (s *sessions) begin(now time.Time) string {
	var raw [32]byte
	rand.Read(raw[:]) // never fails
	value := base64.RawURLEncoding.EncodeToString(raw[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	var first [sha256.Size]byte
	for id, x := range s.mu.all {
		if !now.Before(x.ends) {
			s.endLocked(id)
		} else if f := s.mu.all[first]; f == nil || x.ends.Before(f.ends) {
			first = id
		}
	}
	if len(s.mu.all) >= maxSessions {
		s.endLocked(first)
	}
	s.mu.all[sha256.Sum256([]byte(value))] = &session{ends: now.Add(sessionTime), over: make(chan struct{})}
	s.from.Web().Sessions.Store(int64(len(s.mu.all)))
	return value
}

func (s *sessions) endLocked(id [sha256.Size]byte) {
	if x := s.mu.all[id]; x != nil {
		close(x.over)
		delete(s.mu.all, id)
	}
	s.from.Web().Sessions.Store(int64(len(s.mu.all)))
}

func (s *sessions) end(cookie string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLocked(sha256.Sum256([]byte(cookie)))
}

// find gives the session of a cookie; nil when there is none.
func (s *sessions) find(cookie string, now time.Time) *session {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.mu.all[sha256.Sum256([]byte(cookie))]
	if x == nil || !now.Before(x.ends) {
		return nil
	}
	return x
}

// stream counts a stream of the session; false when it has enough.
func (s *sessions) stream(x *session, by int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if by > 0 && x.streams >= sessionStreams {
		return false
	}
	x.streams += by
	return true
}

// cookieName binds the cookie to this host where the browser can see to that.
func (s *Server) cookieName() string {
	if s.o.TLS != nil {
		return "__Host-dialtone"
	}
	return "dialtone"
}

func (s *Server) setCookie(w http.ResponseWriter, value string, age int) {
	http.SetCookie(w, &http.Cookie{
		Name: s.cookieName(), Value: value, Path: "/", MaxAge: age, HttpOnly: true, Secure: s.o.TLS != nil, SameSite: http.SameSiteStrictMode,
	})
}

func (s *Server) sessionOf(r *http.Request) *session {
	c, err := r.Cookie(s.cookieName())
	if err != nil {
		return nil
	}
	return s.session.find(c.Value, time.Now())
}

// known lets pass who is logged in, and leads all others to the login.
func (s *Server) known(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		x := s.sessionOf(r)
		if x == nil {
			if r.URL.Path == "/events" { // a stream cannot be led anywhere
				http.Error(w, "log in first", http.StatusUnauthorized)
				return
			}
			http.Redirect(w, r, "/login?next="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return
		}
		next(w, r.WithContext(contextWith(r.Context(), x)))
	}
}

func (s *Server) showLogin(w http.ResponseWriter, r *http.Request) {
	if s.sessionOf(r) != nil {
		http.Redirect(w, r, ownPath(r.URL.Query().Get("next")), http.StatusSeeOther)
		return
	}
	s.render(w, http.StatusOK, "login", page{Title: "Log in", Next: ownPath(r.URL.Query().Get("next"))})
}

func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, 8<<10)
	if err := r.ParseForm(); err != nil {
		s.render(w, http.StatusBadRequest, "login", page{Title: "Log in", Next: "/", Error: "The form could not be read: try again."})
		return
	}
	from, next := source(r), ownPath(r.PostForm.Get("next"))
	if !s.limits.mayTry(from, time.Now()) {
		w.Header().Set("Retry-After", "60")
		s.log.Warn("too many attempts to log in", "op", "web", "remote", from)
		s.render(w, http.StatusTooManyRequests, "login", page{Title: "Log in", Next: next, Error: "Too many attempts: wait for a minute, then try again."})
		return
	}
	if !s.session.isToken(strings.TrimSpace(r.PostForm.Get("token"))) {
		s.from.Web().LoginsFailed.Add(1)
		s.log.Warn("log in with a wrong token", "op", "web", "remote", from)
		s.render(w, http.StatusForbidden, "login", page{Title: "Log in", Next: next, Error: "This is not the token. Who runs the server has it, in the file that web.token_file names."})
		return
	}
	s.limits.forgive(from)
	s.from.Web().Logins.Add(1)
	s.log.Info("logged in", "op", "web", "remote", from)
	s.setCookie(w, s.session.begin(time.Now()), int(sessionTime/time.Second))
	http.Redirect(w, r, next, http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	if c, err := r.Cookie(s.cookieName()); err == nil {
		s.session.end(c.Value)
	}
	s.setCookie(w, "", -1)
	http.Redirect(w, r, "/login", http.StatusSeeOther)
}

// ownPath gives a path of this server, and the first page for all else: nobody is led elsewhere.
func ownPath(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "" || u.Host != "" || u.Opaque != "" || !strings.HasPrefix(text, "/") || strings.HasPrefix(text, "//") ||
		strings.ContainsAny(text, "\\\r\n\t") || strings.HasPrefix(text, "/login") || strings.HasPrefix(text, "/events") {
		return "/"
	}
	return text
}
