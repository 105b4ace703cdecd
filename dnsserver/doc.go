// Package dnsserver is the running server: it binds the sockets, reads messages from them, has each
// answered, and sends the reply.
//
// It owns: the UDP and TCP listeners, the limits that protect them, the dispatch of everything that is
// not a plain query (updates, transfers, signed queries, NOTIFY), the order in which the parts of a
// server start and stop, the commands that a running server takes, and its counters.
//
// It must not decide what an answer holds (package answer), what a zone holds (package zone), what an
// update does (package update) or how a transfer is packed (package transfer). It reads no
// configuration file. Only cmd, package web and integration tests may import it.
//
// # The walk of a message
//
// A message is read by the goroutine of its socket (UDP, a batch at a time) or of its connection (TCP)
// and given to [answer.Responder.Respond], which answers plain queries and every error on the spot.
// What it calls Later takes the slow path:
//
//   - UDP: the message is copied to the bounded queue of a worker, so that a flood of updates can never
//     hold up queries. A client address always has the same worker, so its updates keep their order. A
//     full queue answers SERVFAIL at once.
//   - TCP: the connection's own goroutine goes on with it, so the updates of one connection enter the
//     zone's queue in the order in which they were sent. Their replies leave when they are ready.
//
// The slow path verifies TSIG first (RFC 8945, section 5.2), then dispatches by operation. An update's
// reply is made when its zone's writer calls back, after the sync; the writer itself only queues the
// finished update and never builds, signs or sends anything.
//
// # Invariants
//
//  1. A query waits for no update, no transfer and no other connection.
//  2. The reply to a request leaves by the socket or connection, and from the address, that it came to.
//  3. A reply that is due has room in its queue: nothing that has a result blocks on a slow peer. Only a
//     transfer waits for its own peer, and that wait is bounded.
//  4. Whatever is refused or dropped for a limit is counted.
package dnsserver
