// Package masterfile reads zones from master files (RFC 1035, section 5), and
// writes them.
//
// It owns: the text format with its directives ($ORIGIN, $TTL, $INCLUDE,
// $GENERATE), the position of every fault, and the rules that the content of a
// zone must keep as a whole: one SOA, name servers at the apex, nothing beside
// a CNAME, nothing from another zone. It goes on after a fault, so that one
// run shows them all.
//
// It must not store what it reads, know sockets or configuration, or decide
// how names are answered. The command and the server's start call it.
//
// Data of single records is read by github.com/miekg/dns; splitting the file
// into entries is done here, because positions of records and reading on after
// a fault cannot be had there.
//
// # Limitations
//
// $INCLUDE reaches only files in the directory of the master file and below.
// Quoted strings end on the line on which they begin.
package masterfile
