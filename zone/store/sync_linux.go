package store

import (
	"os"
	"syscall"
)

// dataSync syncs what was written to a file, by memory maps of it too.
func dataSync(f *os.File) error { return syscall.Fdatasync(int(f.Fd())) }
