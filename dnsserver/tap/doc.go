// Package tap writes what a name server is asked and answers as dnstap (dnstap.info), to a socket or a file.
//
// It owns: a bounded queue of copies of messages, their encoding, and the way to the reader. Whoever puts messages in is
// never kept waiting: what the reader does not keep up with is dropped and counted.
//
// It must not know zones or sockets of DNS. Only dnsserver may import it.
//
// # Limitations
//
// A file is begun anew by each New, since a Frame Streams file has one beginning.
package tap
