package dnsserver

import "sync/atomic"

// Counters of a Server. They only grow, but for TCPOpen and LastBackup. The counters of transfers, NOTIFY and UDP
// sockets are kept by their owners; metrics shows all of them.
type Counters struct {
	UDPMessages atomic.Uint64 // datagrams read
	TCPMessages atomic.Uint64 // messages read from connections
	Dropped     atomic.Uint64 // messages that must not be answered: too short, or a reply
	Limits      limitHits     // what was refused, dropped or held up

	Web WebCounters // of the web page, which is not part of this package

	Limited limitedResponses // responses that were limited, by class

	// Replies to all but updates, by protocol. Those that a reader of UDP gives on the spot are in its own
	// tally.
	Replies [len(protos)]tally

	Updates         [16]atomic.Uint64 // answered updates by RCODE; servedZone has them by rule too
	UpdatesUnneeded atomic.Uint64     // of those with NOERROR, the ones that changed nothing
	UpdateStoreDown atomic.Uint64     // updates refused or failed because the store cannot commit

	TSIGFailed     atomic.Uint64 // requests whose TSIG was refused
	SIG0Failed     atomic.Uint64 // updates whose SIG(0) was refused
	KeysVerified   atomic.Uint64 // signatures of SIG(0) that were verified, right or wrong
	UpdateDenied   atomic.Uint64 // updates refused before they came into a queue: by the ACL, for their signature, for a limit
	TransferDenied atomic.Uint64 // transfers refused by the ACL
	NotifyRefused  atomic.Uint64 // NOTIFY sent to us

	Backups    atomic.Uint64 // made to their ends
	LastBackup atomic.Int64  // when the last of them began, in seconds since 1970

	TCPOpen      atomic.Int64  // connections open now
	TCPAccepted  atomic.Uint64 // connections opened
	TCPRefused   atomic.Uint64 // closed at once: limit reached, and no other made room
	TCPEvicted   atomic.Uint64 // closed to make room
	TCPIdle      atomic.Uint64 // closed after Limits.TCPIdle
	TCPStalled   atomic.Uint64 // closed after Limits.TCPWrite
	AcceptErrors atomic.Uint64

	SocketsFailed atomic.Uint64 // UDP sockets that are not read any more
}
