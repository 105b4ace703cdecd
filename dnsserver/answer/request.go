package answer

// Sizes of messages (RFC 1035, section 4.2.1; RFC 6891, section 6.2.3).
const (
	headerLen = 12
	minSize   = 512
	maxSize   = 65535
)

// Request is what was read of a message in place. It is valid until the next
// call with the same Scratch.
type Request struct {
	Opcode      uint8
	QType       uint16 // of the first question
	QClass      uint16
	QuestionEnd int    // the only question is msg[12:QuestionEnd]; 0 when there is none, or several, or it does not parse
	TSIG        int    // offset of the TSIG record, which is the last one; 0 when there is none
	OPT         bool   // the request has OPT; the options below are those asked for
	DO          bool   // RFC 3225, section 3
	Size        uint16 // UDP payload size the client gave in OPT
	NSID        bool   // RFC 5001
	Expire      bool   // RFC 7314
	KeepAlive   bool   // RFC 7828, TCP only
}
