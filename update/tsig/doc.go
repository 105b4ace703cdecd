// Package tsig signs and verifies DNS messages with shared secrets (RFC 8945).
//
// It owns: the keys, the search for the TSIG record in a raw message, the
// order of checks and what each failure is called, the digests, and the TSIG
// record of every reply, request and transfer stream. It works on octets as
// they were received: a message is never unpacked and packed again, so what
// is hashed is what the peer hashed.
//
// It must not know zones, permissions, sockets or configuration files, read
// the clock, or decide anything about a message but who sent it. Error is
// where its failures become RCODEs.
//
// Keys of phones, of which there may be millions, are not in the ring: Verify
// asks Options.Lookup for them. Seed derives them from a secret and their names.
//
// The server calls Keyring.Verify for each message that carries a TSIG,
// answers through Context or Error, and transfers through Stream. NOTIFY and
// other clients call Keyring.SignRequest and Request.VerifyReply.
//
// Invariants:
//
//  1. The checks run in the order key, MAC, time, truncation policy
//     (RFC 8945, section 5.2).
//  2. Nothing is signed for a request whose MAC did not verify.
//  3. A reply carries the full MAC of the key's own algorithm.
//  4. Verify leaves the message unchanged; only Context.Strip writes to it.
//  5. What Lookup does not know, and what does not verify, is not remembered:
//     junk drives no good key out of the cache.
//
// Limitations: no GSS-TSIG, no TKEY, no hmac-md5. Streams are signed, not
// verified.
package tsig
