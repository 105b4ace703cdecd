package keys

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"dialtone/dnsserver/control"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// MaxImport is the most octets of a file that is imported.
const MaxImport = 4 << 30

// Import is the request to keep the keys of a file, in place of those that
// their numbers have; the file is uploaded.
type Import struct {
	Zone    string `json:"zone"`
	File    string `json:"file"`    // its name, for the audit log
	Replace bool   `json:"replace"` // also when a number is blocked
}

// MaxLeftOut is how many of the keys that are left out are told of.
const MaxLeftOut = 20

// Imported is the answer.
type Imported struct {
	Keys    int `json:"keys"`     // that are kept now
	LeftOut int `json:"left_out"` // that are not
	// Why tells of the first that were left out, at most MaxLeftOut.
	Why []LineError `json:"why,omitempty"`
}

// Import keeps the keys of a file. They are stored some hundred at a time, each
// time durably, so after an error those before it are kept, and the error says
// how many; the same file can be imported again.
//
// A key is left out whose secret the number had before it was revoked, and, but
// for in.Replace, one of a number that is blocked: an old file must not undo what
// was revoked since, nor one such number keep all others from their keys.
func (b *Book) Import(ctx context.Context, who control.Peer, in Import, file io.Reader) (Imported, error) {
	z, err := b.zone(in.Zone)
	if err == nil && z.Store == nil {
		err = b.notStored(z)
	}
	if err != nil {
		return Imported{}, err
	}
	i := importer{b: b, z: z, ctx: ctx, replace: in.Replace}
	if fault := Parse(file, z.Apex, i.take); fault != nil {
		i.err = errors.Join(i.err, fault)
	}
	if i.err == nil {
		i.err = i.flush()
	}
	if i.done.Keys == 0 && i.err != nil {
		return Imported{}, i.err
	}
	e := control.Entry{Action: "key import", Who: who, Zone: z.Apex.String(), Detail: fmt.Sprintf("%d keys of %s", i.done.Keys, in.File)}
	if i.done.LeftOut > 0 {
		e.Detail += fmt.Sprintf(", %d left out", i.done.LeftOut)
	}
	if i.err != nil {
		e.Detail += ", which was not read to its end"
	}
	if err := b.o.Audit(e); err != nil {
		i.err = errors.Join(i.err, fmt.Errorf("the import could not be noted: %w", err))
	}
	if i.err != nil {
		return Imported{}, i.stopped()
	}
	return i.done, nil
}

// importer gathers keys to be stored.
type importer struct {
	b       *Book
	z       *Zone
	ctx     context.Context
	replace bool
	lines   []Line
	done    Imported
	last    int // line of the last key that is done with
	err     error
}

func (i *importer) take(l Line, err error) bool {
	if err != nil {
		i.err = &control.Mistake{Text: err.Error()}
		return false
	}
	name := rr.NumberName(l.Number, i.z.Apex)
	if k, ok := i.b.inConfiguration(name); ok {
		i.err = control.Mistakef("line %d: the key of %s is in the configuration, which goes before all others: take %s out of keys and reload the server, or out of the file", l.At, l.Number, k.Name)
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
	kept := make([]store.PhoneKey, 0, len(i.lines))
	var leftOut []LineError
	for _, l := range i.lines {
		next, why, err := i.next(l)
		switch {
		case err != nil:
			return err
		case why != "":
			leftOut = append(leftOut, LineError{l.At, why})
		default:
			kept = append(kept, next)
		}
	}
	if err := i.put(kept); err != nil {
		return err
	}
	i.done.Keys, i.last = i.done.Keys+len(kept), i.lines[len(i.lines)-1].At
	i.done.LeftOut += len(leftOut)
	i.done.Why = append(i.done.Why, leftOut[:min(len(leftOut), MaxLeftOut-len(i.done.Why))]...)
	i.lines = i.lines[:0]
	return nil
}

func (i *importer) put(kept []store.PhoneKey) error {
	if len(kept) == 0 {
		return nil
	}
	err := i.z.Store.PutPhoneKeys(kept...)
	names := make([]rr.Name, 0, len(kept))
	for _, k := range kept {
		s := state{z: i.z, number: k.Number}
		names = append(names, s.name())
	}
	i.b.o.Changed(names...)
	return err
}

// next is what is kept of a line's number, or why the line is left out.
func (i *importer) next(l Line) (next store.PhoneKey, why string, err error) {
	s, err := i.z.state(l.Number)
	if err != nil {
		return next, "", err
	}
	k, works, err := s.key()
	if err != nil {
		return next, "", err
	}
	next = s.kept
	switch kind := s.kind(); {
	case works && bytes.Equal(k.Secret, l.Secret): // nothing is revoked
		if kind == KindKept && k.Algorithm == l.Algorithm {
			return next, "", nil // imported again
		}
	case wasRevoked(&s.kept, l.Secret):
		return next, fmt.Sprintf("this secret of number %s was revoked, and no secret of a number comes back: make another, with dialtone key add %s or elsewhere", l.Number, l.Number), nil
	case kind == KindBlocked && !i.replace:
		return next, fmt.Sprintf("number %s is blocked since %s: take it out of the file, or give blocked numbers their keys with --replace", l.Number, s.kept.Created.UTC().Format(time.DateOnly)), nil
	case works:
		if next, err = s.revoked(); err != nil {
			return next, "", err
		}
	}
	next.Blocked, next.Algorithm, next.Secret, next.Created = false, uint8(l.Algorithm), l.Secret, i.b.o.Now()
	return next, "", nil
}

// stopped says how far an import came.
func (i *importer) stopped() error {
	text := fmt.Sprintf("%v; %d keys are imported, up to line %d: import the file again when that is put right", i.err, i.done.Keys, i.last)
	var m *control.Mistake
	if errors.As(i.err, &m) {
		return &control.Mistake{Text: text}
	}
	return errors.New(text)
}
