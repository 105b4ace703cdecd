package store

import (
	"errors"
	"fmt"
)

// Errors of zones and journals.
var (
	// ErrNotLoaded says that the zone was never seeded, or not to the end.
	ErrNotLoaded = errors.New("the zone is not in the store")
	// ErrNoHistory says that the journal does not reach back to a serial.
	ErrNoHistory = errors.New("the journal does not cover these serials")
	// ErrSerial says that a change would not move the serial on.
	ErrSerial = errors.New("the serial does not follow")
	// ErrOutOfZone says that an owner is neither the apex nor below it.
	ErrOutOfZone = errors.New("the owner is not in the zone")
	// ErrBadNumber says that a text is no terminal number.
	ErrBadNumber = errors.New("not a number of 1 to 15 digits")
	// ErrTooBig says that one RRset or record is larger than the store takes.
	ErrTooBig = errors.New("too big for the store")
	// ErrCorrupt says that stored octets are not what this package writes.
	ErrCorrupt = errors.New("stored data is damaged")
)

// Errors of the store as a whole.
var (
	// ErrClosed says that the store is closed.
	ErrClosed = errors.New("the store is closed")
	// ErrBroken says that a write failed: Repair comes first.
	ErrBroken = errors.New("the store must be repaired after a failed write")
	// ErrReopened ends a stream that was read while the store was repaired.
	ErrReopened = errors.New("the store was reopened while it was read")
	// ErrFull says that the file system has less room than Options.Reserve.
	ErrFull = errors.New("the file system of the data directory is full")
	// ErrBackup says that another backup is under way.
	ErrBackup = errors.New("another backup is under way: one is made at a time")
	// ErrTorn, returned by Options.FailCommit, lets the change reach the disk
	// before it counts as failed.
	ErrTorn = errors.New("failed after the write")
)

// DirError says why a directory cannot be the data directory, and what to do.
type DirError struct {
	Dir     string
	Problem string
	Hint    string
	Err     error // the cause; may be nil
	InUse   bool  // another process has it open
}

func (e *DirError) Error() string {
	s := fmt.Sprintf("data directory %s %s", e.Dir, e.Problem)
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s + "; " + e.Hint
}

func (e *DirError) Unwrap() error { return e.Err }

// FormatError says that a data directory was written by a newer dialtone.
type FormatError struct {
	Dir              string
	Found, Supported uint32
}

func (e *FormatError) Error() string {
	return fmt.Sprintf("data directory %s has format version %d, and this dialtone knows versions up to %d; "+
		"run the dialtone that wrote it, or a newer one", e.Dir, e.Found, e.Supported)
}

func corrupt(what string) error { return fmt.Errorf("%w: %s", ErrCorrupt, what) }
