package zone

import (
	"runtime"
	"sync"
	"testing"

	"dialtone/zone/table"
)

// TestReviveBesideEndLeases: while the writer waits for its turn, the last hidden number may be done with.
func TestReviveBesideEndLeases(t *testing.T) {
	var h held
	h.mu.leases.Init(new(table.Table))
	ended := table.NewNumbers(1)
	ended.Add("1")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	wg.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			h.mu.Lock()
			h.ended.Store(nil)
			runtime.Gosched()
			h.mu.Unlock()
			h.ended.Store(&hidden{ended: ended})
		}
	})
	numbers := map[string]*draftNumber{"1": {}}
	for range 20_000 {
		h.revive(numbers, 1)
	}
	close(stop)
	wg.Wait()
	if h.ended.Load() == nil {
		t.Error("nothing is hidden at the end")
	}
}
