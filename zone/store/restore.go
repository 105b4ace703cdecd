package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"dialtone/zone/rr"
	"dialtone/zone/store/files"
)

// Restore reads all files to their ends first, and changes nothing before all of
// them are found whole and belong together. Then it does what Build does, in a
// directory of its own, and opens the store there before that is moved into
// place: what cannot be opened is never in place.
//
// # Serials
//
// The server went on after the backup, by a number of serials that nobody knows.
// If the restored zone counted on from the serial that it had, a secondary that
// is ahead would ignore it for a while; and once it had come to the secondary's
// serial, it would send it the difference from a version that had other records
// under that serial: the secondary would be wrong, and nobody would see it.
//
// So the serial jumps ahead of all that the lost server can have used. A jump
// must be below 2^31 from what any secondary has (RFC 1982, section 3.2), that
// of one that lags behind, too. 2^30 is in the middle, and 500 for each second
// since the backup, which is as many commits as there are with the default
// commit_interval, see to it that a second restore of the same file is ahead of
// the first.
//
// The jump is a commit like any other. The journal up to the backup is true for
// secondaries that have those serials, and leads them over the jump. It has no
// entry that begins at a serial in between, or at one beyond, so whoever has one
// gets the whole zone.

// RestoreOptions of Restore.
type RestoreOptions struct {
	// Ahead is by how much serials move on; negative: by what Restore says.
	// 0 leaves them as they are, and is for a server that has not run since the
	// backup.
	Ahead int64
	Now   time.Time
	// Others are files that the data directory may have beside the store.
	Others []string
	// Progress hears now and then; nil: it does not.
	Progress func(RestoreProgress)

	ctx context.Context
}

// at tells of progress, and whether to go on.
func (r *RestoreOptions) at(p RestoreProgress) error {
	if r.Progress != nil {
		r.Progress(p)
	}
	return r.ctx.Err()
}

// RestoreProgress is how far Restore is.
type RestoreProgress struct {
	File     string // that is being checked; "": all are, and records are stored
	Done, Of int64  // octets of the file, or records
}

// Restored tells what was restored.
type Restored struct {
	Time    time.Time // of the last backup
	Records int64     // keys of the store
	Zones   []RestoredZone
}

// RestoredZone is a zone with its serial in the backup and now.
type RestoredZone struct {
	Apex        rr.Name
	Was, Serial uint32
}

const (
	restoreDir = "restoring"

	serialJump     = 1 << 30
	serialsASecond = 500
	maxAgeJump     = 1 << 29
	// MaxAhead is how far a serial can move on at once.
	MaxAhead = 1<<31 - 1
)

// Restore makes the store in a directory that has none from a full backup and
// the increments that follow it, in order. It is all or nothing, also when the
// process ends in the middle: then Open refuses the directory until Restore is
// called again. When ctx ends it leaves nothing. Errors of files are *FileError.
func Restore(ctx context.Context, o Options, files []string, r RestoreOptions) (*Restored, error) {
	r.ctx = ctx
	return newBuilder(o, restoreDir).restore(files, &r)
}

// CheckBackups reads what Restore would, and changes nothing. Serials are those of
// the backup.
func CheckBackups(ctx context.Context, files []string, progress func(RestoreProgress)) (*Restored, error) {
	r := RestoreOptions{Progress: progress, ctx: ctx}
	c, err := openChain(files, FormatVersion, r.at)
	if err != nil {
		return nil, err
	}
	defer c.close()
	h := &c.last().Header
	out := &Restored{Time: h.Time}
	for _, z := range h.Zones {
		apex, err := rr.ParseName(z.Name)
		if err != nil {
			return nil, &FileError{c.last().name, err}
		}
		out.Zones = append(out.Zones, RestoredZone{apex, z.Serial, z.Serial})
	}
	for {
		if _, _, err = c.next(); err == io.EOF {
			return out, nil
		} else if err != nil {
			return nil, err
		}
		if out.Records++; out.Records%(1<<14) == 0 {
			if err := r.at(RestoreProgress{Done: out.Records, Of: int64(c.last().keys)}); err != nil {
				return nil, err
			}
		}
	}
}

// FileError says why a backup cannot be restored.
type FileError struct {
	File string
	Err  error
}

func (e *FileError) Error() string { return e.File + ": " + e.Err.Error() }

func (e *FileError) Unwrap() error { return e.Err }

func (b *builder) restore(names []string, r *RestoreOptions) (*Restored, error) {
	fit := func(root *os.Root, dir string) error { return refuseFull(root, dir, r.Others) }
	if err := b.open(fit); err != nil {
		return nil, err
	}
	defer b.close()
	c, err := openChain(names, b.s.o.format, r.at)
	if err != nil {
		return nil, err
	}
	defer c.close()
	if err := errors.Join(b.clear(), b.prepare()); err != nil {
		return nil, err
	}
	out := &Restored{Time: c.last().Header.Time}
	err = b.write(func() error { return b.merge(c, out, r.at) })
	if err == nil {
		out.Zones, err = b.settle(out.Time, r)
	}
	if err != nil {
		return nil, errors.Join(err, b.s.root.RemoveAll(b.place))
	}
	return out, b.install()
}

// merge hands all records to Badger.
func (b *builder) merge(c *chain, out *Restored, progress func(RestoreProgress) error) error {
	of := int64(c.last().keys)
	for {
		key, value, err := c.next()
		if err == io.EOF {
			return b.send()
		}
		if err != nil {
			return err
		}
		if len(value) > b.s.maxValue+64 {
			return fmt.Errorf("%w: value of %d octets", ErrTooBig, len(value))
		}
		if out.Records++; out.Records%(1<<14) == 0 {
			if err := progress(RestoreProgress{Done: out.Records, Of: of}); err != nil {
				return err
			}
		}
		if err := b.put(0, key, value); err != nil {
			return err
		}
	}
}

// settle opens what was written as a store, which brings it to this version's
// format and finishes what was under way, and moves the serials on.
func (b *builder) settle(made time.Time, r *RestoreOptions) (zones []RestoredZone, err error) {
	o := b.s.o
	o.Dir = filepath.Join(o.Dir, b.place)
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	nothing := func(*os.File) error { return nil }
	s.dataSync, s.dirSync = nothing, nothing // all of it is synced before it is moved
	apexes, err := s.Zones()
	if err != nil {
		return nil, err
	}
	for _, apex := range apexes {
		if err := r.ctx.Err(); err != nil {
			return nil, err
		}
		z, err := s.Zone(apex)
		if err != nil {
			return nil, err
		}
		was, now, err := z.moveSerial(r.aheadOf(made), r.Now)
		if err != nil {
			return nil, fmt.Errorf("zone %s: %w", apex, err)
		}
		zones = append(zones, RestoredZone{apex, was, now})
	}
	return zones, nil
}

func (r *RestoreOptions) aheadOf(made time.Time) uint32 {
	if r.Ahead >= 0 {
		return uint32(min(r.Ahead, MaxAhead))
	}
	age := max(0, int64(r.Now.Sub(made)/time.Second))
	return serialJump + uint32(min(min(age, maxAgeJump)*serialsASecond, maxAgeJump))
}

// moveSerial makes a commit of nothing but a new serial.
func (z *Zone) moveSerial(ahead uint32, now time.Time) (was, serial uint32, err error) {
	m, loaded, err := z.Meta()
	if err != nil || !loaded {
		return 0, 0, errors.Join(err, ErrNotLoaded)
	}
	soa, err := z.soa()
	if err != nil {
		return 0, 0, err
	}
	if s, err := rr.ParseSOA(soa.Data); err != nil || s.Serial != m.Serial {
		return 0, 0, errors.Join(err, corrupt("zone whose SOA record has another serial"))
	}
	if ahead == 0 {
		return m.Serial, m.Serial, nil
	}
	to := m.Serial + ahead
	if to == 0 { // as rr.NextSerial
		to = 1
	}
	moved := soa
	moved.Data = rr.WithSerial(soa.Data, to)
	set := OwnedRRset{soa.Owner, rr.RRset{Type: soa.Type, TTL: soa.TTL, Data: []string{moved.Data}}}
	return m.Serial, to, z.Commit(&Commit{
		From: m.Serial, To: to, OldSOA: soa, NewSOA: moved, Time: now, Sets: []OwnedRRset{set},
	})
}

const soaType = 6

// soa reads the SOA record.
func (z *Zone) soa() (rr.RR, error) {
	for o, err := range z.All() {
		if err != nil {
			return rr.RR{}, err
		}
		if len(o.Owner) > len(z.apex) {
			break
		}
		if o.Type == soaType && len(o.Data) == 1 {
			return rr.RR{Owner: z.apex, Type: soaType, TTL: o.TTL, Data: string(o.Data[0])}, nil
		}
	}
	return rr.RR{}, corrupt("zone without an SOA record")
}

// refuseUnfinished keeps everything but Restore from a directory in which a
// Restore has not come to its end.
func refuseUnfinished(root *os.Root, dir string) error {
	if _, err := root.Stat(restoreDir); err != nil {
		return nil
	}
	if _, err := root.Stat(manifest); err == nil {
		return nil // it had: what is left is removed
	}
	return &DirError{Dir: dir, Problem: "holds a backup that was not restored to the end",
		Hint: "run dialtone restore again, or remove " + filepath.Join(dir, restoreDir) + " to begin without it"}
}

// refuseFull keeps Restore from a directory that has anything but the named
// files and what a Restore or Build has left that did not come to its end.
func refuseFull(root *os.Root, dir string, others []string) error {
	names, err := fileNames(root)
	if err != nil {
		return err
	}
	slices.Sort(names)
	const hint = "move it away, as in mv %s %s.old, or name another directory"
	move := fmt.Sprintf(hint, dir, strings.TrimRight(dir, "/"))
	if slices.Contains(names, manifest) {
		return &DirError{Dir: dir, Problem: "holds zones already", Hint: move}
	}
	unfinished := slices.Contains(names, restoreDir) || slices.Contains(names, buildDir)
	for _, name := range names {
		switch {
		case slices.Contains(others, name), name == "lost+found", name == restoreDir, name == buildDir,
			unfinished && isStoreFile(name):
			continue
		}
		return &DirError{Dir: dir, Problem: "is not empty: it has " + name, Hint: move}
	}
	return nil
}

// isStoreFile knows Badger's files, but for the manifest: where that is, nothing
// is unfinished.
func isStoreFile(name string) bool { return name == "LOCK" || name != manifest && files.Ours(name) }

// clear removes what a Restore or Build has left.
func (b *builder) clear() error {
	names, err := fileNames(b.s.root)
	if err != nil {
		return err
	}
	for _, name := range names {
		if isStoreFile(name) {
			err = errors.Join(err, b.s.root.Remove(name))
		}
	}
	return errors.Join(err, b.s.root.RemoveAll(buildDir))
}
