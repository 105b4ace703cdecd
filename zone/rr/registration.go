package rr

import "net/netip"

// Registration is what is kept of a number beside its records: how long they
// stay, and who put them. Moments are milliseconds since 1970.
type Registration struct {
	Number   string // the label next to the apex in lower case, without its length; it may be of other octets than digits
	Lease    int64  // when all records of the number go, those below it too, but for KEY; 0: they stay
	KeyLease int64  // when KEY goes; 0: it stays
	Signed   uint32 // newest time signed by the number's own key (RFC 8945, section 5.2.3), in seconds since 1970; 0: none
	Digest   uint64 // of the message that was signed then
	Public   bool   // it was signed by a public key (RFC 2931), not with a secret
	Updated  int64  // the last update that was signed by the number's own key or had a lease
	Key      Name
	From     netip.Addr // whence it came, signed by Key, or unsigned when that is ""
}

// SaysNothing tells one that need not be kept.
func (r *Registration) SaysNothing() bool { return r.Lease == 0 && r.KeyLease == 0 && r.Signed == 0 }

// Signer is the newest time signed by a key that is not that of a number.
type Signer struct {
	Key    Name   // in lower case
	Signed uint32 // in seconds since 1970
	Digest uint64 // of the message that was signed then
}

// TopLabel gives the label next to the apex, without its length, of a name that
// is below the apex; "" for the apex.
func (n Name) TopLabel(apex Name) string {
	label := n[:len(n)-len(apex)]
	for len(label) > 0 && int(label[0])+1 < len(label) {
		label = label[int(label[0])+1:]
	}
	if len(label) == 0 {
		return ""
	}
	return string(label[1:])
}
