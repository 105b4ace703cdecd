package store

import (
	"path/filepath"
	"strings"
)

// Size is what a store takes on its disk, in octets of its files.
type Size struct {
	Tables int64 // Badger's LSM tree
	Logs   int64 // its write-ahead logs, whose files are as long as they may become
	Values int64 // its value log, which stays empty
}

// Size adds up the files of the data directory as they are now. Files that come or go meanwhile may be
// missed.
func (s *Store) Size() (z Size, err error) {
	names, err := fileNames(s.root)
	if err != nil {
		return z, err
	}
	for _, name := range names {
		fi, err := s.root.Stat(name)
		if err != nil {
			continue
		}
		switch strings.ToLower(filepath.Ext(name)) {
		case ".sst":
			z.Tables += fi.Size()
		case walSuffix:
			z.Logs += fi.Size()
		case ".vlog":
			z.Values += fi.Size()
		}
	}
	return z, nil
}
