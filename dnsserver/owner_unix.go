//go:build linux || darwin

package dnsserver

import (
	"os"
	"syscall"
)

// ownerOf tells the user whom a directory belongs to.
func ownerOf(dir string) (uid int, ok bool) {
	fi, err := os.Stat(dir)
	if err != nil {
		return 0, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, false
	}
	return int(st.Uid), true
}
