package zone

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"dialtone/zone/rr"
)

// load fills memory from the store and publishes it as the first version.
func (z *Zone) load(ctx context.Context) error {
	l := loader{z: z}
	count := 0
	for s, err := range z.o.Store.All() {
		if err != nil {
			return err
		}
		if count++; count%(1<<14) == 0 {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			z.o.Progress(count)
		}
		if z.table.Full() {
			return errors.New("the zone is larger than the memory of one zone can be")
		}
		if err := l.add(s); err != nil {
			return err
		}
	}
	l.flush()
	return z.publish(1)
}

// loader makes nodes of the RRsets of a store, which come owner by owner,
// straight from the store's octets: it allocates nothing for any of them.
type loader struct {
	z      *Zone
	owner  []byte // of the node that is being gathered; relative to the apex
	any    bool   // there is such a node
	body   []byte
	flags  uint8
	octets int64
}

func (l *loader) add(s *rr.Octets) error {
	if !rr.InZone(s.Owner, l.z.apex) {
		return fmt.Errorf("the store holds %s, which is not in the zone", rr.Name(s.Owner))
	}
	own := s.Owner[:len(s.Owner)-len(l.z.apex)]
	if !l.any || !bytes.Equal(own, l.owner) && !rr.EqualFold(own, l.owner) {
		l.flush()
		l.owner, l.any = append(l.owner[:0], own...), true
	}
	l.flags |= typeFlags(len(own) == 0, s.Type)
	at := len(l.body)
	l.body = binary.BigEndian.AppendUint16(l.body, s.Type)
	l.body = binary.BigEndian.AppendUint32(l.body, s.TTL)
	l.body = binary.BigEndian.AppendUint16(l.body, uint16(len(s.Data)))
	l.body = append(l.body, 0, 0, 0, 0)
	for _, d := range s.Data {
		l.body = binary.BigEndian.AppendUint16(l.body, uint16(len(d)))
		l.body = append(l.body, d...)
		l.octets += recordSize(len(own), len(d))
	}
	binary.BigEndian.PutUint32(l.body[at+8:], uint32(len(l.body)-at-setHeader))
	return nil
}

// flush puts the node that is complete.
func (l *loader) flush() {
	if !l.any {
		return
	}
	w := &l.z.w
	w.names++
	w.octets += l.octets
	if hasAsterisk(l.owner) {
		w.wild++
	}
	l.z.table.SetPath(&w.path, l.owner)
	l.z.table.Put(&w.path, l.body, l.flags, 1)
	l.body, l.flags, l.octets, l.any = l.body[:0], 0, 0, false
}
