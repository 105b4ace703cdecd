package load

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Walker walks over the messages of an AXFR or IXFR, record by record, to find its end. It builds nothing: a client that
// cost as much as the server would measure itself.
type Walker struct {
	ixfr bool
	have uint32 // the serial that an IXFR was asked from

	Records     int
	Serial      uint32 // of the first SOA
	Incremental bool   // an IXFR that holds changes, not the zone
	Done        bool

	adding bool
}

// NewAXFR walks over a whole zone.
func NewAXFR() *Walker { return &Walker{} }

// NewIXFR walks over the changes since a serial.
func NewIXFR(since uint32) *Walker { return &Walker{ixfr: true, have: since} }

var (
	errShort   = errors.New("a message of the transfer is cut short")
	errAfter   = errors.New("the transfer goes on behind its closing SOA")
	errNoReply = errors.New("a message of the transfer is no reply")
	errNoSOA   = errors.New("the transfer does not begin with an SOA")
)

// Message walks over one message.
func (w *Walker) Message(m []byte) error {
	if len(m) < headerLen {
		return errShort
	}
	if m[2]&0x80 == 0 {
		return errNoReply
	}
	if rcode := m[3] & 15; rcode != 0 {
		return fmt.Errorf("the transfer is answered with RCODE %d", rcode)
	}
	at := headerLen
	for range binary.BigEndian.Uint16(m[4:]) {
		if at = skipName(m, at); at < 0 || at+4 > len(m) {
			return errShort
		}
		at += 4
	}
	for range binary.BigEndian.Uint16(m[6:]) {
		if at = skipName(m, at); at < 0 || at+10 > len(m) {
			return errShort
		}
		rrtype := binary.BigEndian.Uint16(m[at:])
		data := at + 10
		at = data + int(binary.BigEndian.Uint16(m[at+8:]))
		if at > len(m) {
			return errShort
		}
		if err := w.record(rrtype, m, data, at); err != nil {
			return err
		}
	}
	return nil
}

func (w *Walker) record(rrtype uint16, m []byte, data, end int) error {
	if w.Done {
		return errAfter
	}
	w.Records++
	if rrtype != TypeSOA {
		if w.Records == 1 {
			return errNoSOA
		}
		return nil
	}
	serial, err := serialOf(m, data, end)
	if err != nil {
		return err
	}
	w.soa(serial)
	return nil
}

// soa decides what an SOA means (RFC 1995, section 4).
func (w *Walker) soa(serial uint32) {
	switch {
	case w.Records == 1:
		w.Serial = serial
		w.Done = w.ixfr && serial == w.have
	case w.Records == 2 && w.ixfr && serial != w.Serial:
		w.Incremental = true
	case !w.Incremental:
		w.Done = true
	case !w.adding:
		w.adding = true
	case serial == w.Serial:
		w.Done = true
	default:
		w.adding = false
	}
}

func serialOf(m []byte, at, end int) (uint32, error) {
	for range 2 {
		if at = skipName(m[:end], at); at < 0 {
			return 0, errShort
		}
	}
	if at+20 != end {
		return 0, errShort
	}
	return binary.BigEndian.Uint32(m[at:]), nil
}

// skipName gives the offset behind the name at an offset, and -1 when there is no whole name.
func skipName(m []byte, at int) int {
	for at < len(m) {
		switch n := int(m[at]); {
		case n == 0:
			return at + 1
		case n >= 0xc0 && at+2 <= len(m):
			return at + 2
		case n >= 0x40:
			return -1
		default:
			at += 1 + n
		}
	}
	return -1
}
