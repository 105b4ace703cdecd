//go:build !linux

package store

import "os"

// dataSync syncs what was written to a file, by memory maps of it too.
func dataSync(f *os.File) error { return f.Sync() }
