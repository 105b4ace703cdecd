package masterfile

// list grows without moving what it holds, so that it leaves no garbage.
type list[T any] struct {
	blocks [][]T
	n      int
}

const (
	blockBits = 12
	blockLen  = 1 << blockBits
)

// add gives the number of the new element.
func (l *list[T]) add(v T) int {
	b := l.n >> blockBits
	switch {
	case b < len(l.blocks):
	case b == 0:
		l.blocks = append(l.blocks, nil) // grows by and by: most files are short
	default:
		l.blocks = append(l.blocks, make([]T, 0, blockLen))
	}
	l.blocks[b] = append(l.blocks[b], v)
	l.n++
	return l.n - 1
}

// at is valid until the next add.
func (l *list[T]) at(i int) *T { return &l.blocks[i>>blockBits][i&(blockLen-1)] }

// text is a run of octets that are cut out by their spans.
type text struct {
	blocks [][]byte
}

type span struct {
	block, from, len uint32
}

const textBlock = 1 << 20

// put appends; s is shorter than a block.
func (t *text) put(s string) span {
	last := len(t.blocks) - 1
	switch {
	case last < 0:
		t.blocks = append(t.blocks, nil)
		last = 0
	case len(t.blocks[last])+len(s) > textBlock:
		t.blocks = append(t.blocks, make([]byte, 0, textBlock))
		last++
	}
	from := len(t.blocks[last])
	t.blocks[last] = append(t.blocks[last], s...)
	return span{uint32(last), uint32(from), uint32(len(s))}
}

func (t *text) cut(s span) []byte { return t.blocks[s.block][s.from : s.from+s.len : s.from+s.len] }
