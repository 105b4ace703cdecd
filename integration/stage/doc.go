// Package stage builds a small internet out of network namespaces, in which
// tests let real programs meet: a provider that gives phones their addresses, a
// number server at a fixed address, callers, resolvers and secondaries.
//
// It owns: the namespaces and the links between them, the programs that run in
// them, the DHCP life of a phone, and SIP calls as a program of others makes
// them. A namespace has no name and lives as long as its programs do, all of
// which end with the test's process, even when that is killed: runs do not meet,
// and nothing is left behind.
//
// It must not know what a test expects, and must not import the server's
// packages. Only tests may import it. It needs Linux, the programs that the
// Makefile lists, and root or a kernel with user namespaces for everybody; without
// them a test fails.
package stage
