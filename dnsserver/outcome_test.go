package dnsserver

import (
	"errors"
	"fmt"
	"testing"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/update"
	"dialtone/zone"
)

func TestEveryFailedUpdateSaysWhy(t *testing.T) {
	var s Server
	for _, c := range []struct {
		err   error
		rcode uint16
		ede   uint16
	}{
		{&update.Error{Rcode: dns.RcodeRefused, EDE: answer.EDEProhibited, Text: "no"}, dns.RcodeRefused, answer.EDEProhibited},
		{zone.ErrQueueFull, dns.RcodeServerFailure, answer.EDEOther},
		{zone.ErrClosed, dns.RcodeServerFailure, answer.EDENotReady},
		{fmt.Errorf("%w: %w", zone.ErrStore, errors.New("no disk")), dns.RcodeServerFailure, answer.EDEOther},
		{fmt.Errorf("%w: %w", zone.ErrTooBig, errors.New("an RRset")), dns.RcodeServerFailure, answer.EDEOther},
		{zone.ErrSerial, dns.RcodeServerFailure, answer.EDEOther},
	} {
		rcode, ede := s.result(&pendingUpdate{result: zone.Committed{Err: c.err}})
		if rcode != c.rcode || ede == nil || ede.Code != c.ede || ede.Text == "" {
			t.Errorf("%v: RCODE %d, EDE %+v", c.err, rcode, ede)
		}
	}
}
