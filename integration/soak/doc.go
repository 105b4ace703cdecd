// Package soak has all that can happen to a server happen to it at once, for
// as long as one likes: queries, updates, leases, transfers, reloads, stops,
// kill -9 and a disk that fails. "make soak" runs it, for 30 minutes or DURATION.
//
// It owns: the load, the trouble, and the check at the end: every acknowledged
// update is there, the secondaries are equal, no serial went back, no lease
// outlived its end, and nothing leaks.
//
// It must not import the server's packages. It is a test behind the build tag
// soak, so that it has what package peertest has. Nobody may import it.
package soak
