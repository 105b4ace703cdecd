//go:build hard

package store

const (
	damagesAFile = 120
	sectorsAFile = 40
)
