// Package acl decides who may do what to a zone: the access control list of
// one zone, with the words and the meaning of Knot DNS's acl section.
//
// It owns: the rules, how they are compiled for a zone, the decision, and the
// sentence that tells a refused client which permission is missing.
//
// It must not know messages, sockets, secrets or configuration files: callers
// hand in the address and the name of the key whose signature has already
// been verified. The packages update and dnsserver may ask it; cmd builds it.
//
// # Which rule decides
//
// The first rule that matches decides: allow, or deny with Rule.Deny. When none
// matches, the answer is no. A rule matches when all of these hold:
//
//   - address: the client's address is in one of Rule.Addresses, or the rule
//     has none.
//   - key: the request is signed with one of Rule.Keys, or with any configured
//     key for Rule.AnyKey. A rule without keys matches unsigned requests only;
//     with Deny it matches signed ones too.
//   - action: the rule has the action. A rule with Deny and without actions
//     matches all of them.
//   - for updates, owner and type: every record of the update section is
//     within the rule's restrictions. Deleting all RRsets of a name has type
//     ANY, which a list of types covers only if it says ANY. An update without
//     records (prerequisites only) is within any restriction.
//
// # Terminal numbers
//
// A terminal number is a label of 1 to 15 digits directly below the apex. Two
// restrictions speak of numbers, and hold beside the others:
//
//   - Rule.SelfNumber: one rule for all phones. The key of a number bears the
//     number's own name, as 5551234.phones.example., and may change that name
//     and what is below it, such as _sip._udp.5551234. Unless the rule has types
//     of its own these are addresses and what leads to them: A, AAAA, SRV, NAPTR,
//     TXT, HTTPS, SVCB, KEY (package update lets only a number's public key change
//     its own), and the deletion of all of a name.
//   - Rule.Numbers: single numbers, ranges and first digits, for a PBX, a DHCP
//     server or a reseller.
//
// A phone behind NAT does not know its address. Where Rule.SourceAddress is
// set it adds A 0.0.0.0 or AAAA ::, for which package update puts the address
// that the request comes from, if that is proven.
//
// Rule.MaxRecords bounds how many records a name has after an update that the
// rule allows; package update holds it.
//
// # Differences from Knot
//
// All three refuse what Knot lets through:
//
//   - A deny rule with owner or type restrictions matches as soon as one record
//     is within them, and a deletion of type ANY is within any list of types.
//     In Knot an update escapes such a rule by adding a record that the rule
//     does not speak of.
//   - update_owner key needs a rule with keys. In Knot an unsigned request
//     passes it at every owner.
//   - update_owner name needs at least one name. In Knot it then means all.
//
// And one adds to it: in a pattern a label may hold "?" (any one octet) and "*"
// (any octets, or none) in any place, not only "*" as the whole label.
package acl
