//go:build !race

// Under the race detector a sync.Pool forgets on purpose.

package tsig_test

import (
	"testing"

	"dialtone/update/tsig"
)

func TestVerifyAllocatesOnlyTheContext(t *testing.T) {
	r := ring(t, tsig.HMACSHA256, tsig.Options{})
	msg, _ := sign(t, query(t), tsig.HMACSHA256, now, nil)
	if n := testing.AllocsPerRun(1000, func() { success(t, r, msg, now) }); n > 1 {
		t.Errorf("Verify allocates %v times", n)
	}
	plain := query(t)
	if n := testing.AllocsPerRun(1000, func() { r.Verify(plain, now) }); n > 0 {
		t.Errorf("Verify of an unsigned message allocates %v times", n)
	}
	c := success(t, r, msg, now)
	s := c.Stream()
	reply := answer(t, msg, 0)
	buf := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(1000, func() {
		c.SignReply(append(buf, reply...), now)
		s.Sign(append(buf, reply...), now)
	}); n > 0 {
		t.Errorf("signing allocates %v times", n)
	}
}
