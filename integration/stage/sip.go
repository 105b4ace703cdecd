package stage

import (
	_ "embed"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"dialtone/integration/peertest"
)

// The scenarios of sipp: one phone answers calls, says who it is in the header Server, and is called off by the caller; the
// other calls, and says who answered.
var (
	//go:embed answer.xml
	answerScenario string
	//go:embed call.xml
	callScenario string
)

// SIPPhone is a SIP phone of others, sipp, that answers all calls on a host.
type SIPPhone struct {
	*peertest.Process
	log string
}

// AnswerCalls runs a SIP phone on the host. It listens at all addresses, whichever the host has now and later.
func (h *Host) AnswerCalls(t testing.TB, port int) *SIPPhone {
	t.Helper()
	scenario := peertest.Write(t, h.Dir, "answer.xml", strings.ReplaceAll(answerScenario, "HOST", h.Name))
	phone := &SIPPhone{log: h.Dir + "/answered"}
	phone.Process = h.Start(t, peertest.Program(t, "sipp"), "-sf", scenario, "-i", "0.0.0.0", "-p", strconv.Itoa(port),
		"-nostdin", "-watchdog_interval", "0", "-trace_logs", "-log_file", phone.log, "-trace_err", "-error_file", "/dev/stderr")
	phone.Ready(t, func() error { return h.listens(t, port) })
	return phone
}

// listens looks whether a program has a UDP port.
func (h *Host) listens(t testing.TB, port int) error {
	r := h.Run(t, peertest.Program(t, "ss"), "-lunH", "sport", "=", strconv.Itoa(port))
	if r.Code != 0 || r.Stdout == "" {
		return fmt.Errorf("%s: nothing has port %d: %s", h.Name, port, r.Stderr)
	}
	return nil
}

// Calls waits until so many calls have come, were answered and have ended, and gives the addresses from which they came.
func (p *SIPPhone) Calls(t testing.TB, count int) (from []string) {
	t.Helper()
	p.Ready(t, func() error {
		text, err := os.ReadFile(p.log)
		from = nil
		for line := range strings.Lines(string(text)) {
			if _, addr, ok := strings.Cut(strings.TrimSpace(line), "call from "); ok {
				from = append(from, addr)
			}
		}
		if len(from) < count {
			return fmt.Errorf("it has had calls from %v; %v", from, err)
		}
		return nil
	})
	return from
}

// Call calls a number where it is said to be, an address with a port or a name: a whole call by sipp, from INVITE to the answer
// to BYE. It gives the name of the host that answered, or an error that says how the call failed.
func (h *Host) Call(t testing.TB, number, at string) (answered string, err error) {
	t.Helper()
	scenario := peertest.Write(t, h.Dir, "call.xml", callScenario)
	log := t.TempDir() + "/call"
	r := h.Run(t, peertest.Program(t, "sipp"), "-sf", scenario, "-i", h.Addr, "-p", "5090", "-s", number, "-m", "1", "-nostdin", "-watchdog_interval", "0",
		"-timeout", "20s", "-timeout_error", "-trace_logs", "-log_file", log, "-trace_err", "-error_file", "/dev/stderr", at)
	if r.Code != 0 {
		return "", fmt.Errorf("%s calls %s at %s: exit code %d\n%s", h.Name, number, at, r.Code, r.Stderr)
	}
	text, err := os.ReadFile(log)
	_, name, ok := strings.Cut(strings.TrimSpace(string(text)), "answered by ")
	if err == nil && !ok {
		err = fmt.Errorf("%s calls %s at %s: nobody says who answered: %q", h.Name, number, at, text)
	}
	return name, err
}
