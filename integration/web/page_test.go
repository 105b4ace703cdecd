//go:build web

package web

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"dialtone/integration/peertest"
)

func dark() chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}})
}

func TestLogin(t *testing.T) {
	d := newDesk(t, "")
	b := d.open(900, 700)
	b.do(chromedp.Navigate(d.url+"?q=5550100"), chromedp.WaitVisible("#token"))
	b.picture("login")
	b.leads(chromedp.SendKeys("#token", "not-the-token-0123"), chromedp.Submit("#token"))
	b.sees(".alert", "not the token")
	b.picture("wrong-token")
	if got := value[string](b, `document.activeElement.id`); got != "token" {
		t.Errorf("after a wrong token the focus is on %q", got)
	}
	b.leads(chromedp.SendKeys("#token", token), chromedp.Submit("#token"))
	b.sees("#number", "5550100", "192.0.2.1") // what was asked for before
	if got := value[string](b, `document.cookie`); got != "" {
		t.Errorf("scripts see the cookie: %s", got)
	}
	// Another page of the same browser ends with the session.
	b.leads(chromedp.Click("header button"))
	b.do(chromedp.Navigate(d.url))
	b.sees("h1", "Log in")
	for tries := 0; !strings.Contains(b.sees("main", "Log in"), "Too many attempts"); tries++ {
		if tries == 20 { // some come in one minute and some in the next
			t.Fatal("nobody is held up who tries for the 20th time")
		}
		b.leads(chromedp.SendKeys("#token", "not-the-token-0123"), chromedp.Submit("#token"))
	}
	b.picture("too-many")
}

func TestSearch(t *testing.T) {
	d := newDesk(t, "")
	b := d.open(900, 900)
	b.login()
	b.sees("#secondaries", "No faults", "Secondaries")
	b.picture("start")
	for _, text := range []string{"5550100", "555-0100", " +5 (55) 01.00 ", "tel:555-0100"} {
		b.search(text)
		b.sees("#number", "5550100", "Registered", "192.0.2.1", "none: it stays")
		b.sees("#history", "192.0.2.1 now", "for longer than the journal knows")
	}
	b.search("5559999")
	b.sees("#number", "5559999", "Not registered", "calls do not get through")
	b.sees("#history", "Nothing has happened to this number")
	b.picture("empty")
	b.search("call me")
	b.sees(".alert", "is not a number")
	b.picture("not-a-number")
	if got := value[string](b, `document.activeElement.id`); got != "q" {
		t.Errorf("after a mistake the focus is on %q", got)
	}
	b.search(`<img src=x onerror="alert(1)">`)
	b.sees(".alert", "<img src=x", "is not a number")
}

func TestHistory(t *testing.T) {
	d := newDesk(t, "")
	key := peertest.Write(t, d.Dir, "5551234.key", d.dialtone("key", "show", "5551234"))
	register := func(args ...string) {
		t.Helper()
		args = append([]string{peertest.Binary(t), "register", "5551234", "--server", d.Addr, "--zone", phones, "--key-file", key}, args...)
		if r := peertest.Run(t, d.Dir, "", args...); r.Code != 0 {
			t.Fatalf("register: %s%s", r.Stdout, r.Stderr)
		}
	}
	register("--address", "192.0.2.17", "--lease", "1s", "--sip-port", "5060")
	c := peertest.NewClient(d.Addr, "udp", nil)
	defer c.Close()
	peertest.Eventually(t, peertest.Patience, "the end of the lease", func() error {
		if out := d.dialtone("number", "history", "5551234"); !strings.Contains(out, "lease end") {
			return fmt.Errorf("history: %s", out)
		}
		return nil
	})
	d.update("5551234", "192.0.2.44")
	d.dialtone("key", "revoke", "5551234")
	d.dialtone("number", "release", "5551234", "--keep-secret")
	peertest.Write(t, d.Dir, "5551234.key", d.dialtone("key", "show", "5551234"))
	register("--address", "198.51.100.20", "--address", "2001:db8::20", "--lease", "1h")

	b := d.open(900, 1200)
	b.login()
	b.search("555-1234")
	b.sees("#number", "198.51.100.20", "2001:db8::20", "left, until", "from 127.0.0.1, signed by 5551234.phones.example.", "shared secret, generation 2")
	text := b.sees("#history", "The journal goes back to")
	at := 0
	for _, want := range []string{"198.51.100.20 and 2001:db8::20 now", "Not registered", "released by the operator", "Secret revoked", "192.0.2.44", "unsigned",
		"Not registered", "its lease ended", "192.0.2.17", "signed by 5551234.phones.example."} {
		i := strings.Index(text[at:], want)
		if i < 0 {
			t.Fatalf("the history lacks %q behind\n%s\nin\n%s", want, text[:at], text)
		}
		at += i
	}
	b.do(chromedp.Click("#history details summary"))
	b.sees("#history details", "5551234.phones.example. 60 IN A 198.51.100.20")
	b.picture("light")
	b.do(dark())
	b.picture("dark")
	// Without scripts the history is a page of its own.
	b.do(emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(d.url+"?q=5551234"), chromedp.Click("noscript a, #history a"), chromedp.WaitVisible(".timeline"))
	b.picture("without-scripts")
	b.do(emulation.SetScriptExecutionDisabled(false))
}

func TestLiveUpdate(t *testing.T) {
	d := newDesk(t, "")
	b := d.open(900, 1000)
	b.login()
	b.search("5550100")
	b.sees("#live", "live")
	b.sees("#history", "192.0.2.1")
	b.do(chromedp.Evaluate(`window.same = true`, nil))
	d.update("5550100", "192.0.2.77")
	b.sees("#number .addresses", "192.0.2.77")
	b.sees("#announce", "") // read by screen readers, and seen by nobody
	if got := value[string](b, `document.getElementById("announce").textContent`); got != "5550100 is now at 192.0.2.77" {
		t.Errorf("announced: %q", got)
	}
	b.sees("#history", "192.0.2.77 now", "192.0.2.1", "unsigned")
	if n := value[int](b, `document.querySelectorAll("#history .now").length`); n != 1 {
		t.Errorf("the history has %d presents", n)
	}
	b.sees("#number", "unsigned", "s ago)")
	d.update("5550100", "192.0.2.78")
	b.sees("#history", "192.0.2.78 now", "192.0.2.77", "192.0.2.1")
	// A look at the number is counted, and charted.
	for range 50 {
		d.update("5550100", "192.0.2.78")
	}
	peertest.Eventually(t, peertest.Patience, "the chart of updates", func() error {
		if label := value[string](b, `document.getElementById("chart-updates").getAttribute("aria-label")`); strings.Contains(label, "at most 0,") {
			return fmt.Errorf("label %q", label)
		}
		return nil
	})
	if n := value[int](b, `document.querySelectorAll("#chart-updates canvas").length`); n != 1 {
		t.Errorf("%d canvases", n)
	}
	b.picture("live")
	if !value[bool](b, `window.same === true`) {
		t.Error("the page was loaded again")
	}
	d.Kill(t)
	b.sees("#live", "not connected")
}

func TestKeyboardAlone(t *testing.T) {
	d := newDesk(t, "")
	d.update("5551234", "192.0.2.9")
	b := d.open(900, 900)
	focused := func() string {
		return value[string](b, `document.activeElement.id || document.activeElement.textContent.trim().slice(0, 40)`)
	}
	press := func(keys string) { b.do(chromedp.KeyEvent(keys)) }
	b.do(chromedp.Navigate(d.url), chromedp.WaitVisible("#token"))
	if got := focused(); got != "token" {
		t.Fatalf("the focus is on %q", got)
	}
	press(token + kb.Enter)
	b.do(chromedp.WaitVisible("#q"))
	if got := focused(); got != "q" {
		t.Fatalf("the focus is on %q", got)
	}
	press("555 1234" + kb.Enter)
	b.sees("#history", "192.0.2.9 now")
	if got := focused(); got != "number-title" {
		t.Errorf("after the search the focus is on %q", got)
	}
	// All that can be used is reached by Tab, in the order of the page, and shows that it has the focus.
	var order []string
	b.do(chromedp.Evaluate(`document.activeElement.blur(); window.getSelection().removeAllRanges(); document.body.focus()`, nil))
	b.do(chromedp.Navigate(d.url+"?q=5551234"), chromedp.WaitVisible("#history details"))
	b.sees("#history", "192.0.2.9 now")
	press("/")
	if got := focused(); got != "q" {
		t.Errorf("after / the focus is on %q", got)
	}
	for range 4 {
		order = append(order, focused())
		if width := value[string](b, `getComputedStyle(document.activeElement).outlineStyle`); width == "none" {
			t.Errorf("%s does not show the focus", focused())
		}
		press(kb.Tab)
	}
	want := []string{"q", "Search", "Records (1)", "Changed records"}
	if strings.Join(order, "|") != strings.Join(want, "|") {
		t.Errorf("Tab goes to %q, want %q", order, want)
	}
	press(kb.Shift)
	b.do(chromedp.KeyEvent(kb.Tab, chromedp.KeyModifiers(input.ModifierShift)))
	press(kb.Enter)
	b.sees("#history details", "5551234.phones.example. 60 IN A 192.0.2.9")
	b.picture("focus")
	// The first Tab of a page is the way past the header.
	b.do(chromedp.Navigate(d.url+"?q=5551234"), chromedp.WaitVisible("#number-title"))
	b.do(chromedp.Evaluate(`document.querySelector(".skip").focus()`, nil))
	b.picture("skip")
	press(kb.Enter)
	if got := focused(); got != "main" {
		t.Errorf("the link past the header leads to %q", got)
	}
}

func TestNarrowScreen(t *testing.T) {
	d := newDesk(t, "")
	d.update("441632960961234", "192.0.2.9")
	d.update("441632960961234", "192.0.2.10")
	b := d.open(360, 740)
	b.do(chromedp.Navigate(d.url), chromedp.WaitVisible("#token"))
	b.fitsWidth()
	b.picture("login")
	b.login()
	b.sees("#secondaries", "No faults")
	b.fitsWidth()
	b.picture("start")
	b.search("+44 1632 960961234")
	b.sees("#history", "192.0.2.10 now", "192.0.2.9")
	b.fitsWidth()
	b.do(chromedp.Click("#number summary"), chromedp.Click("#history summary"))
	b.fitsWidth()
	b.picture("number")
	b.do(dark())
	b.picture("dark")
	// What is to be touched is large enough (WCAG 2.2, criterion 2.5.8).
	small := value[[]string](b, `[...document.querySelectorAll("button, input, select, summary")].filter(e => { const r = e.getBoundingClientRect(); return r.width > 0 && r.height < 24; }).map(e => e.outerHTML)`)
	if len(small) > 0 {
		t.Errorf("too small for a finger: %q", small)
	}
	b.search(strings.Repeat("x", 180))
	b.fitsWidth()
}

// TestContrast reads the colours of all text as they are shown, and wants those of WCAG 2.2, criterion 1.4.3.
func TestContrast(t *testing.T) {
	d := newDesk(t, "")
	d.update("5551234", "192.0.2.9")
	d.update("5551234", "192.0.2.10")
	d.dialtone("key", "revoke", "5551234")
	b := d.open(900, 1000)
	b.login()
	b.search("5551234")
	b.sees("#history", "Secret revoked")
	for _, scheme := range []string{"light", "dark"} {
		b.do(emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
		bad := value[[]string](b, contrastScript)
		for _, x := range bad {
			t.Errorf("%s: %s", scheme, x)
		}
	}
}

const contrastScript = `(() => {
  const rgb = (s) => { const m = s.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const light = (c) => { const f = c.slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * f[0] + 0.7152 * f[1] + 0.0722 * f[2]; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = rgb(getComputedStyle(e).backgroundColor); if (c[3] === 1) return c; } return [255, 255, 255, 1]; };
  const bad = [];
  for (const e of document.querySelectorAll("body *")) {
    if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim()) || e.closest(".sr, .skip, noscript, svg")) continue;
    const a = light(rgb(getComputedStyle(e).color)), b = light(behind(e));
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) bad.push(e.tagName + "." + e.className + " " + ratio.toFixed(2) + ": " + e.textContent.trim().slice(0, 30));
  }
  return bad;
})()`

// TestNames wants everything that can be used to have a name for screen readers, and one first heading.
func TestNames(t *testing.T) {
	d := newDesk(t, "")
	d.update("5551234", "192.0.2.9")
	b := d.open(900, 1000)
	b.login()
	b.search("5551234")
	b.sees("#history", "192.0.2.9 now")
	var nodes []*cdp.Node
	b.do(chromedp.Nodes("a, button, input:not([type=hidden]), select, summary, [role=img], section", &nodes, chromedp.ByQueryAll))
	if len(nodes) < 8 {
		t.Fatalf("%d nodes", len(nodes))
	}
	nameless := value[[]string](b, `[...document.querySelectorAll("a, button, input:not([type=hidden]), select, summary, [role=img], section")].filter(e => !(e.getAttribute("aria-label") || (e.labels && e.labels.length) || e.textContent.trim() && e.tagName !== "SECTION" || (e.getAttribute("aria-labelledby") && document.getElementById(e.getAttribute("aria-labelledby"))))).map(e => e.outerHTML.slice(0, 80))`)
	if len(nameless) > 0 {
		t.Errorf("without a name: %q", nameless)
	}
	if n := value[int](b, `document.querySelectorAll("h1").length`); n != 1 {
		t.Errorf("%d first headings", n)
	}
	if got := value[string](b, `document.title`); got != "5551234 – dialtone" {
		t.Errorf("title %q", got)
	}
	if n := value[int](b, `new Set([...document.querySelectorAll("[id]")].map(e => e.id)).size - document.querySelectorAll("[id]").length`); n != 0 {
		t.Errorf("%d ids come twice", -n)
	}
}

// TestSecondaries shows one that does not answer, and one that has fetched an older zone.
func TestSecondaries(t *testing.T) {
	silent := strings.Replace(unused(t), "127.0.0.1", "127.0.0.2", 1) // who fetches is another
	d := newDesk(t, `notify: ["`+silent+`"]`)
	peertest.MustAXFR(t, d.Addr, phones+".")
	d.update("5551234", "192.0.2.9")
	b := d.open(900, 1000)
	b.login()
	b.sees("#secondaries tbody", silent, "not known", "127.0.0.1", "1 change behind", "phones.example.")
	peertest.MustAXFR(t, d.Addr, phones+".")
	b.sees("#secondaries tbody", "up to date")
	b.picture("secondaries")
	// One that says that it has more than there is.
	peertest.Run(t, d.Dir, "", peertest.Program(t, "dig"), "@127.0.0.1", "-p", strconv.Itoa(d.Port), "+tcp", "-t", "IXFR=99", phones)
	b.sees("#faults", "newer than the zone's")
	b.picture("fault")
	b.do(emulation.SetDeviceMetricsOverride(360, 740, 1, false))
	b.fitsWidth()
	b.picture("narrow")
}
