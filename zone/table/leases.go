package table

import (
	"math/rand/v2"
)

// Leases keeps, for each number that has any of it, when its lease ends, when
// its key lease ends, and when its key signed last. It takes 16 octets for a
// number, 32 for one with a key lease, in pages that are two thirds full, and
// no timer: Due looks at the pages in which something may have ended.
//
// Numbers are labels. Those of at most 15 digits, which nearly all are, stand
// in pages of the system's memory; others in a map. The zero Leases is empty.
// It is for one goroutine at a time.
type Leases struct {
	t      *Table // with which the pages' memory goes
	memory memory

	dir   []uint32 // hash to page, by its first depth bits
	depth uint
	pages []leasePage
	mins  []uint32 // of each page: nothing in it ends before
	chunk []uint64
	seed  [2]uint64
	count int
	runs  int // leases that have an end

	others    map[string]Lease
	othersMin int64
}

// Lease is what Leases keeps. Moments are milliseconds since 1970.
type Lease struct {
	End    int64  // 0: none
	KeyEnd int64  // 0: none
	Signed uint32 // seconds since 1970; 0: never
	Public bool   // by a public key
}

// Ends tells whether one of both has ended.
func (l Lease) Ends(now int64) bool {
	return l.End != 0 && l.End <= now || l.KeyEnd != 0 && l.KeyEnd <= now
}

// A page is
//
//	0     entries u8, depth u8, in a word
//	1..   keys of the entries, a word each
//	then  of each entry in a word: end u32, signed u32
//
// A key is the number shifted by one, with 1 for the entry that has the end of
// the key lease, and publicBit for Lease.Public.
type leasePage = *[pageWords]uint64

const (
	pageWords   = 128
	pageEntries = (pageWords - 2) / 2
	pageValues  = 1 + pageEntries

	// leaseTick is the unit of ends, rounded up: no lease is shortened.
	leaseTick = 250 // ms
	// leaseEpoch is where ends begin to count: they fit 32 bits until 2057.
	leaseEpoch = 1_700_000_000_000 // ms since 1970
	never      = 1<<32 - 1

	publicBit = 1 << 63
)

// Init makes l empty, for the zone of t.
func (l *Leases) Init(t *Table) {
	*l = Leases{t: t, memory: memory{epochs: t.epochs}, seed: [2]uint64{rand.Uint64(), rand.Uint64() | 1}}
}

// Running counts the numbers with a lease.
func (l *Leases) Running() int { return l.runs }

// Len counts the numbers, those with a key lease twice.
func (l *Leases) Len() int { return l.count + len(l.others) }

// Octets are those of all pages.
func (l *Leases) Octets() int64 {
	return int64(8*pageWords)*int64(len(l.pages)) + int64(8*len(l.chunk)) + int64(4*cap(l.dir)+4*cap(l.mins)+8*cap(l.pages))
}

// packNumber packs at most 15 digits, leading zeros included, into 54 bits.
func packNumber[S ~string | ~[]byte](number S) (uint64, bool) {
	if len(number) == 0 || len(number) > 15 {
		return 0, false
	}
	n := uint64(0)
	for i := range len(number) {
		d := number[i] - '0'
		if d > 9 {
			return 0, false
		}
		n = 10*n + uint64(d)
	}
	return n<<4 | uint64(len(number)), true
}

func unpackNumber(p uint64) string {
	var b [15]byte
	k := int(p & 15)
	n := p >> 4
	for i := k - 1; i >= 0; i-- {
		b[i] = byte('0' + n%10)
		n /= 10
	}
	return string(b[:k])
}

func toTick(ms int64) uint32 {
	if ms == 0 {
		return 0
	}
	return uint32(min(max((ms-leaseEpoch+leaseTick-1)/leaseTick, 1), never-1))
}

func fromTick(t uint32) int64 {
	if t == 0 {
		return 0
	}
	return leaseEpoch + int64(t)*leaseTick
}

// Get gives what is kept of a number. Ends are those that were put, up to a
// quarter of a second later.
func (l *Leases) Get(number string) Lease {
	p, ok := packNumber(number)
	if !ok {
		return l.others[number]
	}
	end, signed, public := l.get(p << 1)
	keyEnd, _, _ := l.get(p<<1 | 1)
	return Lease{fromTick(end), fromTick(keyEnd), signed, public}
}

// Put replaces what is kept of a number; the zero Lease forgets it.
func (l *Leases) Put(number string, x Lease) {
	p, ok := packNumber(number)
	if !ok {
		l.putOther(number, x)
		return
	}
	l.put(p<<1, toTick(x.End), x.Signed, x.Public)
	l.put(p<<1|1, toTick(x.KeyEnd), 0, false)
}

// Load is Put of what was not put before, for a start: it does not look whether
// it was.
func (l *Leases) Load(number []byte, x Lease) {
	p, ok := packNumber(number)
	if !ok {
		l.putOther(string(number), x)
		return
	}
	if end := toTick(x.End); end != 0 || x.Signed != 0 {
		l.add(p<<1, end, x.Signed, x.Public)
	}
	if end := toTick(x.KeyEnd); end != 0 {
		l.add(p<<1|1, end, 0, false)
	}
}

func (l *Leases) putOther(number string, x Lease) {
	if l.others[number].End != 0 {
		l.runs--
	}
	if x.End != 0 {
		l.runs++
	}
	if x == (Lease{}) {
		delete(l.others, number)
		return
	}
	if l.others == nil {
		l.others = map[string]Lease{}
	}
	x.End, x.KeyEnd = fromTick(toTick(x.End)), fromTick(toTick(x.KeyEnd))
	l.others[number] = x
	for _, end := range [...]int64{x.End, x.KeyEnd} {
		if end != 0 && (l.othersMin == 0 || end < l.othersMin) {
			l.othersMin = end
		}
	}
}

func (l *Leases) hash(key uint64) uint64 {
	h := (key ^ l.seed[0]) * l.seed[1]
	h ^= h >> 32
	h *= 0xd6e8feb86659fd93
	return h ^ h>>32
}

func (l *Leases) pageOf(key uint64) int {
	return int(l.dir[l.hash(key)>>1>>(63-l.depth)])
}

func entries(p leasePage) int { return int(p[0] & 0xff) }
func depth(p leasePage) uint  { return uint(p[0] >> 8) }

func find(p leasePage, key uint64) int {
	for i, k := range p[1 : 1+entries(p)] {
		if k&^publicBit == key {
			return i
		}
	}
	return -1
}

func (l *Leases) get(key uint64) (end, signed uint32, public bool) {
	if len(l.pages) == 0 {
		return 0, 0, false
	}
	p := l.pages[l.pageOf(key)]
	i := find(p, key)
	if i < 0 {
		return 0, 0, false
	}
	return uint32(p[pageValues+i]), uint32(p[pageValues+i] >> 32), p[1+i]&publicBit != 0
}

func (l *Leases) put(key uint64, end, signed uint32, public bool) {
	at, i := 0, -1
	if len(l.pages) > 0 {
		at = l.pageOf(key)
		i = find(l.pages[at], key)
	}
	none := end == 0 && signed == 0
	switch {
	case i < 0 && !none:
		l.add(key, end, signed, public)
	case i >= 0 && none:
		p := l.pages[at]
		n := entries(p)
		l.note(key, uint32(p[pageValues+i]), 0)
		p[1+i], p[pageValues+i] = p[n], p[pageValues+n-1]
		p[0]--
		l.count--
	case i >= 0:
		l.note(key, uint32(l.pages[at][pageValues+i]), end)
		l.pages[at][1+i] = withPublic(key, public)
		l.set(at, i, end, signed)
	}
}

// note counts a lease that begins or ends.
func (l *Leases) note(key uint64, before, end uint32) {
	switch {
	case key&1 != 0: // of a KEY record
	case before == 0 && end != 0:
		l.runs++
	case before != 0 && end == 0:
		l.runs--
	}
}

// add puts an entry that is not there.
func (l *Leases) add(key uint64, end, signed uint32, public bool) {
	if len(l.pages) == 0 {
		l.dir, l.pages, l.mins = []uint32{0}, []leasePage{l.newPage()}, []uint32{never}
	}
	at := l.pageOf(key)
	for entries(l.pages[at]) == pageEntries {
		l.split(at)
		at = l.pageOf(key)
	}
	p := l.pages[at]
	i := entries(p)
	p[0]++
	p[1+i] = withPublic(key, public)
	l.count++
	l.note(key, 0, end)
	l.set(at, i, end, signed)
}

func withPublic(key uint64, public bool) uint64 {
	if public {
		key |= publicBit
	}
	return key
}

func (l *Leases) set(at, i int, end, signed uint32) {
	l.pages[at][pageValues+i] = uint64(end) | uint64(signed)<<32
	if end != 0 {
		l.mins[at] = min(l.mins[at], end)
	}
}

// split moves half of a page's entries to a new one.
func (l *Leases) split(at int) {
	p := l.pages[at]
	d := depth(p)
	if d == l.depth {
		dir := make([]uint32, 2*len(l.dir))
		for i, x := range l.dir {
			dir[2*i], dir[2*i+1] = x, x
		}
		l.dir = dir
		l.depth++
	}
	q := l.newPage()
	n := entries(p)
	p[0], q[0] = uint64(d+1)<<8, uint64(d+1)<<8
	l.pages, l.mins = append(l.pages, q), append(l.mins, l.mins[at])
	for i := range n {
		key, value := p[1+i], p[pageValues+i]
		to := p
		if l.hash(key&^publicBit)>>(63-d)&1 != 0 {
			to = q
		}
		k := entries(to)
		to[1+k], to[pageValues+k] = key, value
		to[0]++
	}
	// The entries of the directory that led to p are together; the later half leads to q.
	first := int(l.hash(oneOf(p, q)&^publicBit) >> 1 >> (63 - l.depth))
	span := 1 << (l.depth - d)
	first &^= span - 1
	for i := first + span/2; i < first+span; i++ {
		l.dir[i] = uint32(len(l.pages) - 1)
	}
}

// oneOf gives a key of one of both pages, which have at least one.
func oneOf(p, q leasePage) uint64 {
	if entries(p) > 0 {
		return p[1]
	}
	return q[1]
}

// leaseChunk is how many octets of pages are taken from the system at a time:
// less than a table takes, for no more than is needed.
const leaseChunk = 256 << 10

// heapPages are made one by one on the heap: many zones have few leases.
const heapPages = 256

func (l *Leases) newPage() leasePage {
	if len(l.pages) < heapPages {
		return new([pageWords]uint64)
	}
	if len(l.chunk) < pageWords {
		b := l.memory.mapBlock(l.t, leaseChunk)
		if b == nil {
			return new([pageWords]uint64)
		}
		l.chunk = wordsOf(b)
	}
	p := leasePage(l.chunk)
	l.chunk = l.chunk[pageWords:]
	return p
}

// Due calls f for the leases and key leases that have ended, until f returns
// false. f must not Put.
func (l *Leases) Due(now int64, f func(number string, key bool) bool) {
	if l.othersMin != 0 && l.othersMin <= now && !l.dueOthers(now, f) {
		return
	}
	if now < leaseEpoch {
		return
	}
	tick := uint32(min((now-leaseEpoch)/leaseTick, never-1))
	for at := range l.mins {
		if l.mins[at] <= tick && !l.duePage(at, tick, f) {
			return
		}
	}
}

func (l *Leases) duePage(at int, tick uint32, f func(number string, key bool) bool) bool {
	p := l.pages[at]
	low := uint32(never)
	for i := range entries(p) {
		end := uint32(p[pageValues+i])
		if end == 0 {
			continue
		}
		low = min(low, end)
		if end <= tick && !f(unpackNumber(p[1+i]&^publicBit>>1), p[1+i]&1 != 0) {
			return false
		}
	}
	l.mins[at] = low
	return true
}

func (l *Leases) dueOthers(now int64, f func(number string, key bool) bool) bool {
	low := int64(0)
	for number, x := range l.others {
		for _, end := range [...]int64{x.End, x.KeyEnd} {
			if end != 0 && (low == 0 || end < low) {
				low = end
			}
		}
		if x.End != 0 && x.End <= now && !f(number, false) || x.KeyEnd != 0 && x.KeyEnd <= now && !f(number, true) {
			return false
		}
	}
	l.othersMin = low
	return true
}
