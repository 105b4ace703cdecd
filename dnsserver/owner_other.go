//go:build !linux && !darwin

package dnsserver

func ownerOf(string) (uid int, ok bool) { return 0, false }
