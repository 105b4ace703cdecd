package table

import "syscall"

// mapPages gives zeroed pages of the system; nil when there are none.
func mapPages(octets int, huge bool) []byte {
	b, err := syscall.Mmap(-1, 0, octets, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return nil
	}
	if huge {
		_ = syscall.Madvise(b, syscall.MADV_HUGEPAGE) // a kernel without them serves small ones
	}
	return b
}

func unmapPages(b []byte) { _ = syscall.Munmap(b) } // it was mapped
