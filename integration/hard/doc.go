// Package hard tests what takes minutes: floods beside a good client, and
// faults of the disk. It is what "make test-hard" runs.
//
// It owns: tests behind the build tag hard, of the built dialtone binary, whose
// quick forms are in package integration. What they are together may take 25
// minutes at most.
//
// It must not import the server's packages: what is judged is what a client, a
// secondary or an operator sees. Nobody may import it.
package hard
