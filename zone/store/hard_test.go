//go:build hard

package store

const (
	damagesAFile = 60
	sectorsAFile = 20
	powerSerials = 400
	powerCuts    = 500 // of four kinds each
)
