// Package sig0 verifies DNS requests that are signed with a public key
// (RFC 2931).
//
// It owns: the search for the SIG(0) record in a raw message, public keys as
// KEY records hold them (RFC 3445; RFC 6605; RFC 8080), the order of checks
// and what each failure is called. It works on octets as they were received: a
// message is never unpacked and packed again, so what is verified is what the
// client signed. The ID is a part of that. A SIG(0) keeps no copy of it, as
// TSIG does, so a forwarder that changes the ID breaks the signature.
//
// It must not know zones, permissions, sockets or configuration files, read
// the clock, or decide anything about a message but who sent it. Which KEY
// records the signer has, and whether they are to be believed, the caller
// says. Error is where its failures become RCODEs.
//
// The server calls Find for each request that may be signed, looks up the KEY
// RRset of Record.Signer, and calls Record.Select, which is cheap, and then,
// within its quota of signatures, Record.Verify for each key that is left.
//
// Invariants:
//
//  1. A signature is computed after all other checks have passed, and at most
//     twice for a message, so junk costs less than a good request.
//  2. Find and Verify leave the message unchanged; only Context.Strip writes
//     to it.
//  3. Two requests have the same fingerprint only if they have the same signed
//     octets, whatever was done to their signatures.
//
// Replies are not signed: RFC 2931, sections 2.4 and 3.2 leave it open, it costs
// a private key online and a signature a reply, and no client that sends
// requests wants it: nsupdate does not look for a SIG(0) in a reply, and BIND
// puts none there. So whoever answers in the server's place can tell a client
// that something was done, but cannot do it.
//
// Limitations: no RSA, no ECDSA P-384, no Ed448; no signed replies, no streams.
// A sender without a clock, as SRP on small devices has them (inception and
// expiration 0, key tag 0), is refused: nothing would tell an old request of
// its from a new one.
package sig0
