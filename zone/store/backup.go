package store

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/dgraph-io/badger/v4"

	"dialtone/zone/store/backup"
)

// A backup is what one Badger transaction sees, in the order of keys. Commits go
// on meanwhile, and do not wait for it: Badger is held while a piece is read into
// memory, and never while it is compressed or sent.
//
// Version is where the next incremental backup goes on: the newest version of
// Badger's that the transaction sees. Before anything is written, a mark with
// it is committed. That syncs all that the backup shows, and it keeps Badger
// from giving a version twice: after a crash it counts on from the newest version
// on disk, which may be older than what was shown, or than a deletion that a
// compaction has forgotten. Then an increment would leave out what was changed.

// BackupOptions say what a backup starts from, when it is an increment.
type BackupOptions struct {
	Since uint64 // Version of an earlier one; 0: this one is a full backup
	Store string // Header.Store of that one; "": not known
	Base  string // and its checksum, in hexadecimal; "": not known
	Time  time.Time
	// Yield is called after each piece; nil: nothing is.
	Yield func()
}

// SinceError says that an increment cannot be made from an earlier backup.
type SinceError struct{ Text string }

func (e *SinceError) Error() string { return e.Text }

// Backup writes one; see the package backup for what it looks like. Errors before
// anything is written are ErrBackup, ErrBroken, ErrClosed and *SinceError;
// ErrReopened ends one during which the disk failed.
//
// When the file system is full, it has no Version, and no increment can follow.
func (s *Store) Backup(to io.Writer, o BackupOptions) (h backup.Header, err error) {
	if !s.backup.TryLock() {
		return h, ErrBackup
	}
	defer s.backup.Unlock()
	if s.broken.Load() {
		return h, fmt.Errorf("backup: %w", ErrBroken)
	}
	sn, err := s.snapshot()
	if err != nil {
		return h, fmt.Errorf("backup: %w", err)
	}
	defer sn.close()
	if h, err = s.backupHeader(sn, o); err != nil {
		return h, err
	}
	w, err := backup.NewWriter(to, h)
	if err == nil {
		err = s.backupAll(sn, w, o)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		return h, fmt.Errorf("backup: %w", err)
	}
	return h, nil
}

func (s *Store) backupHeader(sn *snapshot, o BackupOptions) (h backup.Header, err error) {
	h = backup.Header{Time: o.Time.UTC(), Since: o.Since, Base: o.Base}
	var last mark
	err = sn.read(func(txn *badger.Txn) error {
		v, err := get(txn, []byte{kindFormat})
		if err != nil || len(v) != 4 {
			return errors.Join(err, corrupt("format version"))
		}
		h.StoreFormat = binary.BigEndian.Uint32(v)
		h.Version = txn.ReadTs()
		if err := last.read(txn); err != nil {
			return err
		}
		return each(txn, []byte{kindZone}, nil, func(_, value []byte) (bool, error) {
			id, apex, err := decodeZone(value)
			if err != nil {
				return false, err
			}
			v, err := get(txn, zonePrefix(kindMeta, id))
			if err != nil {
				return false, fmt.Errorf("zone %s: %w: %v", apex, corrupt("zone without meta"), err)
			}
			var m meta
			err = m.decode(v)
			h.Zones = append(h.Zones, backup.Zone{Name: apex.String(), Serial: m.serial})
			return true, err
		})
	})
	if err == nil {
		err = last.follows(o)
	}
	if err == nil {
		err = s.putMark(&last, &h)
	}
	return h, err
}

// mark is what a store keeps of its last backup.
type mark struct {
	id      [16]byte // of the data directory; zero before the first backup
	version uint64
}

func (m *mark) read(txn *badger.Txn) error {
	v, err := get(txn, []byte{kindBackup})
	if ok, err := found(err); !ok {
		return err
	}
	if len(v) != 1+len(m.id)+8 || v[0] != encMark {
		return corrupt("mark of a backup")
	}
	copy(m.id[:], v[1:])
	m.version = binary.BigEndian.Uint64(v[1+len(m.id):])
	return nil
}

// follows refuses an increment that no backup of this store leads to.
func (m *mark) follows(o BackupOptions) error {
	switch {
	case o.Since == 0:
		return nil
	case o.Store != "" && o.Store != hex.EncodeToString(m.id[:]):
		return &SinceError{"the earlier backup is of another data directory, or of this one before it was restored: make a full backup"}
	case o.Since > m.version:
		return &SinceError{fmt.Sprintf("no backup of this data directory has version %d, the last one has %d", o.Since, m.version)}
	}
	return nil
}

// putMark commits the mark of a backup that begins; see the top of this file.
func (s *Store) putMark(m *mark, h *backup.Header) error {
	if m.id == ([16]byte{}) {
		rand.Read(m.id[:]) // never fails
	}
	h.Store = hex.EncodeToString(m.id[:])
	v := append([]byte{encMark}, m.id[:]...)
	b := batch{urgent: true}
	b.put([]byte{kindBackup}, binary.BigEndian.AppendUint64(v, h.Version))
	err := s.commit(&b)
	if errors.Is(err, ErrFull) {
		h.Version = 0
		return nil
	}
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// backupAll writes all keys.
func (s *Store) backupAll(sn *snapshot, w *backup.Writer, o BackupOptions) error {
	var p piece
	read := 0
	for next := []byte{0}; next != nil; {
		err := sn.read(func(txn *badger.Txn) (err error) {
			next, err = p.fill(txn, next, o.Since)
			return err
		})
		if err == nil {
			err = p.write(w)
		}
		if err != nil {
			return err
		}
		if read += len(p.arena); read > releaseRead {
			s.releasePages()
			read = 0
		}
		if o.Yield != nil {
			o.Yield()
		}
	}
	return nil
}

// piece is a run of keys and values that was read at one go.
type piece struct {
	arena []byte
	ends  [][2]int // of key and value; an empty value stands for one that is kept
}

// pieceOctets is short, for queries on the same processor wait for a piece.
const pieceOctets = 64 << 10

// fill reads from key next on, and gives the key to go on with; nil at the end.
func (p *piece) fill(txn *badger.Txn, next []byte, since uint64) (more []byte, err error) {
	p.arena, p.ends = p.arena[:0], p.ends[:0]
	it := txn.NewIterator(badger.IteratorOptions{})
	defer it.Close()
	for it.Seek(next); it.Valid(); it.Next() {
		item := it.Item()
		key := item.Key()
		if len(p.arena) >= pieceOctets || len(p.ends) >= pieceOctets/16 {
			return append([]byte(nil), key...), nil
		}
		if key[0] == kindBackup {
			continue
		}
		p.arena = append(p.arena, key...)
		end := [2]int{len(p.arena), len(p.arena)}
		if item.Version() > since {
			err := item.Value(func(v []byte) error {
				p.arena = append(p.arena, v...)
				return nil
			})
			if err != nil {
				return nil, err
			}
			end[1] = len(p.arena)
		}
		p.ends = append(p.ends, end)
	}
	return nil, nil
}

func (p *piece) write(w *backup.Writer) error {
	from := 0
	for _, end := range p.ends {
		key, value := p.arena[from:end[0]], p.arena[end[0]:end[1]]
		var err error
		if len(value) > 0 {
			err = w.Put(key, value)
		} else {
			err = w.Keep(key)
		}
		if err != nil {
			return err
		}
		from = end[1]
	}
	return nil
}
