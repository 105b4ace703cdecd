package dnsserver

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"dialtone/dnsserver/control"
	"dialtone/zone/store"
	"dialtone/zone/store/backup"
)

// RequestBackup is the request for a backup, which is downloaded.
const RequestBackup = "backup"

// BackupQuestion asks for all of the data directory, or for what is newer than an earlier backup.
type BackupQuestion struct {
	Since uint64 `json:"since,omitempty"` // version of the earlier one; 0: all
	Store string `json:"store,omitempty"` // its data directory, if it is known, and
	Base  string `json:"base,omitempty"`  // its checksum: as BackupInfo has them
}

// BackupInfo is what stands at the head of a backup, and its checksum in hexadecimal.
type BackupInfo struct {
	backup.Header
	Sum  string
	Size int64 // octets of the file
}

// CheckBackups reads backups to their ends and sees that they belong together, as Restore does. Errors that are a
// *control.Mistake name the file at fault.
func CheckBackups(ctx context.Context, files []string, progress func(RestoreProgress)) (*Restored, error) {
	done, err := store.CheckBackups(ctx, files, progress)
	return done, fileMistake(err)
}

func fileMistake(err error) error {
	var file *store.FileError
	if errors.As(err, &file) {
		return control.Mistakef("%v", file)
	}
	return err
}

// ReadBackupInfo reads a backup to its end, to see that it is whole.
func ReadBackupInfo(file *os.File) (i BackupInfo, err error) {
	fi, err := file.Stat()
	if err != nil {
		return i, err
	}
	if !fi.Mode().IsRegular() {
		return i, errors.New("it is no regular file")
	}
	r, err := backup.NewReader(file, fi.Size())
	if err != nil {
		return i, err
	}
	defer r.Close()
	for err == nil {
		_, err = r.Next()
	}
	if err != io.EOF {
		return i, err
	}
	return BackupInfo{r.Header, hex.EncodeToString(r.Sum[:]), fi.Size()}, nil
}

// backup sends a backup. Who makes one gets all keys of phones, so it is noted, before the first octet leaves.
func (c *commands) backup(_ context.Context, who control.Peer, q BackupQuestion, w io.Writer) error {
	s := c.s
	if s.store == nil {
		return control.Mistakef("there is no data in %s yet", s.opts.DataDir)
	}
	entry := control.Entry{Action: "backup", Who: who, Detail: "of everything"}
	if q.Since > 0 {
		entry.Detail = fmt.Sprintf("since version %d", q.Since)
	}
	noted := &notedWriter{w: w, note: func() {
		// On a full disk a backup is wanted most.
		if err := s.audit(entry); err != nil {
			s.log.Warn("the backup could not be noted", "op", "backup", "err", err)
		}
	}}
	begun := time.Now()
	h, err := s.store.Backup(noted, store.BackupOptions{Since: q.Since, Store: q.Store, Base: q.Base, Time: s.opts.Now(), Yield: s.yielder.yield})
	var since *store.SinceError
	switch {
	case errors.As(err, &since):
		return control.Mistakef("%v", err)
	case errors.Is(err, store.ErrBackup):
		return control.Mistakef("%v", store.ErrBackup)
	case err != nil:
		s.log.Warn("backup broken off", "op", "backup", "err", err)
		return err
	}
	s.Counters.Backups.Add(1)
	s.Counters.LastBackup.Store(h.Time.Unix())
	s.log.Info("backup made", "op", "backup", "version", h.Version, "since", h.Since, "zones", len(h.Zones), "took", time.Since(begun))
	return nil
}

func (s *Server) collectBackups(e exporter) {
	e.count("backups_total", "Backups made to their ends.", s.Counters.Backups.Load())
	if at := s.Counters.LastBackup.Load(); at != 0 {
		e.gauge("backup_timestamp_seconds", "When the last backup since the start was made, in seconds since 1970.", float64(at))
	}
}

// notedWriter calls note before anything is written.
type notedWriter struct {
	w     io.Writer
	note  func()
	noted bool
}

func (n *notedWriter) Write(b []byte) (int, error) {
	if !n.noted {
		n.note()
		n.noted = true
	}
	return n.w.Write(b)
}

// Restored and RestoreProgress tell what was restored, and how far that is.
type (
	Restored        = store.Restored
	RestoreProgress = store.RestoreProgress
)

// MaxSerialAhead is the most that RestoreOptions.Ahead can be.
const MaxSerialAhead = store.MaxAhead

// RestoreOptions of Restore.
type RestoreOptions struct {
	Ahead    int64 // by how much serials move on; negative: by what Restore chooses
	Progress func(RestoreProgress)
}

// Restore makes the data directory o.DataDir, which must be empty, from a full backup and the increments that follow
// it. It is all or nothing; see store.Restore. Errors are *control.Mistake and *DataDirError where the user can do
// something.
func Restore(ctx context.Context, o Options, files []string, r RestoreOptions) (*Restored, error) {
	o = o.withDefaults()
	switch c, err := control.Dial(ctx, o.DataDir); {
	case err == nil:
		return nil, errors.Join(control.Mistakef("a server runs on %s: stop it first, or restore into another directory", o.DataDir), c.Close())
	case !errors.Is(err, control.ErrNoServer):
		return nil, err
	}
	owner, there := ownerOf(o.DataDir)
	if there && owner.uid != os.Getuid() && os.Getuid() != 0 {
		return nil, control.Mistakef("the directory %s belongs to user %d: give the command as that user or as root, lest the server cannot open what it makes", o.DataDir, owner.uid)
	}
	done, err := store.Restore(ctx, store.Options{Dir: o.DataDir, Logger: o.Logger}, files, store.RestoreOptions{
		Ahead: r.Ahead, Now: o.Now(), Progress: r.Progress, Others: []string{control.AuditName, control.SocketName},
	})
	switch {
	case errors.As(err, new(*store.DirError)):
		return nil, &DataDirError{err}
	case err != nil:
		return nil, fileMistake(err)
	}
	entry := control.Entry{Action: "restore", Who: control.Peer{UID: os.Getuid()}, Detail: fmt.Sprintf("backup of %s, %d zones", done.Time.Format(time.RFC3339), len(done.Zones))}
	err = control.NewAudit(o.DataDir, o.Now).Append(entry)
	if there {
		err = errors.Join(err, owner.give(o.DataDir))
	}
	if err != nil {
		return done, fmt.Errorf("the backup is restored, but %w", err)
	}
	return done, nil
}
