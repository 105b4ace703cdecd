//go:build web

package web

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"dialtone/integration/peertest"
)

const (
	phones = "phones.example"
	token  = "a-token-for-the-desk-0123"
)

const phonesText = `$ORIGIN phones.example.
$TTL 60
@ IN SOA ns1.phones.example. hostmaster.phones.example. 1 3600 600 86400 30
@ IN NS ns1
ns1 IN A 127.0.0.1
5550100 IN A 192.0.2.1
`

// pictures is where pictures of the pages are left.
var pictures string

func TestMain(m *testing.M) {
	var err error
	if pictures, err = os.MkdirTemp("", "dialtone-web-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	fmt.Println("pictures of the pages:", pictures)
	peertest.Cleanup()
	os.Exit(code)
}

// desk is a server with its page.
type desk struct {
	*peertest.Server
	t   *testing.T
	url string
}

// newDesk runs the built binary. More is a setting of its zone.
func newDesk(t *testing.T, more string) *desk {
	t.Helper()
	s := peertest.Dialtone(t, phones, `
listen: ["127.0.0.1:PORT"]
data_dir: DIR/data
zones:
  - name: phones.example
    file: DIR/phones.zone
    derived_keys: {seed_file: seed}
    lease: {min: 1s}
    `+more+`
    acl:
      - {key: "*", action: update, self_number: true, max_records: 8}
      - {address: 127.0.0.0/8, action: [update, transfer]}
web: {listen: "127.0.0.1:0", token_file: web.token}
`, map[string]string{"phones.zone": phonesText, "web.token": token + "\n", "seed": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n"})
	s.Says(t, "url=http")
	_, rest, _ := strings.Cut(s.Log(), "url=")
	return &desk{Server: s, t: t, url: strings.Trim(strings.Fields(rest)[0], `"`)}
}

// update sends one RFC 2136 update of a number, with the address alone.
func (d *desk) update(number, address string) {
	d.t.Helper()
	c := peertest.NewClient(d.Addr, "udp", nil)
	defer c.Close()
	rcode, err := c.Do(peertest.Register(phones+".", number+"."+phones+".", address))
	if err != nil || rcode != 0 {
		d.t.Fatalf("update of %s: RCODE %d, %v", number, rcode, err)
	}
}

// dialtone runs a command on the server's configuration.
func (d *desk) dialtone(args ...string) string {
	d.t.Helper()
	args = append([]string{peertest.Binary(d.t)}, append(args, "--config", d.Dir+"/dialtone.yaml")...)
	r := peertest.Run(d.t, d.Dir, "", args...)
	if r.Code != 0 {
		d.t.Fatalf("%s: exit code %d\n%s%s", strings.Join(args[1:], " "), r.Code, r.Stdout, r.Stderr)
	}
	return r.Stdout
}

// browser is a tab of a browser of its own.
type browser struct {
	t   *testing.T
	d   *desk
	ctx context.Context
	mu  struct {
		sync.Mutex
		requests []string // all that it asked for
		faults   []string // errors of scripts, and what the content security policy refused
	}
}

// open starts a browser with a window of that size.
func (d *desk) open(width, height int) *browser {
	d.t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(peertest.Program(d.t, "chromium")), chromedp.WindowSize(width, height),
		chromedp.NoSandbox, // tests may run as root, for whom Chromium has none
		chromedp.Flag("disable-background-networking", true), chromedp.Flag("disable-component-update", true), chromedp.Flag("force-color-profile", "srgb"))
	ctx, cancel := context.WithTimeout(d.t.Context(), 2*peertest.Patience)
	d.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewExecAllocator(ctx, options...)
	d.t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	d.t.Cleanup(cancel)
	b := &browser{t: d.t, d: d, ctx: ctx}
	chromedp.ListenTarget(ctx, b.hears)
	b.do(network.Enable(), log.Enable(), emulation.SetDeviceMetricsOverride(int64(width), int64(height), 1, false))
	d.t.Cleanup(b.check)
	return b
}

func (b *browser) hears(event any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		b.mu.requests = append(b.mu.requests, e.Request.URL)
	case *cdpruntime.EventExceptionThrown:
		b.mu.faults = append(b.mu.faults, e.ExceptionDetails.Error())
	case *log.EventEntryAdded:
		if e.Entry.Source != log.SourceNetwork && (e.Entry.Level == log.LevelError || e.Entry.Level == log.LevelWarning) {
			b.mu.faults = append(b.mu.faults, e.Entry.Text)
		}
	}
}

// check wants that nothing was asked for elsewhere, and that no script failed.
func (b *browser) check() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range b.mu.requests {
		if !strings.HasPrefix(r, b.d.url) {
			b.t.Errorf("the page asked for %s, which is elsewhere", r)
		}
	}
	for _, f := range b.mu.faults {
		b.t.Errorf("the browser complains: %s", f)
	}
	if len(b.mu.requests) == 0 {
		b.t.Error("the browser asked for nothing")
	}
}

// do does what the browser is told, in order.
func (b *browser) do(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.picture("failed")
		b.t.Fatal(err)
	}
}

// sees waits until the text of what a selector finds has all of the words.
func (b *browser) sees(selector string, words ...string) string {
	b.t.Helper()
	var text string
	peertest.Eventually(b.t, peertest.Patience, "what "+selector+" shows", func() error {
		script := fmt.Sprintf(`(document.querySelector(%q) || {innerText: "(nothing)"}).innerText`, selector)
		if err := chromedp.Run(b.ctx, chromedp.Evaluate(script, &text)); err != nil {
			return err
		}
		for _, w := range words {
			if !strings.Contains(text, w) {
				return fmt.Errorf("%q lacks %q", text, w)
			}
		}
		return nil
	})
	return text
}

// value evaluates an expression.
func value[T any](b *browser, expression string) (v T) {
	b.t.Helper()
	b.do(chromedp.Evaluate(expression, &v))
	return v
}

// picture leaves a picture of the whole page.
func (b *browser) picture(name string) {
	b.t.Helper()
	var png []byte
	err := chromedp.Run(b.ctx, chromedp.ActionFunc(func(ctx context.Context) (err error) {
		png, err = page.CaptureScreenshot().WithCaptureBeyondViewport(true).Do(ctx)
		return err
	}))
	if err == nil {
		name = strings.ReplaceAll(b.t.Name(), "/", "-") + "-" + name + ".png"
		err = os.WriteFile(filepath.Join(pictures, name), png, 0o600)
	}
	if err != nil {
		b.t.Errorf("picture %s: %v", name, err)
	}
}

// leads does what loads another page, and waits for that.
func (b *browser) leads(actions ...chromedp.Action) {
	b.t.Helper()
	b.do(chromedp.Evaluate(`window.old = true`, nil))
	b.do(actions...)
	peertest.Eventually(b.t, peertest.Patience, "the next page", func() error {
		var ready bool
		err := chromedp.Run(b.ctx, chromedp.Evaluate(`window.old === undefined && document.readyState === "complete"`, &ready))
		if err == nil && !ready {
			err = errors.New("it has not come")
		}
		return err
	})
}

// login goes to the page and gives the token.
func (b *browser) login() {
	b.t.Helper()
	b.do(chromedp.Navigate(b.d.url))
	b.leads(chromedp.SendKeys("#token", token), chromedp.Submit("#token"))
	b.do(chromedp.WaitVisible("#q"))
}

// search types a number and waits for the answer.
func (b *browser) search(text string) {
	b.t.Helper()
	b.leads(chromedp.SetValue("#q", text), chromedp.Submit("#q"))
}

// fitsWidth wants no scrolling sideways.
func (b *browser) fitsWidth() {
	b.t.Helper()
	if got := value[string](b, `[document.documentElement.scrollWidth, document.documentElement.clientWidth, [...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && !e.closest(".sr")).map(e => e.tagName + "." + e.className).slice(0, 5)].join(" ")`); !fits(got) {
		b.t.Errorf("the page scrolls sideways: %s", got)
	}
}

func fits(text string) bool {
	var scroll, client int
	_, err := fmt.Sscan(text, &scroll, &client)
	return err == nil && scroll <= client
}

// unused gives an address where nothing listens.
func unused(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}
