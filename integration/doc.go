// Package integration tests the built dialtone binary as strangers meet it:
// through the clients and the name servers that Debian ships.
//
// It owns: the tests that need more than one process (clients, secondaries,
// storms cut short by kill -9, the comparison with BIND and Knot) and the
// policy test that reads the source tree.
//
// It must not import the server's packages: what cannot be seen from outside is
// a matter for unit tests. Only what clients sign is handed to the package that
// verifies it (sig0_test.go). Nobody may import it.
package integration
