package load

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"time"
)

// TransferResult is what a transfer took.
type TransferResult struct {
	Took        time.Duration // from the connection's begin to the closing SOA
	Octets      int64         // on the connection, without TCP's own
	Messages    int
	Records     int
	Serial      uint32
	Incremental bool
}

// Transfer fetches a zone with AXFR, or the changes since a serial with IXFR.
func Transfer(ctx context.Context, addr, zone string, qtype uint16, since uint32) (TransferResult, error) {
	w := NewAXFR()
	if qtype == TypeIXFR {
		w = NewIXFR(since)
	}
	var r TransferResult
	query, err := TransferQuery(zone, qtype, since)
	if err != nil {
		return r, err
	}
	begin := time.Now()
	conn, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return r, err
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	framed := binary.BigEndian.AppendUint16(nil, uint16(len(query)))
	if _, err := conn.Write(append(framed, query...)); err != nil {
		return r, err
	}
	if err := r.read(conn, w); err != nil {
		return r, fmt.Errorf("transfer of %s from %s after %d records: %w", zone, addr, w.Records, err)
	}
	r.Took = time.Since(begin)
	r.Records, r.Serial, r.Incremental = w.Records, w.Serial, w.Incremental
	return r, nil
}

// silence bounds the wait for more of a transfer. A server may need a while to begin a large one.
const silence = 60 * time.Second

func (r *TransferResult) read(conn net.Conn, w *Walker) error {
	in := bufio.NewReaderSize(conn, 256<<10)
	m := make([]byte, 65535)
	for !w.Done {
		if err := conn.SetReadDeadline(time.Now().Add(silence)); err != nil {
			return err
		}
		if _, err := io.ReadFull(in, m[:2]); err != nil {
			return err
		}
		n := int(binary.BigEndian.Uint16(m))
		if _, err := io.ReadFull(in, m[:n]); err != nil {
			return err
		}
		r.Octets += int64(2 + n)
		r.Messages++
		if err := w.Message(m[:n]); err != nil {
			return err
		}
	}
	return nil
}
