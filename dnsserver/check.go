package dnsserver

import (
	"errors"

	"dialtone/zone/store"
)

// StoreReport is what CheckStore has found.
type StoreReport = store.Report

// StoreFinding is one thing that is wrong with a data directory.
type StoreFinding = store.Finding

// CheckStore reads everything in a data directory that no server has open, and tells what is damaged. With
// repair it makes a new store of what can be had, and keeps the damaged files aside; without, it changes
// nothing. progress, which may be nil, hears how many octets were read of how many. The error is a *DataDirError
// where the user can do something.
func CheckStore(dir string, repair bool, progress func(done, of int64)) (*StoreReport, error) {
	owner, there := ownerOf(dir)
	report, err := store.Check(store.CheckOptions{Dir: dir, Repair: repair, Progress: progress})
	if report != nil && report.Repaired && there {
		err = errors.Join(err, owner.give(dir))
	}
	if err != nil {
		return report, &DataDirError{err}
	}
	return report, nil
}
