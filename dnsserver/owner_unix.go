//go:build linux || darwin

package dnsserver

import (
	"fmt"
	"io/fs"
	"os"
	"syscall"
)

// owner is whom a directory belongs to.
type owner struct{ uid, gid int }

// ownerOf tells it; false when the directory is not there.
func ownerOf(dir string) (owner, bool) {
	fi, err := os.Stat(dir)
	if err != nil {
		return owner{}, false
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return owner{}, false
	}
	return owner{int(st.Uid), int(st.Gid)}, true
}

// give hands the directory and all that is in it over, when they are root's to
// give.
func (o owner) give(dir string) error {
	if os.Getuid() != 0 || o.uid == 0 {
		return nil
	}
	if err := o.giveAll(dir); err != nil {
		return fmt.Errorf("its files belong to root: give them to the user that runs the server, with chown -R %d:%d %s: %w", o.uid, o.gid, dir, err)
	}
	return nil
}

// giveAll leaves dir by no symbolic link, whatever its owner puts there.
func (o owner) giveAll(dir string) error {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	return fs.WalkDir(root.FS(), ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return root.Lchown(path, o.uid, o.gid)
	})
}
