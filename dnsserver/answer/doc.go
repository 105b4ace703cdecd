// Package answer turns one DNS message into one reply, in place and without
// allocation.
//
// It owns: reading a request (header, question, EDNS), the choice of RCODE
// for every message that no slower part of the server needs to see, the
// sections of an answer in their order, name compression, size limits and
// truncation.
//
// It must not open sockets, keep state between messages, wait for anything,
// or decide what is in a zone: package zone says what was found, this package
// writes it down. TSIG, UPDATE, NOTIFY and transfers leave it by the verdict
// Later; their handlers come back for error replies.
//
// Listeners of package dnsserver call it, each goroutine with a Scratch of
// its own, inside Begin and End of a zone.Reader.
//
// Cookies are never asked for, and an answer is the same whatever server cookie
// came, but for additional data that it can do without: a client over UDP whose
// address nobody has proven gets that within 512 octets only. What a reply counts
// as where responses are limited is told by Scratch.Response; the caller decides
// whether it leaves, or what Slip writes in its place.
//
// Limitations: Rdata of records that a query has no use for is not looked
// into. RRSIG, NSEC and NSEC3 are plain data: they are answered when they are
// asked for and never added.
package answer
