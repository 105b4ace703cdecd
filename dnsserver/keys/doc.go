// Package keys knows the TSIG keys of phones: where they come from, and how
// they are made, shown and revoked.
//
// It owns: the order in which a key is looked for (configuration, store, seed of
// the zone), what revoking means for each, the requests of the key commands and
// the file that key import reads. A Book is the same behind a running server and
// behind a command without one.
//
// It must not verify signatures (package update/tsig), decide what a key may do
// (package update/acl), or know how requests come in (package control). Package
// dnsserver makes the Book; cmd knows the requests.
//
// A key of number N in the zone with apex A bears the name N.A. A number has one
// key at most:
//
//   - the one in the configuration, or else
//   - none, when the number is blocked, or else
//   - the one that is kept in the store, or else
//   - in a zone with a seed, the one derived from it at the number's generation,
//     which is 1 until a key of the number is revoked.
//
// A secret that was revoked is known again by its hash, which is kept with the
// number: of the last store.MaxRevoked none works again, whatever is imported.
package keys
