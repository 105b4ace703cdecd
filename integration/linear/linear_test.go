package linear

import (
	"context"
	"encoding/base64"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/miekg/dns"

	"dialtone/dnsserver"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

const (
	zone   = "phones.example."
	secret = "b8jnkvdkr8hC9ZzDbsgKbpiCMKxHkB/1Hd08kbpQ0Uo="
	text   = "@ 60 IN SOA ns.other.example. admin.other.example. 1 3600 600 86400 30\n@ 60 IN NS ns.other.example.\n"
)

// serve starts a server in this process, so that the race detector sees all of it.
func serve(t *testing.T, dir string) *dnsserver.Server {
	t.Helper()
	list, err := acl.Compile(rr.MustName(zone), []acl.Rule{
		{Addresses: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Actions: acl.Update | acl.Transfer},
		{AnyKey: true, Actions: acl.Update},
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	s, err := dnsserver.Start(context.Background(), dnsserver.Options{
		Listen:  []netip.AddrPort{netip.MustParseAddrPort("127.0.0.1:0"), netip.MustParseAddrPort("127.0.0.2:0")},
		DataDir: dir,
		Keys:    []tsig.Key{{Name: rr.MustName("shared."), Algorithm: tsig.HMACSHA256, Secret: raw}},
		Zones:   []dnsserver.ZoneOptions{{Apex: rr.MustName(zone), Text: text, ACL: list}},
		Limits:  dnsserver.Limits{Readers: 2},
		Logger:  slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestServerIsLinearizable lets clients update, look up and transfer through several sockets at once, and ends the server in
// the middle of it, twice. The server is part of this process: its races are found, too.
func TestServerIsLinearizable(t *testing.T) {
	h, dir := NewHistory(), t.TempDir()
	clients := NewClients(h, Options{Zone: zone, KeyName: "shared.", Secret: secret, Clients: 8, Seed: rand.Uint64()})
	for range 3 {
		s := serve(t, dir)
		var addrs []string
		for _, a := range s.Addrs() {
			addrs = append(addrs, a.String())
		}
		err := clients.RunUntil(addrs, 500, func() error { return s.Shutdown(context.Background()) })
		if err != nil {
			t.Fatal(err)
		}
	}
	ops, made, unknown := h.Count()
	t.Logf("%d operations, %d updates made, %d without an answer", ops, made, unknown)
	if made < 200 {
		t.Errorf("%d updates made of %d operations: too few to judge", made, ops)
	}
	begun := time.Now()
	if err := h.Check(time.Minute); err != nil {
		t.Error(err)
	}
	t.Logf("checked in %v", time.Since(begun))
}

// TestCheckerFindsWhatIsNotLinearizable has it judge histories that are known: those of servers that lose an update, answer
// from the past, show half an update or do one twice must not pass.
func TestCheckerFindsWhatIsNotLinearizable(t *testing.T) {
	type ops = []porcupine.Operation
	op := func(call, ret int64, in Input, out Output) porcupine.Operation {
		return porcupine.Operation{Call: call, Return: ret, Input: in, Output: out}
	}
	set := func(values ...Value) Input { return Input{Writes: values} }
	ifNone := Input{Prerequisites: []Prerequisite{{NotInUse, Value{Name: 0}}}, Writes: []Value{{0, 9}}}
	get, all, done, unknown := Input{Name: 0}, Input{All: true}, Output{}, Output{Unknown: true}
	sees := func(a, b uint32) Output { return Output{Values: State{a, b}} }
	for _, c := range []struct {
		name string
		ops  ops
		good bool
	}{
		{"one after the other", ops{op(1, 2, set(Value{0, 1}), done), op(3, 4, get, sees(1, 0))}, true},
		{"at once, seen", ops{op(1, 9, set(Value{0, 1}), done), op(2, 3, get, sees(1, 0))}, true},
		{"at once, not seen", ops{op(1, 9, set(Value{0, 1}), done), op(2, 3, get, sees(0, 0))}, true},
		{"seen, then not", ops{op(1, 9, set(Value{0, 1}), done), op(2, 3, get, sees(1, 0)), op(4, 5, get, sees(0, 0))}, false},
		{"lost", ops{op(1, 2, set(Value{0, 1}), done), op(3, 4, get, sees(0, 0))}, false},
		{"from the past", ops{op(1, 2, set(Value{0, 1}), done), op(3, 4, set(Value{0, 2}), done), op(5, 6, get, sees(1, 0))}, false},
		{"half of one", ops{op(1, 9, set(Value{0, 1}, Value{1, 1}), done), op(2, 3, all, sees(1, 0))}, false},
		{"two winners", ops{op(1, 9, ifNone, done), op(2, 8, ifNone, done)}, false},
		{"one winner", ops{op(1, 9, ifNone, done), op(2, 8, ifNone, Output{Rcode: dns.RcodeYXDomain})}, true},
		{"refused without a reason", ops{op(1, 2, ifNone, Output{Rcode: dns.RcodeYXDomain})}, false},
		{"refused, and done", ops{op(1, 2, set(Value{0, 1}), Output{Rcode: dns.RcodeServerFailure}), op(3, 4, get, sees(1, 0))}, false},
		{"no answer, done", ops{op(1, 2, set(Value{0, 1}), unknown), op(3, 4, get, sees(1, 0))}, true},
		{"no answer, not done", ops{op(1, 2, set(Value{0, 1}), unknown), op(3, 4, get, sees(0, 0))}, true},
		{"back from the dead", ops{op(1, 2, set(Value{0, 1}), unknown), op(3, 4, get, sees(0, 0)), op(5, 6, get, sees(1, 0))}, false},
		{"done twice", ops{op(1, 2, set(Value{0, 1}), done), op(3, 4, set(Value{0, 2}), done), op(5, 6, get, sees(2, 0)), op(7, 8, get, sees(1, 0))}, false},
	} {
		h := NewHistory()
		h.mu.ops = c.ops
		err := h.Check(time.Minute)
		if (err == nil) != c.good {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil {
			removePage(t, err)
		}
	}
}

// removePage removes the page that an error of Check names, which must be there.
func removePage(t *testing.T, err error) {
	t.Helper()
	for _, word := range strings.Fields(err.Error()) {
		if strings.HasSuffix(word, ".html") {
			if err := os.Remove(word); err != nil {
				t.Error(err)
			}
			return
		}
	}
	t.Errorf("%v names no page", err)
}
