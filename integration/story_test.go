package integration

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"dialtone/integration/peertest"
	"dialtone/integration/stage"
)

// everyFinder are all ways to look a number up.
var everyFinder = []string{"dialtone lookup", "getaddrinfo", "c-ares", "Go"}

// TestStory is the whole of it with SIP phones of others: A has an address from the provider and registers it, B and C call it
// by number; after the call it has another address, and calls reach it there.
func TestStory(t *testing.T) {
	t.Parallel()
	newStory(t).play(t)
}

// TestStoryThroughResolver is the same with a recursive resolver between the callers and the server.
func TestStoryThroughResolver(t *testing.T) {
	t.Parallel()
	s := stage.New(t)
	server := s.NumberServer(t, []string{numberA, numberB, numberD})
	s.RecursiveResolver(t, stage.ServerAddr)
	castStory(t, s, server).play(t)
}

// TestStoryThroughSecondary is the same where the resolver knows a secondary only, NSD, which follows the server by IXFR.
func TestStoryThroughSecondary(t *testing.T) {
	t.Parallel()
	s := stage.New(t)
	server := s.NumberServer(t, []string{numberA, numberB, numberD})
	s.Secondary(t)
	s.RecursiveResolver(t, stage.SecondaryAddr)
	castStory(t, s, server).play(t)
	if whole := logged(server, "msg=transfer ", "style=full"); len(whole) != 1 {
		t.Errorf("the secondary copied the whole zone other than once:\n%s", strings.Join(whole, "\n"))
	}
	if steps := logged(server, "msg=transfer ", "op=ixfr", "style=incremental", "remote="+stage.SecondaryAddr+":"); len(steps) < 3 {
		t.Errorf("the secondary followed 3 updates by these incremental transfers:\n%s", strings.Join(steps, "\n"))
	}
}

func (s *story) play(t *testing.T) {
	t.Helper()
	s.leads(t, s.c, numberA, nowhere, everyFinder...)
	s.connect(t, s.a)
	s.connect(t, s.b)
	for _, h := range []*stage.Host{s.b.Host, s.c} {
		s.leads(t, h, numberA, s.a.Addr, everyFinder...)
	}
	phone := s.a.AnswerCalls(t, 5060)
	for _, h := range []*stage.Host{s.b.Host, s.c} {
		if who := s.call(t, h, numberA); who != "a" {
			t.Errorf("%s calls %s, and %q answers", h.Name, numberA, who)
		}
	}

	old, stranger := s.move(t, s.a)
	stranger.AnswerCalls(t, 5060)
	for _, h := range []*stage.Host{s.b.Host, s.c} {
		s.leads(t, h, numberA, s.a.Addr, everyFinder...)
		if who := s.call(t, h, numberA); who != "a" {
			t.Errorf("%s calls %s, which has moved, and %q answers", h.Name, numberA, who)
		}
		if who, err := h.Call(t, numberA, old+":5060"); who != "stranger" {
			t.Errorf("%s calls %s where it was, and %q answers; %v", h.Name, numberA, who, err)
		}
	}
	if got, want := phone.Calls(t, 4), []string{s.b.Addr, s.c.Addr, s.b.Addr, s.c.Addr}; !slices.Equal(got, want) {
		t.Errorf("calls came to A from %v, want %v", got, want)
	}
}

// TestPhoneGoesWithoutAWord has A registered for two seconds at a time. As long as it is there its number stays;
// when its battery is taken out, the number is gone after the lease, for callers who ask a resolver that asks a secondary. B,
// which was registered for good, stays, and A is found again when it comes back.
func TestPhoneGoesWithoutAWord(t *testing.T) {
	t.Parallel()
	st := stage.New(t)
	server := st.NumberServer(t, []string{numberA, numberB}, "lease: {min: 1s, max: 10s}")
	st.Secondary(t)
	st.RecursiveResolver(t, stage.SecondaryAddr)
	s := castStory(t, st, server)
	s.agent.Kill(t)
	agent := runAgent(t, s.a, "--lease", "2s", "--json")
	s.connect(t, s.b)
	s.connect(t, s.a)
	agent.Ready(t, func() error {
		if n := strings.Count(agent.Log(), `"state":"refreshed"`); n < 2 {
			return fmt.Errorf("it has refreshed the registration %d times", n)
		}
		return nil
	})
	s.leads(t, s.c, numberA, s.a.Addr)
	agent.Kill(t)
	s.a.Vanish(t)
	s.leads(t, s.c, numberA, nowhere, everyFinder...)
	if got, want := s.table(t), []string{numberB + " " + s.b.Addr}; !slices.Equal(got, want) {
		t.Errorf("the server has %q, want %q", got, want)
	}
	s.leads(t, s.c, numberB, s.b.Addr)

	s.a.Return(t)
	runAgent(t, s.a, "--lease", "2s", "--json")
	s.connect(t, s.a)
	s.a.AnswerCalls(t, 5060)
	if who := s.call(t, s.c, numberA); who != "a" {
		t.Errorf("A has come back, and %q answers", who)
	}
}

// TestSecondPhoneCannotTakeNumber has a phone with a key of its own try to be another: by dialtone, by nsupdate, with a key that
// is called like the other's, and without any.
func TestSecondPhoneCannotTakeNumber(t *testing.T) {
	t.Parallel()
	s := newStory(t)
	s.connect(t, s.a)
	thief := s.Phone(t, "thief", numberD)
	thief.Connect(t)
	forged := stage.Key(numberA + "." + stage.Zone)
	forged.Secret = stage.Key(numberD + "." + stage.Zone).Secret
	forgedFile := thief.WriteKey(t, "forged.key", forged)
	script := peertest.Write(t, thief.Dir, "script", fmt.Sprintf("server %s\nzone %s\nupdate delete %s.%[2]s A\nupdate add %[3]s.%[2]s 1 A %[4]s\nsend\n",
		stage.ServerAddr, stage.Zone, numberA, thief.Addr))
	register := []string{peertest.Binary(t), "register", numberA, "--server", stage.ServerAddr, "--address", thief.Addr}
	update := peertest.Program(t, "nsupdate")
	for _, try := range []struct {
		argv []string
		says string
	}{
		{append(register, "--key-file", thief.KeyFile), "may not change"},
		{append(register, "--withdraw", "--key-file", thief.KeyFile), "may not change"},
		{append(register, "--key-file", forgedFile), "BADSIG"},
		{register, "unsigned"},
		{[]string{update, "-k", thief.KeyFile, script}, "REFUSED"},
		{[]string{update, "-k", forgedFile, script}, "BADSIG"},
		{[]string{update, script}, "REFUSED"},
	} {
		if r := thief.Run(t, try.argv...); r.Code == 0 || !strings.Contains(r.Stdout+r.Stderr, try.says) {
			t.Errorf("%s: exit code %d, want a failure that says %s\n%s%s", strings.Join(try.argv, " "), r.Code, try.says, r.Stdout, r.Stderr)
		}
		if at := s.find(t, s.c, numberA); at != s.a.Addr {
			t.Errorf("after %s %s leads to %s; A is at %s", strings.Join(try.argv, " "), numberA, at, s.a.Addr)
		}
	}
	thief.AnswerCalls(t, 5060)
	s.a.AnswerCalls(t, 5060)
	if who := s.call(t, s.c, numberA); who != "a" {
		t.Errorf("%q answers the call to %s", who, numberA)
	}
}

// TestDHCPServerRegisters has ISC dhcpd register a phone that runs nothing of ours, as README.md says, follow it to another
// address, and take it away when it disconnects.
func TestDHCPServerRegisters(t *testing.T) {
	t.Parallel()
	for _, style := range []string{"standard", "interim"} {
		t.Run(style, func(t *testing.T) {
			s := stage.New(t)
			st := &story{Stage: s, server: s.NumberServer(t, nil), c: s.Fixed(t, "c", stage.CallerAddr)}
			a := s.Phone(t, "a", numberA)
			s.UpdatingDHCP(t, style, a)
			st.connect(t, a)
			st.leads(t, st.c, numberA, a.Addr, everyFinder...)
			mark := map[string]string{"standard": "DHCID", "interim": "TXT"}[style]
			if r := st.c.Must(t, peertest.Program(t, "dig"), "@"+stage.ServerAddr, "+short", hostOf(numberA), mark); r == "" {
				t.Errorf("dhcpd has left no %s", mark)
			}
			a.AnswerCalls(t, 5060)
			if who := st.call(t, st.c, numberA); who != "a" {
				t.Errorf("%q answers the call to %s", who, numberA)
			}
			st.move(t, a)
			if who := st.call(t, st.c, numberA); who != "a" {
				t.Errorf("%q answers the call to %s, which has moved", who, numberA)
			}
			a.Disconnect(t)
			st.leads(t, st.c, numberA, nowhere)
		})
	}
}
