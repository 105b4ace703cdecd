package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"dialtone/integration/peertest"
	"dialtone/integration/stage"
)

// Numbers of the story.
const (
	numberA = "5551234" // a phone without a fixed address
	numberB = "5555678" // another
	numberC = "5550010" // a phone with a fixed address
	numberD = "5559999" // a customer of the provider who has nothing to do with the others
)

// story is the stage with its usual cast. A and B are phones of the provider, and not connected yet; C has a fixed address.
// On A there is an agent, which finds the server by itself; B registers by a hook of its DHCP client.
type story struct {
	*stage.Stage
	server *stage.Server
	a, b   *stage.Phone
	agent  *peertest.Process // of A
	c      *stage.Host
}

func newStory(t *testing.T) *story {
	t.Helper()
	s := stage.New(t)
	return castStory(t, s, s.NumberServer(t, []string{numberA, numberB, numberC, numberD}))
}

func castStory(t *testing.T, s *stage.Stage, server *stage.Server) *story {
	t.Helper()
	st := &story{Stage: s, server: server}
	s.DHCP(t)
	st.a, st.b = s.Phone(t, "a", numberA), s.Phone(t, "b", numberB)
	st.agent = runAgent(t, st.a)
	st.b.OnAddress(strings.Join([]string{peertest.Binary(t), "register", numberB, "--server", stage.ServerAddr,
		"--key-file", st.b.KeyFile, "--address", "$ip"}, " "))
	st.c = s.Fixed(t, "c", stage.CallerAddr)
	return st
}

// runAgent keeps a phone registered from then on.
func runAgent(t *testing.T, p *stage.Phone, flags ...string) *peertest.Process {
	t.Helper()
	return p.Start(t, append([]string{peertest.Binary(t), "phone", p.Number, "--key-file", p.KeyFile}, flags...)...)
}

// connect connects a phone and waits until the server knows where it is.
func (s *story) connect(t *testing.T, p *stage.Phone, wish ...string) {
	t.Helper()
	p.Connect(t, wish...)
	s.leads(t, s.c, p.Number, p.Addr)
}

// move makes the provider give a phone another address, as happens when it connects again, and gives the old one to somebody
// else, who is reached there from then on.
func (s *story) move(t *testing.T, p *stage.Phone) (old string, other *stage.Phone) {
	t.Helper()
	old = p.Addr
	p.Disconnect(t)
	other = s.Phone(t, "stranger", numberD)
	if got := other.Connect(t, old); got != old {
		t.Fatalf("the provider gave %s to the next customer, who asked for %s", got, old)
	}
	s.connect(t, p)
	if p.Addr == old {
		t.Fatalf("the provider gave %s to two phones", old)
	}
	return old, other
}

// nowhere is what a look-up gives for a number that has no address.
const nowhere = ""

// finders are the ways in which programs on a host find the addresses of a number: dialtone's own, and what phones
// really use. Each gives the addresses that it found, none for a number that has none.
var finders = map[string]func(t *testing.T, h *stage.Host, number string) ([]string, error){
	"dialtone lookup": func(t *testing.T, h *stage.Host, number string) (found []string, err error) {
		r := h.Run(t, peertest.Binary(t), "lookup", number, "--json")
		switch r.Code {
		case 0:
		case 5:
			return nil, nil
		default:
			return nil, errors.New(r.Stderr)
		}
		var l struct{ Contacts []struct{ Address string } }
		err = json.Unmarshal([]byte(r.Stdout), &l)
		for _, c := range l.Contacts {
			found = append(found, c.Address)
		}
		return found, err
	},
	"getaddrinfo": func(t *testing.T, h *stage.Host, number string) ([]string, error) {
		r := h.Run(t, peertest.Program(t, "getent"), "ahosts", hostOf(number))
		if r.Code != 0 && r.Code != 2 { // 2: not found
			return nil, fmt.Errorf("exit code %d: %s", r.Code, r.Stderr)
		}
		return firstWords(r.Stdout), nil
	},
	"c-ares": func(t *testing.T, h *stage.Host, number string) ([]string, error) {
		r := h.Run(t, peertest.Program(t, "node"), "-e", `require("dns").resolve4(process.argv[1], (err, found) => {
	if (err && err.code !== "ENOTFOUND") { console.error(err); process.exitCode = 1 }
	for (const a of found || []) console.log(a)
})`, hostOf(number))
		if r.Code != 0 {
			return nil, errors.New(r.Stderr)
		}
		return firstWords(r.Stdout), nil
	},
	"Go": func(t *testing.T, h *stage.Host, number string) ([]string, error) {
		self, err := os.Executable()
		if err != nil {
			return nil, err
		}
		r := h.Run(t, "env", resolveVariable+"="+hostOf(number), self)
		if r.Code != 0 {
			return nil, errors.New(r.Stderr)
		}
		return firstWords(r.Stdout), nil
	},
}

// resolveVariable makes the test's program resolve a name by Go's net, and do nothing else.
const resolveVariable = "DIALTONE_TEST_RESOLVE"

// resolveOnly is what it does then. It gives the exit code.
func resolveOnly(name string) int {
	found, err := (&net.Resolver{PreferGo: true}).LookupNetIP(context.Background(), "ip4", name)
	var none *net.DNSError
	if err != nil && (!errors.As(err, &none) || !none.IsNotFound) {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	for _, a := range found {
		fmt.Println(a)
	}
	return 0
}

func hostOf(number string) string { return number + "." + strings.TrimSuffix(stage.Zone, ".") }

// firstWords gives the first word of each line, each once.
func firstWords(text string) (words []string) {
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); len(f) > 0 && !slices.Contains(words, f[0]) {
			words = append(words, f[0])
		}
	}
	return words
}

// leads waits until a number leads a host to one address, and to no other, or nowhere. It is asked as programs on the host ask.
func (s *story) leads(t *testing.T, h *stage.Host, number, address string, by ...string) {
	t.Helper()
	if len(by) == 0 {
		by = []string{"dialtone lookup"}
	}
	var want []string
	if address != nowhere {
		want = []string{address}
	}
	for _, name := range by {
		peertest.Eventually(t, time.Minute, fmt.Sprintf("%s leads to %v for %s, by %s", number, want, h.Name, name), func() error {
			found, err := finders[name](t, h, number)
			if err == nil && !slices.Equal(found, want) {
				err = fmt.Errorf("it leads to %v", found)
			}
			return err
		})
	}
}

// find is one look-up of a number on a host.
func (s *story) find(t *testing.T, h *stage.Host, number string) (address string) {
	t.Helper()
	found, err := finders["dialtone lookup"](t, h, number)
	if err != nil || len(found) != 1 {
		t.Fatalf("%s looks up %s: %v, %v", h.Name, number, found, err)
	}
	return found[0]
}

// call looks a number up on a host and calls it where it is said to be. It gives the name of the host that answers.
func (s *story) call(t *testing.T, h *stage.Host, number string) (answered string) {
	t.Helper()
	at := netip.AddrPortFrom(netip.MustParseAddr(s.find(t, h, number)), 5060)
	answered, err := h.Call(t, number, at.String())
	if err != nil {
		t.Error(err)
	}
	return answered
}

// allocated is the address that a phone has from the provider, as the provider's table and the phone both say.
func (s *story) allocated(t *testing.T, p *stage.Phone) (address string) {
	t.Helper()
	peertest.Eventually(t, peertest.Patience, "the provider's table has what it gave to "+p.Name, func() error {
		// The provider may write after it has given.
		if table := s.Leases(t); table[p.MAC] != p.Addr || p.Addr == "" {
			return fmt.Errorf("%s (%s) has %q; the table is %v", p.Name, p.MAC, p.Addr, table)
		}
		return nil
	})
	return p.Addr
}

// table is what the server has: lines of a number and an address, sorted, out of a transfer of the zone.
func (s *story) table(t *testing.T) (lines []string) {
	t.Helper()
	out := s.server.Must(t, peertest.Program(t, "dig"), "@"+stage.ServerAddr, "+noall", "+answer", stage.Zone, "AXFR")
	if !strings.Contains(out, "SOA") {
		t.Fatalf("the server gives no copy of its zone: %q", out)
	}
	for line := range strings.Lines(out) {
		f := strings.Fields(line)
		if number, ok := strings.CutSuffix(f[0], "."+stage.Zone); ok && len(f) == 5 && f[3] == "A" && strings.Trim(number, "0123456789") == "" {
			lines = append(lines, number+" "+f[4])
		}
	}
	slices.Sort(lines)
	return lines
}

// serial is how many changes the server's zone has seen.
func (s *story) serial(t *testing.T) int {
	t.Helper()
	out := s.c.Must(t, peertest.Program(t, "dig"), "@"+stage.ServerAddr, "+short", stage.Zone, "SOA")
	f := strings.Fields(out)
	if len(f) != 7 {
		t.Fatalf("SOA of %s: %q", stage.Zone, out)
	}
	n, err := strconv.Atoi(f[2])
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// updates waits until the server's log has so many updates from an address that were carried out, and gives their lines.
func (s *story) updates(t *testing.T, from string, count int) (lines []string) {
	t.Helper()
	s.server.Ready(t, func() error {
		lines = logged(s.server, "op=update ", "remote="+from+":", "rcode=NOERROR")
		if len(lines) < count {
			return fmt.Errorf("updates from %s: %q", from, lines)
		}
		return nil
	})
	return lines
}

// logged are the lines of a server's log that say all of what is given.
func logged(server *stage.Server, say ...string) (lines []string) {
	for line := range strings.Lines(server.Log()) {
		if !slices.ContainsFunc(say, func(s string) bool { return !strings.Contains(line, s) }) {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}
