package zone

import (
	"runtime"
	"testing"

	"dialtone/zone/table"
)

// TestReviveBesideEndLeases: while the writer waits for its turn, the last hidden number may be done with.
func TestReviveBesideEndLeases(t *testing.T) {
	var h held
	h.mu.leases.Init(new(table.Table))
	ended := table.NewNumbers(1)
	ended.Add("1")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 5000 {
			h.mu.Lock()
			h.ended.Store(nil)
			runtime.Gosched()
			h.mu.Unlock()
			h.ended.Store(&hidden{ended: ended})
		}
	}()
	numbers := map[string]*draftNumber{"1": {}}
	for going := true; going; {
		h.revive(numbers, 1)
		select {
		case <-done:
			going = false
		default:
		}
	}
	h.revive(numbers, 1)
	if x := h.ended.Load(); x == nil || x.has([]byte("1")) {
		t.Error("a number without a lease is hidden at the end")
	}
}
