package integration

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"dialtone/integration/peertest"
	"dialtone/integration/stage"
)

// What dialtone is for, claim by claim. Each test has a stage of its own and shows its claim there with the programs that
// it is about: the provider's DHCP server and a phone's DHCP client, the phone's agent or hook, the number server, what callers
// look numbers up with, and SIP. A and B are phones without a fixed address, C has one.

// TestClaim01RegistersAllocatedAddress: the address allocated to a phone is registered with the server, and is extracted from
// it when a call is required.
func TestClaim01RegistersAllocatedAddress(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.a.AnswerCalls(t, 5060)
	allocated := s.allocated(t, s.a)
	if at := s.find(t, s.c, numberA); at != allocated {
		t.Errorf("the provider has allocated %s, the server has registered %s", allocated, at)
	}
	if who := s.call(t, s.c, numberA); who != "a" {
		t.Errorf("%q answers", who)
	}
}

// TestClaim02StoresProvidersAddressWithNumber: the address comes from the provider when the phone connects, and is stored with
// the phone's identification number.
func TestClaim02StoresProvidersAddressWithNumber(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	if before := s.table(t); s.Leases(t)[s.a.MAC] != "" || len(before) != 0 {
		t.Fatalf("before anyone connects the provider has allocated %v, and the server has %v", s.Leases(t), before)
	}
	s.connect(t, s.a)
	if got, want := s.table(t), []string{numberA + " " + s.allocated(t, s.a)}; !slices.Equal(got, want) {
		t.Errorf("the server has %q, want %q", got, want)
	}
}

// TestClaim03DatabaseAssociatesAddressAndNumber: address and number are associated in the server's database; that it is one
// shows when the server is killed and reads it again.
func TestClaim03DatabaseAssociatesAddressAndNumber(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	before := s.table(t)
	s.agent.Kill(t) // or it might register once more
	s.server.Kill(t)
	s.server.Restart(t)
	after := s.table(t)
	if want := []string{numberA + " " + s.a.Addr, numberB + " " + s.b.Addr}; !slices.Equal(before, want) || !slices.Equal(after, want) {
		t.Errorf("the server had %q, and has %q after its restart, want %q", before, after, want)
	}
}

// TestClaim04CallerExtractsAddress: a calling phone generates a call and extracts the address from the server. The SIP phone
// knows nothing but the number's name.
func TestClaim04CallerExtractsAddress(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	phone := s.a.AnswerCalls(t, 5060)
	if who, err := s.b.Call(t, numberA, hostOf(numberA)+":5060"); who != "a" {
		t.Errorf("%q answers; %v", who, err)
	}
	if from := phone.Calls(t, 1); !slices.Equal(from, []string{s.b.Addr}) {
		t.Errorf("A was called from %v, want %s", from, s.b.Addr)
	}
	s.server.Kill(t)
	if who, err := s.b.Call(t, numberA, hostOf(numberA)+":5060"); err == nil {
		t.Errorf("without the server %q answers: the address is not from there", who)
	}
}

// TestClaim05CallerIsFixedOrFlexible: the caller has a fixed address, or is another phone without one.
func TestClaim05CallerIsFixedOrFlexible(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	phone := s.a.AnswerCalls(t, 5060)
	for _, caller := range []*stage.Host{s.c, s.b.Host} {
		if who := s.call(t, caller, numberA); who != "a" {
			t.Errorf("%s calls, and %q answers", caller.Name, who)
		}
	}
	if from := phone.Calls(t, 2); !slices.Equal(from, []string{stage.CallerAddr, s.allocated(t, s.b)}) {
		t.Errorf("A was called from %v", from)
	}
}

// TestClaim06ServerUpdatesAtEachChange: the server updates whenever the address changes: each time, by one change of the zone,
// and of nobody else's number.
func TestClaim06ServerUpdatesAtEachChange(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	serial := s.serial(t)
	for range 3 {
		s.move(t, s.a)
		if got, want := s.table(t), []string{numberA + " " + s.a.Addr, numberB + " " + s.b.Addr}; !slices.Equal(got, want) {
			t.Errorf("the server has %q, want %q", got, want)
		}
		serial++
		if got := s.serial(t); got != serial {
			t.Errorf("the zone's serial is %d, want %d: one change for one address", got, serial)
		}
	}
}

// TestClaim07TableOfNumbersAndAddresses: the server has a table of numbers and addresses. It is that of the provider, with numbers
// in the place of hardware.
func TestClaim07TableOfNumbersAndAddresses(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.b)
	s.connect(t, s.a)
	s.move(t, s.b)
	if got, want := s.table(t), []string{numberA + " " + s.allocated(t, s.a), numberB + " " + s.allocated(t, s.b)}; !slices.Equal(got, want) {
		t.Errorf("the server's table is %q, the provider's %q", got, want)
	}
}

// TestClaim08AllocateRegisterExtractConnect: an address is allocated, registered, extracted by a caller of either kind, and the two
// are connected. Each step is seen where it is done.
func TestClaim08AllocateRegisterExtractConnect(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	phone := s.a.AnswerCalls(t, 5060)
	allocated := s.allocated(t, s.a)
	if got := s.updates(t, allocated, 1); len(got) != 1 || !strings.Contains(got[0], "key="+numberA+".") {
		t.Errorf("from %s came the updates %q, want one of the number", allocated, got)
	}
	for n, caller := range []*stage.Host{s.c, s.b.Host} {
		extracted := s.find(t, caller, numberA)
		who, err := caller.Call(t, numberA, extracted+":5060")
		if extracted != allocated || who != "a" {
			t.Errorf("%s extracts %s, want %s, and calls: %q answers; %v", caller.Name, extracted, allocated, who, err)
		}
		if from := phone.Calls(t, n+1); from[n] != caller.Addr {
			t.Errorf("A is called from %s, want %s", from[n], caller.Addr)
		}
	}
}

// TestClaim09NewAddressAfterCall: when the call has ended a new address is allocated, and the next call is made there.
func TestClaim09NewAddressAfterCall(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	phone := s.a.AnswerCalls(t, 5060)
	if who := s.call(t, s.c, numberA); who != "a" {
		t.Errorf("%q answers the first call", who)
	}
	phone.Calls(t, 1) // it has ended
	old, stranger := s.move(t, s.a)
	stranger.AnswerCalls(t, 5060)
	if now := s.allocated(t, s.a); now == old || s.find(t, s.c, numberA) != now {
		t.Errorf("the provider gave %s after %s, and %s leads to %s", now, old, numberA, s.find(t, s.c, numberA))
	}
	if who := s.call(t, s.c, numberA); who != "a" {
		t.Errorf("%q answers the second call", who)
	}
	if who, err := s.c.Call(t, numberA, old+":5060"); who != "stranger" {
		t.Errorf("%q answers where A was; %v", who, err)
	}
	phone.Calls(t, 2)
}

// TestClaim10NumberLocatesAddress: the number is the reference that locates the address, not the address itself: two phones
// exchange theirs, and each is called at its number as before.
func TestClaim10NumberLocatesAddress(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	atA, atB := s.a.Addr, s.b.Addr
	s.a.Disconnect(t)
	s.b.Disconnect(t)
	s.connect(t, s.b, atA)
	s.connect(t, s.a, atB)
	if s.a.Addr != atB || s.b.Addr != atA {
		t.Fatalf("the provider gave %s and %s, want %s and %s exchanged", s.a.Addr, s.b.Addr, atA, atB)
	}
	s.a.AnswerCalls(t, 5060)
	s.b.AnswerCalls(t, 5060)
	for number, want := range map[string]string{numberA: "a", numberB: "b"} {
		if who := s.call(t, s.c, number); who != want {
			t.Errorf("%q answers at %s, want %s", who, number, want)
		}
	}
}

// TestClaim11NumberIsTheReference: however people write the number, it is the reference to the one address, and another number is
// not.
func TestClaim11NumberIsTheReference(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	want := "udp " + s.a.Addr + ":5060, for 1s\n"
	for _, written := range []string{"5551234", "555-1234", "555 12 34", "(555) 1234", "555.1234"} {
		if got := s.c.Must(t, peertest.Binary(t), "lookup", written); got != want {
			t.Errorf("%s leads to %q, want %q", written, got, want)
		}
	}
	for _, other := range []string{numberB, numberC} {
		if r := s.c.Run(t, peertest.Binary(t), "lookup", other); strings.Contains(r.Stdout, s.a.Addr) {
			t.Errorf("%s leads to A: %s", other, r.Stdout)
		}
	}
}

// TestClaim12UpdatesAtChange: the server's table is updated when the address changes, and only then: a phone that gets the same
// address again changes nothing.
func TestClaim12UpdatesAtChange(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.b)
	before, same := s.serial(t), s.b.Addr
	s.b.Disconnect(t)
	s.connect(t, s.b, same)
	s.updates(t, same, 2) // it has registered again
	if got := s.serial(t); got != before {
		t.Errorf("B has the address that it had, and the zone's serial went from %d to %d", before, got)
	}
	s.move(t, s.b)
	if got := s.serial(t); got != before+1 || s.find(t, s.c, numberB) != s.b.Addr {
		t.Errorf("B has another address, the serial is %d after %d, and %s leads to %s", got, before, numberB, s.find(t, s.c, numberB))
	}
}

// TestClaim13QueryByNumberReturnsAddress: the table takes a query with the number and returns the address, to all that phones
// ask with, and nothing for a number that nobody has registered.
func TestClaim13QueryByNumberReturnsAddress(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.leads(t, s.c, numberA, s.a.Addr, everyFinder...)
	s.leads(t, s.c, numberB, nowhere, everyFinder...)
	for program, argv := range map[string][]string{
		"dig":   {"@" + stage.ServerAddr, "+short", hostOf(numberA), "A"},
		"kdig":  {"@" + stage.ServerAddr, "+short", hostOf(numberA), "A"},
		"drill": {"@" + stage.ServerAddr, hostOf(numberA), "A"},
	} {
		if got := s.c.Must(t, append([]string{peertest.Program(t, program)}, argv...)...); !strings.Contains(got, s.a.Addr) {
			t.Errorf("%s: %s", program, got)
		}
	}
}

// TestClaim14CallFromWhoQueriedTable: an incoming call comes from a party that queried the table. One that did not, and goes to
// where the phone was, reaches somebody else.
func TestClaim14CallFromWhoQueriedTable(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	known := s.find(t, s.b.Host, numberA)
	_, stranger := s.move(t, s.a)
	phone, other := s.a.AnswerCalls(t, 5060), stranger.AnswerCalls(t, 5060)
	if who, err := s.b.Call(t, numberA, known+":5060"); who != "stranger" {
		t.Errorf("B calls where A was, and %q answers; %v", who, err)
	}
	if who := s.call(t, s.c, numberA); who != "a" {
		t.Errorf("C queries the table and calls, and %q answers", who)
	}
	if from := phone.Calls(t, 1); !slices.Equal(from, []string{s.c.Addr}) {
		t.Errorf("A was called from %v, want %s, who asked", from, s.c.Addr)
	}
	if from := other.Calls(t, 1); !slices.Equal(from, []string{s.b.Addr}) {
		t.Errorf("the stranger was called from %v, want %s, who did not ask", from, s.b.Addr)
	}
}

// TestClaim15ReachesPhoneWithoutFixedAddress: search, retrieve, and establish communication with a phone that has no fixed address,
// wherever it is.
func TestClaim15ReachesPhoneWithoutFixedAddress(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	phone := s.a.AnswerCalls(t, 5060) // before it has an address
	s.connect(t, s.a)
	var been []string
	for n := range 3 {
		if slices.Contains(been, s.a.Addr) {
			t.Errorf("A is at %s again: its address is fixed", s.a.Addr)
		}
		been = append(been, s.a.Addr)
		if who := s.call(t, s.c, numberA); who != "a" {
			t.Errorf("A is at %s, and %q answers", s.a.Addr, who)
		}
		if out := s.c.Must(t, peertest.Binary(t), "call", numberA, "--ring", "--for", "10ms"); !strings.Contains(out, " "+s.a.Addr+":5060") {
			t.Errorf("A is at %s, and dialtone calls it elsewhere: %s", s.a.Addr, out)
		}
		phone.Calls(t, 2*n+2)
		s.move(t, s.a)
	}
}

// TestClaim16ProviderAssignsAtConnection: the provider assigns the address when the phone connects, out of its pool, and not
// before.
func TestClaim16ProviderAssignsAtConnection(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	if out := s.a.Must(t, peertest.Program(t, "ip"), "-4", "-brief", "address", "show", "dev", "eth0"); strings.Contains(out, "198.51.100.") {
		t.Fatalf("A has an address before it connects: %s", out)
	}
	s.leads(t, s.c, numberA, nowhere)
	s.connect(t, s.a)
	at := netip.MustParseAddr(s.find(t, s.c, numberA))
	if provider := s.allocated(t, s.a); !stage.InPool(at) || provider != at.String() {
		t.Errorf("A is at %s; the provider has allocated %s", at, provider)
	}
	if out := s.a.Must(t, peertest.Program(t, "ip"), "-4", "-brief", "address", "show", "dev", "eth0"); !strings.Contains(out, at.String()+"/") {
		t.Errorf("A has %s, want %s", out, at)
	}
}

// TestClaim17PhoneProviderAndServer: the system is the phone, the provider and the server. One address is seen at each of them;
// the phone gets none without the provider, and callers find none without the server.
func TestClaim17PhoneProviderAndServer(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	phone := s.a.Must(t, peertest.Program(t, "ip"), "-4", "-brief", "address", "show", "dev", "eth0")
	provider, server := s.allocated(t, s.a), s.table(t)
	if !strings.Contains(phone, s.a.Addr+"/") || provider != s.a.Addr || !slices.Equal(server, []string{numberA + " " + s.a.Addr}) {
		t.Errorf("the phone has %s, the provider says %s, the server %q", phone, provider, server)
	}
	s.server.Kill(t)
	if r := s.c.Run(t, peertest.Binary(t), "lookup", numberA, "--timeout", "2s"); r.Code != 4 {
		t.Errorf("without the server a look-up ends with %d, want 4: %s%s", r.Code, r.Stdout, r.Stderr)
	}
	s.server.Restart(t)
	s.StopDHCP(t)
	if r := s.b.TryConnect(t); r.Code == 0 {
		t.Errorf("without the provider B has an address: %s%s", r.Stdout, r.Stderr)
	}
	s.leads(t, s.c, numberB, nowhere)
	s.leads(t, s.c, numberA, s.a.Addr)
}

// TestClaim18SecondPhoneSearchesServer: a second phone searches the server, and calls the first; neither has a fixed address, and
// it works in both directions.
func TestClaim18SecondPhoneSearchesServer(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	s.a.AnswerCalls(t, 5060)
	s.b.AnswerCalls(t, 5060)
	for range 2 {
		if at, who := s.find(t, s.b.Host, numberA), s.call(t, s.b.Host, numberA); at != s.a.Addr || who != "a" {
			t.Errorf("B finds %s and calls: %q answers", at, who)
		}
		if at, who := s.find(t, s.a.Host, numberB), s.call(t, s.a.Host, numberB); at != s.b.Addr || who != "b" {
			t.Errorf("A finds %s and calls: %q answers", at, who)
		}
		s.move(t, s.a)
		s.move(t, s.b)
	}
}

// TestClaim19FixedOrFlexible: phones with fixed addresses and without are in the same table, and each kind calls each.
func TestClaim19FixedOrFlexible(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	s.connect(t, s.b)
	key := s.c.WriteKey(t, "phone.key", stage.Key(numberC+"."+stage.Zone))
	s.c.Start(t, peertest.Binary(t), "phone", numberC, "--key-file", key)
	s.leads(t, s.b.Host, numberC, stage.CallerAddr)
	hosts := map[string]*stage.Host{numberA: s.a.Host, numberB: s.b.Host, numberC: s.c}
	for _, h := range hosts {
		h.AnswerCalls(t, 5060)
	}
	for from, caller := range hosts {
		for to, called := range hosts {
			if from == to {
				continue
			}
			if who := s.call(t, caller, to); who != called.Name {
				t.Errorf("%s calls %s, and %q answers", caller.Name, to, who)
			}
		}
	}
}

// TestClaim20PhoneProvidesAddressAndNumber: the phone provides its address and its number to the server when the provider has
// assigned the address: by itself, from that address, with its key.
func TestClaim20PhoneProvidesAddressAndNumber(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	if got := logged(s.server, "op=update"); len(got) != 0 {
		t.Fatalf("before a phone connects there are updates: %q", got)
	}
	for _, p := range []*stage.Phone{s.a, s.b} {
		s.connect(t, p)
		got := s.updates(t, s.allocated(t, p), 1)
		if len(got) != 1 || !strings.Contains(got[0], fmt.Sprintf(" key=%s.%s ", p.Number, stage.Zone)) {
			t.Errorf("%s has %s from the provider; the server's log has updates from there: %q", p.Name, p.Addr, got)
		}
	}
}
