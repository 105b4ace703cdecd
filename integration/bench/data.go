//go:build linux

package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"

	"dialtone/integration/bench/load"
)

// data is a zone of some size, and the loads for it.
type data struct {
	numbers int
	first   int // of the numbers
	missing int // from here on there are no numbers
	zone    string
	queries string // for dnsperf
	updates string
	list    []load.Question
	packets *load.Packets
}

// data makes the files of a zone once.
func (b *bench) data(numbers int) (*data, error) {
	if d := b.made[numbers]; d != nil {
		return d, nil
	}
	b.say("making the data for %s numbers", thousands(float64(numbers), 0))
	d := &data{numbers: numbers, first: 5_000_000, missing: 7_000_000}
	if numbers > 1_000_000 {
		d.first, d.missing = 50_000_000, 70_000_000
	}
	file := func(kind string) string { return filepath.Join(b.dir, fmt.Sprintf("%s.%d", kind, numbers)) }
	d.zone, d.queries, d.updates = file("zone"), file("queries"), file("updates")
	d.list = questions(d, b.plan.queries)
	err := writeFile(d.zone, d.writeZone)
	if err == nil {
		err = writeFile(d.queries, d.writeQueries)
	}
	if err == nil {
		err = writeFile(d.updates, func(w *bufio.Writer) { d.writeUpdates(w, b.plan.updates) })
	}
	if err == nil {
		d.packets, err = load.NewPackets(zoneName, d.list, nil)
	}
	b.made[numbers] = d
	return d, err
}

// questions draws the queries of all loads: of twenty, eighteen are for addresses that exist, one for a type that a number
// does not have, one for a number that is not there.
func questions(d *data, n int) []load.Question {
	r := rand.New(rand.NewPCG(1, uint64(d.numbers)))
	list := make([]load.Question, n)
	for i := range list {
		place := r.IntN(d.numbers)
		switch r.IntN(20) {
		case 0:
			list[i] = load.Question{Number: d.first + place, Type: load.TypeAAAA}
		case 1:
			list[i] = load.Question{Number: d.missing + place, Type: load.TypeA}
		default:
			list[i] = load.Question{Number: d.first + place, Type: load.TypeA}
		}
	}
	return list
}

func (d *data) writeZone(w *bufio.Writer) {
	fmt.Fprintf(w, "$ORIGIN %s\n$TTL 60\n@ SOA ns1 hostmaster 1 3600 900 604800 60\n@ NS ns1\nns1 A 192.0.2.53\n", zoneName)
	for i := range d.numbers {
		a := load.Address(i)
		fmt.Fprintf(w, "%d A %d.%d.%d.%d\n", d.first+i, a>>24, a>>16&255, a>>8&255, a&255)
	}
}

func (d *data) writeQueries(w *bufio.Writer) {
	for _, q := range d.list {
		text := "A"
		if q.Type == load.TypeAAAA {
			text = "AAAA"
		}
		fmt.Fprintf(w, "%d.%s %s\n", q.Number, zoneName, text)
	}
}

func (d *data) writeUpdates(w *bufio.Writer, n int) {
	r := rand.New(rand.NewPCG(2, uint64(d.numbers)))
	for range n {
		number, a := d.first+r.IntN(d.numbers), r.Uint32()
		fmt.Fprintf(w, "%s\ndelete %d A\nadd %d 60 A %d.%d.%d.%d\nsend\n", zoneName, number, number, a>>24, a>>16&255, a>>8&255, a&255)
	}
}

func writeFile(name string, content func(*bufio.Writer)) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	content(w)
	err = w.Flush()
	if e := f.Close(); err == nil {
		err = e
	}
	return err
}
