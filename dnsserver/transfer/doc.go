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
