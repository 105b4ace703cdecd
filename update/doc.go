// Package update is RFC 2136 as a pure function: from a message and the state
// of a zone to the zone's changes.
//
// It owns: the wire form of an UPDATE request (Parse), permission (Authorize)
// and the steps of RFC 2136, section 3 (Evaluate), with the choices that the
// RFC leaves open.
//
// It must not touch disks, sockets, clocks or goroutines, bump serials, verify
// signatures or build replies. dnsserver calls Parse and Authorize where a
// message arrives and Evaluate inside the zone's writer.
//
// # Order
//
// Parse refuses what is no well-formed UPDATE. The caller finds the zone.
// Authorize comes before the update is queued, so before prerequisites: a
// stranger cannot use them to probe what the zone holds. Evaluate then does
// checkZone, checkPrerequisites, prescan and apply.
//
// # Invariants
//
// After Evaluate, given that they held before:
//
//  1. The apex has one SOA record, and its serial is the same or greater.
//  2. The apex has at least one NS record.
//  3. A name with a CNAME has nothing else but RRSIG, NSEC and KEY.
//  4. CNAME and DNAME RRsets have one record.
//  5. No RRset has two equal records, and no record is of a meta type.
//  6. With an error, State.Set has not been called.
//  7. State.Set has been called once, and only, for each RRset that differs. What
//     Withdraw takes away comes after that.
//  8. No update takes effect that its key signed before another that has.
//
// # Choices
//
//   - A duplicate prerequisite record counts once; in BIND it fails.
//   - Adding to an RRset gives its TTL to the whole RRset (RFC 2181, section
//     5.2), even when the record was there before.
//   - A TTL with the top bit set is 0 (RFC 2181, section 8); BIND and Knot store
//     it as it is.
//   - What conflicts with a CNAME, a lower SOA serial and the like is ignored
//     with success and a Note, as BIND and Knot do.
//   - Adding an RRset beside or below a DNAME is allowed: such names are
//     occluded, not forbidden. Knot refuses the latter.
//   - A difference in the case of an owner alone is no change; State.Set gets the
//     owner in the case of the last record that was added there.
//   - An SOA record with serial 0 is ignored; BIND and Knot take it.
//   - An SOA record is compared with the one before it in the message; Knot
//     compares all of them with the one that the zone had.
//   - Malformed records of the update section are reported after prerequisites
//     that fail, in the RFC's order; BIND looks at them first.
//   - Adding A 0.0.0.0 or AAAA :: asks for the address that the request comes from
//     and is refused where that is not allowed; BIND and Knot store it.
//   - A lease (RFC 9664) is one of a number, the label next to the apex with all
//     that is below it, and for who may delete all of that.
//   - Deleting all of a number spares its KEY by rules for numbers: that is what it
//     is claimed by (RFC 9665, section 3.2.5.5.1).
//   - A DS record at the apex, and NS and DNAME records at a wildcard, are
//     ignored as in BIND; Knot stores them.
//   - RRSIG, NSEC, NSEC3 and NSEC3PARAM cannot be changed (RFC 3007, section
//     3.1.1), except that deleting a whole name deletes them with it. Knot
//     stores them; BIND refuses all but NSEC3PARAM and the apex's RRSIG.
//   - Deleting one record by empty rdata matches nothing and succeeds, unless the
//     type can have empty rdata; BIND answers FORMERR.
package update
