package dnsserver

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"syscall"

	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
)

// TapError says why dnstap has nowhere to go.
type TapError struct{ Err error }

func (e *TapError) Error() string { return e.Err.Error() + ": name another file, or leave dnstap out" }

// Unwrap gives the operating system's error.
func (e *TapError) Unwrap() error { return e.Err }

// BindError says which of the addresses could not be bound. All of them are tried before Start gives up.
type BindError struct {
	Failed []BindFailure
}

// BindFailure is one address that could not be bound.
type BindFailure struct {
	Proto string // "udp", "tcp", "metrics" or "web"
	Addr  netip.AddrPort
	Err   error
}

func (e *BindError) Error() string {
	lines := make([]string, len(e.Failed))
	for i, f := range e.Failed {
		lines[i] = f.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the operating system's errors.
func (e *BindError) Unwrap() []error {
	errs := make([]error, len(e.Failed))
	for i, f := range e.Failed {
		errs[i] = f.Err
	}
	return errs
}

// String names the address, the fault and what to do.
func (f BindFailure) String() string {
	hint := ""
	switch {
	case errors.Is(f.Err, syscall.EADDRINUSE):
		hint = ": another process uses it; stop that one or choose another address"
	case errors.Is(f.Err, syscall.EADDRNOTAVAIL):
		hint = ": this machine has no such address; choose one that it has, or 0.0.0.0 or [::] for all"
	case errors.Is(f.Err, syscall.EACCES):
		hint = ": not permitted; ports below 1024 need root or CAP_NET_BIND_SERVICE"
	}
	return fmt.Sprintf("cannot listen on %s/%s: %v%s", f.Addr, f.Proto, rootCause(f.Err), hint)
}

// rootCause drops the operation and address that package net repeats.
func rootCause(err error) error {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		return errno
	}
	return err
}

// DataDirError says why Options.DataDir cannot be used. Its text names the directory and what to do.
type DataDirError struct{ Err error }

func (e *DataDirError) Error() string { return e.Err.Error() }

func (e *DataDirError) Unwrap() error { return e.Err }

// ZoneError says why a zone could not be served.
type ZoneError struct {
	Apex rr.Name
	File string // the master file, when the fault is in it
	// Problems are the faults of the master file, with their lines; warnings are left out.
	Problems []masterfile.Problem
	Err      error // any other fault
}

func (e *ZoneError) Error() string {
	if len(e.Problems) == 0 {
		if e.File != "" {
			return fmt.Sprintf("zone %s: file %s: %v", e.Apex, e.File, e.Err)
		}
		return fmt.Sprintf("zone %s: %v", e.Apex, e.Err)
	}
	lines := make([]string, len(e.Problems))
	for i, p := range e.Problems {
		lines[i] = fmt.Sprintf("zone %s: %s:%d: %s", e.Apex, p.File, p.Line, p.Text)
	}
	return strings.Join(lines, "\n")
}

func (e *ZoneError) Unwrap() error { return e.Err }
