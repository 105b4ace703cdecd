//go:build !hard

package store

// How much of everything the tests of damage and of power cuts try: make
// test-hard tries more.
const (
	damagesAFile = 3
	sectorsAFile = 2
	powerSerials = 90
	powerCuts    = 20 // of four kinds each
)
