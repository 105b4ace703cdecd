package store

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"dialtone/zone/rr"
	"dialtone/zone/store/files"
)

// zoneCheck is what Check knows of a zone while it reads on: keys come in the
// order of their kinds, so what stands in front of a zone's RRsets is read twice.
type zoneCheck struct {
	id     uint32
	apex   rr.Name
	lower  rr.Name
	state  state
	meta   bool // it was there
	trim   bool
	report ZoneReport

	seq      uint64 // of the journal entry that is to come
	serial   uint32 // at which it is to start
	octets   uint64
	distance uint64
	part     uint16
	head     entryHead
	body     []byte
	gap      bool   // the journal has one
	newSOA   rr.RR  // of the last entry
	soa      []byte // value of the RRset
	soaKey   []byte
	soaData  string
	staged   uint32 // parts that were found
	bad      int    // records that cannot be read
	highest  uint32 // of all serials that were seen
	seen     bool   // one was
}

// maxFaults bounds how many findings of one kind a zone makes.
const maxFaults = 20

func (c *checker) fault(z *zoneCheck, format string, args ...any) {
	if z.bad++; z.bad > maxFaults {
		return
	}
	text := fmt.Sprintf(format, args...)
	if z.bad == maxFaults {
		text += " (and more of that kind, perhaps)"
	}
	c.report.Findings = append(c.report.Findings, Finding{Offset: -1, Zone: z.apex.String(), Text: text})
	c.lossy = true
}

// content reads all keys.
func (c *checker) content() error {
	if err := c.tables(); err != nil {
		return err
	}
	return c.reader.Scan(nil, func(e files.Entry) error {
		c.entry(e)
		return nil
	})
}

// tables reads what tells of zones.
func (c *checker) tables() error {
	err := c.reader.Scan([]byte{kindZone}, func(e files.Entry) error {
		id, apex, err := decodeZone(e.Value)
		if err != nil || string(apexKey(apex)) != string(e.Key) {
			c.stray("the table of zones has an entry %q that makes no sense", e.Key)
			return nil
		}
		z := &zoneCheck{id: id, apex: apex, lower: apex.Lower()}
		z.report.Zone = apex.String()
		c.zones[id] = z
		return nil
	})
	if err != nil {
		return err
	}
	c.drop = map[uint32]bool{}
	for _, kind := range [...]byte{kindDrop, kindMeta, kindTrim} {
		err := c.reader.Scan([]byte{kind}, func(e files.Entry) error {
			if len(e.Key) != prefixLen {
				c.stray("the key %q makes no sense", e.Key)
				return nil
			}
			id := binary.BigEndian.Uint32(e.Key[1:])
			z := c.zones[id]
			switch {
			case kind == kindDrop:
				c.drop[id] = true
			case z == nil && kind == kindMeta && !c.drop[id]:
				return c.nameless(id, e.Value)
			case z == nil:
			case kind == kindMeta:
				z.meta = z.state.meta.decode(e.Value) == nil
			default:
				z.trim = z.state.trim.decode(e.Value) == nil
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	for _, z := range c.zones {
		z.begin(c)
	}
	return nil
}

// nameless is for a zone that the table of zones has lost: its journal has its
// name.
func (c *checker) nameless(id uint32, value []byte) error {
	z := &zoneCheck{id: id}
	err := c.reader.Scan(zonePrefix(kindEntry, id), func(e files.Entry) error {
		if z.head.parts != 0 || binary.BigEndian.Uint16(e.Key[len(e.Key)-2:]) != 0 {
			return nil
		}
		rest, err := z.head.decode(e.Value)
		if err != nil {
			return nil
		}
		d := bodyDecoder{text: string(rest)}
		if soa := d.record(); d.err == nil && soa.Type == soaType {
			z.apex, z.lower = soa.Owner, soa.Owner.Lower()
		}
		return nil
	})
	if err != nil || z.apex == "" {
		return err // its data is told of as belonging to nobody
	}
	z.meta = z.state.meta.decode(value) == nil
	z.report.Zone = z.apex.String()
	c.zones[id] = z
	c.fault(z, "its line in the table of zones is lost; the journal has its name")
	return nil
}

// stray tells of something that belongs to no zone.
func (c *checker) stray(format string, args ...any) {
	c.lossy = true
	c.report.Findings = append(c.report.Findings, Finding{Offset: -1, Text: fmt.Sprintf(format, args...)})
}

func (z *zoneCheck) begin(c *checker) {
	st := &z.state
	switch {
	case !z.meta:
		c.fault(z, "its serial and the counts of its journal are lost")
		return
	case !z.trim || st.first > st.next || st.dropped > st.appended:
		c.fault(z, "the old end of its journal is lost")
		z.gap = true
	}
	z.see(st.serial)
	z.see(st.burned)
	z.seq, z.serial = st.first, st.from
}

// see notes a serial that was used.
func (z *zoneCheck) see(serial uint32) {
	if !z.seen || rr.SerialGreater(serial, z.highest) {
		z.highest, z.seen = serial, true
	}
}

// entry checks one key and its value.
func (c *checker) entry(e files.Entry) {
	kind := e.Key[0]
	switch kind {
	case kindFormat:
		if len(e.Value) != 4 || binary.BigEndian.Uint32(e.Value) > FormatVersion {
			c.stray("the format version makes no sense, or is that of a newer dialtone")
		}
		return
	case kindBackup, kindNewest, kindZone, kindDrop, kindMeta, kindTrim:
		return
	}
	if len(e.Key) < prefixLen {
		c.stray("the key %q makes no sense", e.Key)
		return
	}
	id := binary.BigEndian.Uint32(e.Key[1:])
	z := c.zones[id]
	if z == nil {
		if !c.drop[id] {
			c.drop[id] = true // once
			c.stray("there is data of zone number %d, and no zone has it", id)
		}
		return
	}
	switch kind {
	case kindRRset:
		z.rrset(c, e)
	case kindEntry:
		z.journal(c, e)
	case kindHeld:
		z.held(c, e)
	case kindPhone:
		var k PhoneKey
		if err := k.decode(string(e.Key[prefixLen:]), e.Value); err != nil {
			c.fault(z, "%v: number %q", err, e.Key[prefixLen:])
		}
		z.report.Keys++
	case kindStage:
		if z.state.staged > 0 && bytes.HasPrefix(e.Key, stagePrefix(id, z.state.stage)) {
			var b batch
			if err := unstage(&b, id, e.Value); err != nil {
				c.fault(z, "%v", err)
			}
			z.staged++
		}
	default:
		c.stray("the key %q is of no kind that this dialtone knows", e.Key)
	}
}

func (z *zoneCheck) rrset(c *checker, e files.Entry) {
	arena, spans, s, err := cutRRset(nil, nil, z.lower, e.Key, e.Value)
	if err != nil {
		c.fault(z, "%v: %s", err, c.keyText(e.Key))
		return
	}
	z.report.RRsets++
	owner := rr.Name(arena[s.owner.from:s.owner.to])
	for _, sp := range spans {
		if err := rr.ValidateData(s.typ, string(arena[sp.from:sp.to])); err != nil && !rr.IsMetaType(s.typ) {
			c.fault(z, "%s %s: %v", owner, rr.TypeString(s.typ), err)
		}
	}
	if s.typ == soaType && owner.EqualFold(z.apex) && len(spans) == 1 {
		z.soa, z.soaKey = bytes.Clone(e.Value), bytes.Clone(e.Key)
		z.soaData = string(arena[spans[0].from:spans[0].to])
		if soa, err := rr.ParseSOA(z.soaData); err == nil {
			z.see(soa.Serial)
			if z.meta && soa.Serial != z.state.serial && z.state.staged == 0 {
				c.fault(z, "the store says serial %d, the SOA record %d", z.state.serial, soa.Serial)
			}
		}
	}
}

func (z *zoneCheck) held(c *checker, e files.Entry) {
	rest := e.Key[prefixLen:]
	switch {
	case len(rest) > 0 && rest[0] == heldNumber:
		if _, err := decodeRegistration(string(rest[1:]), z.apex, e.Value); err != nil {
			c.fault(z, "%v: number %q", err, rest[1:])
		}
		z.report.Registrations++
	case len(rest) > 0 && rest[0] == heldSigner:
		if _, err := decodeSigner(rr.Name(rest[1:]), e.Value); err != nil {
			c.fault(z, "what is kept of the signer %q makes no sense", rest[1:])
		}
		z.report.Signers++
	default:
		c.fault(z, "the key %q makes no sense", e.Key)
	}
}

// journal follows the chain of entries.
func (z *zoneCheck) journal(c *checker, e files.Entry) {
	seq, ok := entrySeq(e.Key)
	if !ok {
		c.fault(z, "the key %q makes no sense", e.Key)
		return
	}
	if !z.meta || z.gap || seq >= z.state.next || seq < z.state.first {
		return // what a crash left of a commit or a trim
	}
	broken := func(what string) {
		z.gap = true
		c.fault(z, "journal entry %d: %s", seq, what)
	}
	part := binary.BigEndian.Uint16(e.Key[entryKeyLen-2:])
	if seq != z.seq || part != z.part {
		broken("the one before it is not whole")
		return
	}
	v := e.Value
	if part == 0 {
		var err error
		if v, err = z.head.decode(v); err != nil {
			broken(err.Error())
			return
		}
		z.body = z.body[:0]
	}
	z.body = append(z.body, v...)
	if z.part++; z.part < z.head.parts {
		return
	}
	z.part = 0
	z.seq++
	entry, err := z.head.entry(z.body)
	switch {
	case err != nil:
		broken(err.Error())
	case entry.From != z.serial:
		broken(fmt.Sprintf("it starts at serial %d, and the one before it ends at %d", entry.From, z.serial))
	case z.report.Journal > 0 && z.head.distance != z.distance:
		broken("its distance does not follow")
	default:
		z.report.Journal++
		z.serial, z.newSOA = entry.To, entry.NewSOA
		z.distance = z.head.distance + uint64(entry.To-entry.From)
		z.octets += uint64(z.head.size())
		z.see(entry.To)
	}
}

// end checks what only all of a zone tells.
func (z *zoneCheck) end(c *checker) {
	st := &z.state
	z.report.Serial = st.serial
	c.report.Zones = append(c.report.Zones, z.report)
	if z.soa == nil {
		c.fault(z, "its SOA record is lost: without that of a journal entry a repair leaves the zone out, and the next start reads its file again")
	}
	if !z.meta || z.gap {
		return
	}
	switch {
	case z.seq != st.next || z.part != 0:
		c.fault(z, "the journal ends with entry %d of %d", z.seq, st.next)
		z.gap = true
	case z.serial != st.serial && st.next > st.first:
		c.fault(z, "the journal ends at serial %d, and the zone has %d", z.serial, st.serial)
		z.gap = true
	case z.octets != st.appended-st.dropped || z.report.Journal > 0 && z.distance != st.distance:
		c.fault(z, "the journal is not as large as it is said to be")
		z.gap = true
	case z.report.Journal > 0 && st.staged == 0 && z.newSOA.Data != z.soaData:
		c.fault(z, "the SOA record is not that of the last journal entry")
	}
	if z.staged != st.staged {
		c.fault(z, "of a large change that a crash interrupted %d of %d parts are there", z.staged, st.staged)
	}
}
