package store

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"time"

	"dialtone/zone/rr"
	"dialtone/zone/store/files"
)

// A repair writes all that can be read to a new store beside the old one, and
// then changes places:
//
//	write    the new store, in a directory inside the data directory; sync it
//	note     what is to be moved where (the file REPAIRING); sync
//	aside    the old files, into a directory of their own
//	move     the new files into place, the manifest last, as in Build
//	end      take the note away
//
// Until the note is there nothing of the old store has been touched. While it is
// there a start refuses, and another repair goes on from where this one ended.
//
// When nothing is lost, or one octet was wrong and is known, the new store is the
// old one. When something is, a zone gets a serial that it cannot have had, and
// no journal, so that secondaries take all of it anew.

// aheadBy is how far a serial jumps when something was lost: more than there can
// have been commits in the logs.
const aheadBy = 1 << 20

type repairNote struct {
	Aside string   `json:"aside"`
	Files []string `json:"files"`
}

// resume goes on with a repair that was interrupted.
func (c *checker) resume() (done bool, err error) {
	text, err := c.root.ReadFile(repairing)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	var note repairNote
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	if err != nil {
		return true, fmt.Errorf("%s: %w", repairing, err)
	}
	c.report.Findings = append(c.report.Findings, Finding{File: repairing, Offset: -1, Text: "says that a repair was interrupted"})
	if !c.o.Repair {
		return true, nil
	}
	return true, c.changePlaces(c.builder(), note)
}

func (c *checker) builder() *builder {
	s := &Store{o: Options{Dir: c.o.Dir, Logger: slog.New(slog.DiscardHandler)}.withDefaults(), root: c.root, dir: c.dir}
	s.maxValue = int(s.badgerOptions().ValueThreshold) - 64
	s.o.Reserve = defaultReserve(c.dir, s.o.MemTable)
	return &builder{s: s, place: buildDir, step: c.o.step}
}

// rebuild makes the new store.
func (c *checker) rebuild() error {
	b := c.builder()
	if err := b.prepare(); err != nil {
		return err
	}
	if err := b.write(func() error { return c.copyTo(b) }); err != nil {
		return errors.Join(err, c.root.RemoveAll(buildDir))
	}
	if err := b.syncBuilt(); err != nil {
		return err
	}
	note := repairNote{Aside: "damaged-" + time.Now().UTC().Format("20060102T150405Z")}
	names, err := fileNames(c.root)
	if err != nil {
		return err
	}
	for _, n := range names {
		if files.Ours(n) || n == markFile {
			note.Files = append(note.Files, n)
		}
	}
	text, err := json.Marshal(note)
	if err != nil {
		return err
	}
	// It is whole before it has its name: half of it would keep start and repair away.
	whole := filepath.Join(b.place, repairing)
	if err := c.root.WriteFile(whole, text, 0o600); err != nil {
		return err
	}
	if err := syncFile(c.root, whole); err != nil {
		return err
	}
	if err := c.o.step(); err != nil {
		return err
	}
	if err := errors.Join(c.root.Rename(whole, repairing), c.dir.Sync()); err != nil {
		return err
	}
	return c.changePlaces(b, note)
}

// changePlaces may be called again after any of its steps.
func (c *checker) changePlaces(b *builder, note repairNote) error {
	if err := c.root.Mkdir(note.Aside, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	for _, n := range note.Files {
		if _, err := c.root.Stat(filepath.Join(note.Aside, n)); err == nil {
			continue // and what bears the name now is new
		}
		if err := c.o.step(); err != nil {
			return err
		}
		if err := c.root.Rename(n, filepath.Join(note.Aside, n)); err != nil {
			return err
		}
	}
	if err := errors.Join(syncFile(c.root, note.Aside), c.dir.Sync()); err != nil {
		return err
	}
	if _, err := c.root.Stat(filepath.Join(buildDir, manifest)); err == nil {
		if err := b.moveUp(); err != nil {
			return err
		}
	}
	if err := c.o.step(); err != nil {
		return err
	}
	if err := errors.Join(c.root.Remove(repairing), c.dir.Sync()); err != nil {
		return err
	}
	c.report.Repaired, c.report.Aside = true, note.Aside
	return nil
}

// copyTo writes all that can be read. Keys must come in order.
func (c *checker) copyTo(b *builder) error {
	put := func(key, value []byte) error { return b.put(1, key, value) }
	err := c.copyAll(put)
	if c.lossy {
		err = c.copyRest(put)
	}
	if err != nil {
		return err
	}
	return b.send()
}

// copyAll is for a store of which nothing is lost.
func (c *checker) copyAll(put func(key, value []byte) error) error {
	if c.lossy {
		return nil
	}
	return c.reader.Scan(nil, func(e files.Entry) error {
		if e.Key[0] == kindBackup {
			return nil // Badger counts its versions anew, so no increment may go on from an earlier backup
		}
		return put(e.Key, e.Value)
	})
}

// copyRest is for a store of which something is lost: each zone begins anew, with
// what is left.
func (c *checker) copyRest(put func(key, value []byte) error) error {
	zones := c.settle()
	for _, kind := range [...]byte{kindFormat, kindHeld, kindPhone, kindMeta, kindRRset, kindTrim, kindZone} { // in order
		var err error
		switch kind {
		case kindFormat:
			err = put([]byte{kindFormat}, binary.BigEndian.AppendUint32(nil, FormatVersion))
		case kindMeta:
			err = eachZone(zones, func(z *zoneCheck) error { return put(zonePrefix(kind, z.id), z.state.meta.append(nil)) })
		case kindTrim:
			err = eachZone(zones, func(z *zoneCheck) error { return put(zonePrefix(kind, z.id), z.state.trim.append(nil)) })
		case kindZone:
			slices.SortFunc(zones, func(a, b *zoneCheck) int { return bytes.Compare(apexKey(a.apex), apexKey(b.apex)) })
			err = eachZone(zones, func(z *zoneCheck) error { return put(apexKey(z.apex), zoneValue(z.id, z.apex)) })
		default:
			err = eachZone(zones, func(z *zoneCheck) error { return c.copyZone(z, kind, put) })
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func eachZone(zones []*zoneCheck, f func(z *zoneCheck) error) error {
	for _, z := range zones {
		if err := f(z); err != nil {
			return err
		}
	}
	return nil
}

// settle gives the zones that go on, by number, each with what it goes on with.
func (c *checker) settle() (zones []*zoneCheck) {
	for _, z := range c.zones {
		if !z.settleSOA() {
			continue
		}
		serial := z.highest + aheadBy
		z.state.meta = meta{serial: serial, burned: serial, stage: z.state.stage + 1}
		z.state.trim = trim{from: serial}
		zones = append(zones, z)
	}
	slices.SortFunc(zones, func(a, b *zoneCheck) int { return cmp.Compare(a.id, b.id) })
	for i := range c.report.Zones {
		r := &c.report.Zones[i]
		at := slices.IndexFunc(zones, func(z *zoneCheck) bool { return z.apex.String() == r.Zone })
		r.Serial, r.Journal = 0, 0
		if at >= 0 {
			r.Serial = zones[at].state.serial
		}
	}
	return zones
}

// settleSOA finds a SOA record: that of the last journal entry is as good.
func (z *zoneCheck) settleSOA() bool {
	if z.soa == nil && z.newSOA.Data != "" {
		z.soaKey = appendRRsetKey(nil, z.id, z.apex, z.apex, soaType)
		z.soa, _ = appendRRset(nil, z.apex, soaType, z.newSOA.TTL, []string{z.newSOA.Data})
		z.soaData = z.newSOA.Data
	}
	_, err := rr.ParseSOA(z.soaData)
	return z.soa != nil && err == nil
}

// copyZone writes what can be read of one kind of a zone.
func (c *checker) copyZone(z *zoneCheck, kind byte, put func(key, value []byte) error) error {
	soa := func() error {
		_, spans, s, err := cutRRset(nil, nil, z.lower, z.soaKey, z.soa)
		if err != nil || len(spans) != 1 {
			return corrupt("SOA record")
		}
		value, err := appendRRset(nil, z.apex, soaType, s.ttl, []string{rr.WithSerial(z.soaData, z.state.serial)})
		if err != nil {
			return err
		}
		return put(z.soaKey, value)
	}
	pending := kind == kindRRset
	err := c.reader.Scan(zonePrefix(kind, z.id), func(e files.Entry) error {
		if pending && bytes.Compare(e.Key, z.soaKey) >= 0 {
			pending = false
			if err := soa(); err != nil || bytes.Equal(e.Key, z.soaKey) {
				return err
			}
		}
		if !z.readable(kind, e) {
			return nil
		}
		return put(e.Key, e.Value)
	})
	if err == nil && pending {
		err = soa()
	}
	return err
}

func (z *zoneCheck) readable(kind byte, e files.Entry) bool {
	rest := e.Key[prefixLen:]
	switch {
	case kind == kindRRset:
		_, _, _, err := cutRRset(nil, nil, z.lower, e.Key, e.Value)
		return err == nil
	case kind == kindPhone:
		return new(PhoneKey).decode(string(rest), e.Value) == nil
	case len(rest) > 0 && rest[0] == heldNumber:
		_, err := decodeRegistration(string(rest[1:]), z.apex, e.Value)
		return err == nil
	}
	if len(rest) == 0 || rest[0] != heldSigner {
		return false
	}
	_, err := decodeSigner(rr.Name(rest[1:]), e.Value)
	return err == nil
}
