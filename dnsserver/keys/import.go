package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"dialtone/dnsserver/control"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// MaxImport is the most octets of a file that is imported.
const MaxImport = 4 << 30

// Import is the request to keep the keys of a file, in place of those that
// their numbers have; the file is uploaded.
type Import struct {
	Zone string `json:"zone"`
	File string `json:"file"` // its name, for the audit log
}

// Imported is the answer.
type Imported struct {
	Keys int `json:"keys"`
}

// Import keeps the keys of a file. They are stored some hundred at a time, each
// time durably, so after an error those before it are kept, and the error says
// how many; the same file can be imported again.
func (b *Book) Import(ctx context.Context, who control.Peer, in Import, file io.Reader) (Imported, error) {
	z, err := b.zone(in.Zone)
	if err == nil && z.Store == nil {
		err = b.notStored(z)
	}
	if err != nil {
		return Imported{}, err
	}
	i := importer{b: b, z: z, ctx: ctx}
	if fault := Parse(file, z.Apex, i.take); fault != nil {
		i.err = errors.Join(i.err, fault)
	}
	if i.err == nil {
		i.err = i.flush()
	}
	if i.done == 0 && i.err != nil {
		return Imported{}, i.err
	}
	e := control.Entry{Action: "key import", Who: who, Zone: z.Apex.String(), Detail: fmt.Sprintf("%d keys of %s", i.done, in.File)}
	if i.err != nil {
		e.Detail += ", which was not read to its end"
	}
	if err := b.o.Audit(e); err != nil {
		i.err = errors.Join(i.err, fmt.Errorf("the import could not be noted: %w", err))
	}
	if i.err != nil {
		return Imported{}, i.stopped()
	}
	return Imported{i.done}, nil
}

// importer gathers keys to be stored.
type importer struct {
	b     *Book
	z     *Zone
	ctx   context.Context
	lines []Line
	done  int // keys that are stored
	last  int // line of the last of them
	err   error
}

func (i *importer) take(l Line, err error) bool {
	if err != nil {
		i.err = &control.Mistake{Text: err.Error()}
		return false
	}
	name := rr.Name(string([]byte{byte(len(l.Number))}) + l.Number + string(i.z.Apex))
	if k, ok := i.b.configured[name.Lower()]; ok {
		i.err = control.Mistakef("line %d: the key of %s is in the configuration, which goes before all others: take %s out of keys and restart the server, or out of the file", l.At, l.Number, k.Name)
		return false
	}
	if i.lines = append(i.lines, l); len(i.lines) == store.MaxPhoneKeys {
		i.err = i.flush()
	}
	return i.err == nil
}

// flush stores what was gathered.
func (i *importer) flush() error {
	if err := i.ctx.Err(); err != nil {
		return fmt.Errorf("the import was broken off: %w", err)
	}
	if len(i.lines) == 0 {
		return nil
	}
	i.b.changing.Lock()
	defer i.b.changing.Unlock()
	now := i.b.o.Now()
	kept := make([]store.PhoneKey, len(i.lines))
	for n, l := range i.lines {
		s, err := i.z.state(l.Number)
		if err != nil {
			return err
		}
		next := store.PhoneKey{Number: l.Number, Algorithm: uint8(l.Algorithm), Generation: s.kept.Generation, Created: now, Secret: l.Secret}
		switch kind := s.kind(); {
		case kind == KindKept && next.Algorithm == s.kept.Algorithm && bytes.Equal(next.Secret, s.kept.Secret):
			next = s.kept // imported again
		case kind == KindKept || kind == KindDerived:
			if next.Generation, err = s.nextGeneration(); err != nil {
				return err
			}
		}
		kept[n] = next
	}
	err := i.z.Store.PutPhoneKeys(kept...)
	names := make([]rr.Name, 0, len(kept))
	for _, k := range kept {
		s := state{z: i.z, number: k.Number}
		names = append(names, s.name())
	}
	i.b.o.Changed(names...)
	if err != nil {
		return err
	}
	i.done, i.last = i.done+len(kept), i.lines[len(kept)-1].At
	i.lines = i.lines[:0]
	return nil
}

// stopped says how far an import came.
func (i *importer) stopped() error {
	text := fmt.Sprintf("%v; %d keys are imported, up to line %d: import the file again when that is put right", i.err, i.done, i.last)
	var m *control.Mistake
	if errors.As(i.err, &m) {
		return &control.Mistake{Text: text}
	}
	return errors.New(text)
}
