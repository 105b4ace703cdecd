package rr

import "net/netip"

// Types of addresses (RFC 1035, section 3.4.1, and RFC 3596, section 2.1).
const (
	TypeA    = 1
	TypeAAAA = 28
)

// AuthorKind is by what a change of a zone came about.
type AuthorKind uint8

// The kinds. Their numbers are on disk.
const (
	ByNobody  AuthorKind = 0 // it is not known
	ByUpdate  AuthorKind = 1 // an update (RFC 2136)
	ByLease   AuthorKind = 2 // the end of a lease
	ByRelease AuthorKind = 3 // dialtone number release
	ByImport  AuthorKind = 4 // dialtone zone import
)

// String is the kind in a word or two.
func (k AuthorKind) String() string {
	switch k {
	case ByUpdate:
		return "update"
	case ByLease:
		return "lease end"
	case ByRelease:
		return "release"
	case ByImport:
		return "import"
	}
	return "unknown"
}

// Author is who made a change of a zone. Authors can be compared by ==.
type Author struct {
	Kind   AuthorKind
	Key    Name       // that signed an update; "" for none
	Public bool       // it is a public key (RFC 2931), not a secret
	From   netip.Addr // whence an update came
	UID    int32      // the user who gave a command, -1 where the system does not tell
}
