// Command flood sends what a name server on the open internet gets from those
// who mean it harm: queries and updates from forged addresses, signatures that
// are none, connections that ask nothing or read nothing, messages that are
// costly to take apart.
//
// It owns: the floods, and the pace at which they go out. The tests that start
// it have a good client beside it and judge what that one gets.
//
// It must not import the server's packages. Nobody may import it: it is a program
// of its own so that the tests can have it run with a low priority, and without
// the race detector. Batched system calls make it Linux only.
//
// Forged addresses are those of 127.0.0.0/8, all of which are the machine's own: a
// datagram may leave from any of them.
package main
