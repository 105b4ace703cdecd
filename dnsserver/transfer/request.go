package transfer

import (
	"net/netip"

	"dialtone/zone/rr"
)

// Request is a transfer request. Parse fills all but Remote and TCP.
type Request struct {
	Remote netip.Addr // the client, for the limit per address
	TCP    bool       // or any other transport that carries messages in order

	ID       uint16
	RD       bool
	Zone     rr.Name // as asked
	Question []byte  // octets of the question, as asked; part of the message parsed
	Type     uint16  // AXFR or IXFR
	Serial   uint32  // of the client's copy, for IXFR

	EDNS    bool // the request has an OPT record
	UDPSize int  // what the client takes over UDP: 512 or more
	DO      bool
	Expire  bool // EXPIRE is asked for (RFC 7314)
	NSID    bool // NSID is asked for (RFC 5001)
}

// Parse reads a request of type AXFR or IXFR. The message may still have its
// TSIG record, which is skipped. What it cannot accept is an *Error.
func Parse(msg []byte) (*Request, error) { panic("todo") }
