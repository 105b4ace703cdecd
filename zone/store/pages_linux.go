package store

import (
	"bufio"
	"fmt"
	"os"
	"strings"
	"syscall"
)

// unmapTables takes the pages of Badger's tables in dir with these numbers out
// of the process. The mappings themselves stay, and nothing is lost: they are
// shared mappings of files.
func unmapTables(dir *os.File, ids map[uint64]bool) error {
	path, err := os.Readlink(fmt.Sprintf("/proc/self/fd/%d", dir.Fd())) // as it stands in maps
	if err != nil {
		return err
	}
	wanted := make(map[string]bool, len(ids))
	for id := range ids {
		wanted[fmt.Sprintf("%s/%06d.sst", path, id)] = true
	}
	return eachMapping(func(from, to uintptr, name string) error {
		if !wanted[name] {
			return nil
		}
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, from, to-from, syscall.MADV_DONTNEED); errno != 0 {
			return errno
		}
		return nil
	})
}

// eachMapping calls fn for all mappings of files.
func eachMapping(fn func(from, to uintptr, name string) error) error {
	f, err := os.Open("/proc/self/maps")
	if err != nil {
		return err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		// 7fe669e0f000-7fe66a000000 rw-s 00000000 fe:00 9978355    /DIR/000005.sst
		at := strings.IndexByte(lines.Text(), '/')
		if at < 0 {
			continue
		}
		var from, to uintptr
		if _, err := fmt.Sscanf(lines.Text(), "%x-%x", &from, &to); err != nil {
			return err
		}
		if err := fn(from, to, lines.Text()[at:]); err != nil {
			return err
		}
	}
	return lines.Err()
}
