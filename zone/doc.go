// Package zone is the table from owner names to records: its versions in
// memory, the lookup, and the one way in which it changes.
//
// It owns: what a query sees (View and Lookup: RFC 1034, section 4.3.2,
// RFC 4592, RFC 6672), what a change sees (Draft), and the commit pipeline
// that every change goes through (Op; the long comment is in writer.go).
// Readers and writers are different types: nothing that a View hands out can
// change the zone.
//
// It must not open sockets, read configuration, or know DNS messages; it knows
// the disk by the methods of Store. Packages dnsserver and below use it;
// update sees a Draft through an interface of its own.
//
// Invariants:
//
//  1. What readers see was synced before (writer.go).
//  2. A View shows one version: all of a commit or nothing of it.
//  3. The apex has exactly one SOA record, and its serial names one content
//     for ever, across crashes and failed commits too.
//  4. A failed op leaves nothing in the draft (Draft.revert).
//  5. RRsets of a node stand by ascending type; each has at least one record
//     and one TTL.
package zone
