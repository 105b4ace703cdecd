//go:build !linux && !darwin

package dnsserver

type owner struct{ uid int }

func ownerOf(string) (owner, bool) { return owner{}, false }

func (owner) give(string) error { return nil }
