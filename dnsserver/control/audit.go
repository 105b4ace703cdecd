package control

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// AuditName is the audit log's file in the data directory.
const AuditName = "audit.log"

// Entry is one line of the audit log: a command that changed something.
type Entry struct {
	Time   time.Time `json:"time"`
	Action string    `json:"action"` // the command, such as "key revoke"
	Who    Peer      `json:"who"`
	Zone   string    `json:"zone,omitempty"`
	Number string    `json:"number,omitempty"`
	Key    string    `json:"key,omitempty"` // its name
	Detail string    `json:"detail,omitempty"`
}

// Audit is the audit log: JSON lines, of which only more come. It may be used
// by any goroutine, in one process at a time.
type Audit struct {
	dir string
	now func() time.Time
	mu  sync.Mutex
}

// NewAudit is the log in a data directory. The file is made by the first entry.
func NewAudit(dir string, now func() time.Time) *Audit { return &Audit{dir: dir, now: now} }

// Append writes an entry, with the time of now, and returns when it is on disk.
// A command is answered after that. The file is opened for each entry, so that
// it may be moved away.
func (a *Audit) Append(e Entry) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	e.Time = a.now()
	path := filepath.Join(a.dir, AuditName)
	if err := appendLine(path, e); err != nil {
		return fmt.Errorf("audit log %s: %w", path, err)
	}
	return nil
}

func appendLine(path string, e Entry) (err error) {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	_, noFile := os.Lstat(path)
	f, err := openLog(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if cut, err := isCut(f); err != nil {
		return err
	} else if cut {
		line = append([]byte{'\n'}, line...)
	}
	if _, err := f.Write(append(line, '\n')); err != nil {
		return err
	}
	if err := f.Sync(); err != nil || noFile == nil {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// openLog opens the log's own file and no other: who may write to the directory
// may have put there what leads elsewhere.
func openLog(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_APPEND|openCarefully, 0o600)
	if err != nil {
		if fi, statErr := os.Lstat(path); statErr == nil && checkRegular(fi) != nil {
			return nil, checkRegular(fi) // says more
		}
		return nil, err
	}
	fi, err := f.Stat()
	if err == nil {
		err = checkRegular(fi)
	}
	if err == nil {
		err = checkOwn(fi, os.Geteuid())
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

func checkRegular(fi fs.FileInfo) error {
	switch {
	case fi.Mode().Type() == fs.ModeSymlink:
		return errors.New("it is a symbolic link, which is not followed: move it away")
	case !fi.Mode().IsRegular():
		return errors.New("it is no regular file: move it away")
	}
	return nil
}

// isCut tells whether the last line is not whole: a crash came, or the disk was
// full.
func isCut(f *os.File) (cut bool, err error) {
	end, err := f.Seek(0, io.SeekEnd)
	if err != nil || end == 0 {
		return false, err
	}
	var last [1]byte
	if _, err := f.ReadAt(last[:], end-1); err != nil {
		return false, err
	}
	return last[0] != '\n', nil
}
