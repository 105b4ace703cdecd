package store

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"dialtone/zone/store/backup"
)

// chain is a full backup and the increments behind it.
type chain struct{ files []*backupFile }

// backupFile is one of them, which was read to its end once.
type backupFile struct {
	name string
	f    *os.File
	size int64
	keys uint64
	*backup.Reader

	rec  backup.Record // the one that is next
	err  error         // io.EOF at the end
	read bool          // rec and err are there
}

func (c *chain) last() *backupFile { return c.files[len(c.files)-1] }

func (c *chain) close() {
	for _, f := range c.files {
		f.Close()
		f.f.Close()
	}
}

// openChain reads all files to their ends, sees that they belong together, and
// goes back to their beginnings.
func openChain(names []string, format uint32, progress func(RestoreProgress) error) (c *chain, err error) {
	c = &chain{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	for _, name := range names {
		f, err := checkFile(name, format, progress)
		if f != nil {
			c.files = append(c.files, f)
		}
		if err == nil {
			err = c.follows(f)
		}
		if err != nil {
			return c, &FileError{name, err}
		}
	}
	if len(c.files) == 0 {
		return c, errors.New("no backup was named")
	}
	return c, nil
}

// checkFile reads a file to its end. The caller closes what it gives.
func checkFile(name string, format uint32, progress func(RestoreProgress) error) (*backupFile, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, plainPath(err)
	}
	fi, err := f.Stat()
	if err == nil && !fi.Mode().IsRegular() {
		err = errors.New("it is no regular file: a backup is read twice")
	}
	if err != nil {
		return nil, errors.Join(plainPath(err), f.Close())
	}
	b := &backupFile{name: name, f: f, size: fi.Size()}
	first, err := backup.NewReader(f, b.size)
	if err != nil {
		return nil, errors.Join(plainPath(err), f.Close())
	}
	defer first.Close()
	if v := first.Header.StoreFormat; v > format {
		return nil, errors.Join(&backup.FormatError{What: "data", Found: v, Supported: format}, f.Close())
	}
	for n := 0; err == nil; n++ {
		if n%(1<<14) == 0 {
			if err = progress(RestoreProgress{File: name, Done: first.Read(), Of: b.size}); err != nil {
				break
			}
		}
		_, err = first.Next()
	}
	if err != io.EOF {
		return nil, errors.Join(plainPath(err), f.Close())
	}
	b.keys = first.Puts + first.Keeps
	if b.Reader, err = backup.NewReader(f, b.size); err != nil {
		return nil, errors.Join(plainPath(err), f.Close())
	}
	return b, nil
}

// plainPath drops operation and path, which FileError names.
func plainPath(err error) error {
	var pe *os.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}

// follows sees that the newest file goes on where those before it end.
func (c *chain) follows(f *backupFile) error {
	h := &f.Header
	if len(c.files) == 1 {
		if h.Since != 0 {
			return fmt.Errorf("it has only what is newer than version %d: name the full backup first, and then the increments in order", h.Since)
		}
		return nil
	}
	before := c.files[len(c.files)-2]
	bh := &before.Header
	switch {
	case h.Since == 0:
		return errors.New("it is a full backup: name it first, or alone")
	case h.Store != bh.Store:
		return fmt.Errorf("it is of another data directory than %s", before.name)
	case h.Since > bh.Version:
		return fmt.Errorf("it goes on from version %d, and %s before it ends at version %d: name the backup in between", h.Since, before.name, bh.Version)
	case h.Version < bh.Version:
		return fmt.Errorf("it is older than %s before it: name the full backup first, and then the increments in order", before.name)
	}
	if h.Base == "" {
		return nil
	}
	for _, x := range c.files[:len(c.files)-1] {
		if h.Base == hex.EncodeToString(x.Sum[:]) {
			return nil
		}
	}
	return fmt.Errorf("it goes on from another file than %s", before.name)
}

// next gives the next key of the newest backup, with its value from the newest
// file that has it; io.EOF when all files were read to their ends again.
func (c *chain) next() (key, value []byte, err error) {
	f := c.last()
	f.read = false
	rec, err := f.peek()
	if err == io.EOF {
		return nil, nil, c.end()
	}
	if err != nil {
		return nil, nil, err
	}
	key, value = rec.Key, rec.Value
	for i := len(c.files) - 2; rec.Keep; i-- {
		ok := i >= 0
		if ok {
			rec, ok, err = c.files[i].find(key)
		}
		if err != nil {
			return nil, nil, err
		}
		if !ok {
			return nil, nil, &FileError{f.name, errors.New("it does not belong to the backups before it: they lack what it keeps of them")}
		}
		value = rec.Value
	}
	return key, value, nil
}

// end reads the rest of all files.
func (c *chain) end() error {
	for _, f := range c.files {
		for {
			_, err := f.peek()
			if err == io.EOF {
				break
			}
			if err != nil {
				return err
			}
			f.read = false
		}
	}
	return io.EOF
}

func (f *backupFile) peek() (backup.Record, error) {
	if !f.read {
		f.rec, f.err = f.Next()
		if f.err != nil && f.err != io.EOF {
			f.err = &FileError{f.name, plainPath(f.err)}
		}
		f.read = true
	}
	return f.rec, f.err
}

// find gives the record of a key, if there is one. Keys must ascend from call to
// call.
func (f *backupFile) find(key []byte) (rec backup.Record, ok bool, err error) {
	for {
		rec, err := f.peek()
		switch {
		case err == io.EOF || err == nil && string(rec.Key) > string(key):
			return rec, false, nil
		case err != nil || string(rec.Key) == string(key):
			return rec, err == nil, err
		}
		f.read = false
	}
}
