package linear

import (
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// History is what clients have done so far, and what they saw.
type History struct {
	begun time.Time
	mu    struct {
		sync.Mutex
		ops  []porcupine.Operation
		open map[int]porcupine.Operation // by number: called, and not answered
		last int
		goal int           // operations
		met  chan struct{} // closed then
	}
}

// NewHistory makes an empty one: the numbers hold nothing.
func NewHistory() *History {
	h := &History{begun: time.Now()}
	h.mu.open = map[int]porcupine.Operation{}
	return h
}

func (h *History) now() int64 { return int64(time.Since(h.begun)) }

// call notes that an operation begins, and gives its number.
func (h *History) call(client int, in Input) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.last++
	h.mu.open[h.mu.last] = porcupine.Operation{ClientId: client, Input: in, Call: h.now()}
	return h.mu.last
}

// returned notes the answer.
func (h *History) returned(number int, out Output) {
	h.mu.Lock()
	defer h.mu.Unlock()
	op := h.mu.open[number]
	delete(h.mu.open, number)
	op.Output, op.Return = out, h.now()
	h.mu.ops = append(h.mu.ops, op)
	if len(h.mu.ops) >= h.mu.goal {
		h.enoughLocked()
	}
}

// after gives a channel that is closed when so many more operations have been answered.
func (h *History) after(ops int) <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.mu.goal, h.mu.met = len(h.mu.ops)+ops, make(chan struct{})
	return h.mu.met
}

// enough closes it before that.
func (h *History) enough() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.enoughLocked()
}

func (h *History) enoughLocked() {
	if h.mu.met != nil {
		close(h.mu.met)
		h.mu.met = nil
	}
}

// over says that the server has ended: what was not answered has taken effect by now, or never will.
func (h *History) over() {
	h.mu.Lock()
	defer h.mu.Unlock()
	at := h.now()
	for number, op := range h.mu.open {
		op.Output, op.Return = Output{Unknown: true}, at
		h.mu.ops = append(h.mu.ops, op)
		delete(h.mu.open, number)
	}
}

// Count gives how many operations there are, of them updates that were made and updates whose outcome nobody knows.
func (h *History) Count() (ops, made, unknown int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, op := range h.mu.ops {
		in, out := op.Input.(Input), op.Output.(Output)
		switch {
		case in.Writes == nil:
		case out.Unknown:
			unknown++
		case out.Rcode == 0:
			made++
		}
	}
	return len(h.mu.ops), made, unknown
}

// Check gives an error when no order of the operations explains what was seen, and names a page that shows how far one comes.
func (h *History) Check(within time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := model.ToModel()
	switch porcupine.CheckOperationsTimeout(m, h.mu.ops, within) {
	case porcupine.Ok:
		return nil
	case porcupine.Unknown:
		return fmt.Errorf("no decision about %d operations within %v", len(h.mu.ops), within)
	}
	_, info := porcupine.CheckOperationsVerbose(m, h.mu.ops, within) // which takes much longer
	f, err := os.CreateTemp("", "not-linearizable-*.html")
	if err != nil {
		return fmt.Errorf("not linearizable, and no page could be written: %w", err)
	}
	defer f.Close()
	if err := porcupine.Visualize(m, info, f); err != nil {
		return fmt.Errorf("not linearizable, and no page could be written: %w", err)
	}
	return fmt.Errorf("no order of the %d operations explains what was seen: open %s in a browser", len(h.mu.ops), f.Name())
}
