// Package transfer sends zones to secondaries: AXFR (RFC 5936), IXFR
// (RFC 1995) and NOTIFY (RFC 1996).
//
// It owns: the reading of a transfer request, the packing of a zone or of a
// difference into messages, the limit on concurrent transfers, and the NOTIFY
// schedule of every secondary.
//
// It must not open a listening socket, decide who may transfer a zone, or
// change a zone. A transfer's bytes leave through a function of the caller, the
// dispatch in dnsserver, which has checked the request's TSIG and the access
// list before it calls Serve.
//
// Invariants:
//
//  1. A transfer shows one version of the zone, and what it sends first and
//     last is that version's SOA.
//  2. A transfer waits for no peer but its own, and holds up no update.
//  3. A client without usable history gets the whole zone over a connection
//     and one SOA over UDP, never an error.
//  4. After a zone has changed, each of its targets gets a message with a
//     serial at least as new, or misses every try.
//  5. A target that answers has at most one message of a zone to answer.
//
// A transfer reads one version of a zone. A full transfer keeps that version
// from being reclaimed until it ends, so its time is limited. An incremental
// one holds nothing but its own condensed difference while it is being sent.
//
// Only dnsserver may call this package.
//
// # Limitations
//
// A full transfer over UDP is refused (RFC 5936, section 4.2), and an IXFR over
// UDP that cannot be answered by a difference in one datagram gets the single
// SOA that sends the client to TCP (RFC 1995, section 2). NOTIFY goes to
// configured addresses only; NS records are not consulted. A record that does
// not fit a message of 65535 octets together with the question, the OPT and
// the TSIG ends the transfer with SERVFAIL.
package transfer
