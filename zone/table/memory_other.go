//go:build !linux

package table

// mapPages gives nothing: blocks come from the Go heap.
func mapPages(int, bool) []byte { return nil }

func unmapPages([]byte) {}
