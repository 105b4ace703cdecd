// Package rr is the vocabulary that all rooms share: domain names, record
// data and resource records in wire form.
//
// It owns: names as raw octets, decompression, the walk over the records of a
// message, the table of types whose rdata holds names (RFC 3597, section 4;
// RFC 4034, section 6.2), equality of records as RFC 2136, section 1.1.1 wants
// it, serial arithmetic, and the way to and from github.com/miekg/dns for text.
//
// It must not know zones, sockets, disks or configuration. Everyone may
// import it.
package rr
