// Package peertest starts real programs for tests: dialtone itself, BIND, Knot
// and NSD as primaries or secondaries, and the command-line clients.
//
// It owns: processes and their logs, free ports, configuration templates,
// waiting with a deadline, transfers into comparable record lists, and update
// messages built octet by octet.
//
// It must not import the server's packages and must not know what a test
// expects. Only the integration tests may import it. A program that is not
// installed fails the test and names the Debian package: a skipped test proves nothing.
package peertest
