//go:build linux || darwin

package control

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"
)

// openCarefully follows no symbolic link, and waits for nobody at a FIFO.
const openCarefully = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

// checkOwn finds fault with a file of another user than uid, and with one that
// has a second name.
func checkOwn(fi fs.FileInfo, uid int) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
	case int(st.Uid) != uid:
		return fmt.Errorf("the file belongs to user %d and not to user %d, as which this runs: move it away, or give it to that user", st.Uid, uid)
	case st.Nlink > 1:
		return errors.New("the file has another name elsewhere (a hard link): move it away")
	}
	return nil
}
