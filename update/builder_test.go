package update

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"dialtone/zone/rr"
)

// builder makes UPDATE messages from lines like those of nsupdate:
//
//	zone NAME [TYPE [CLASS]]          instead of the scenario's zone
//	prereq nxdomain|yxdomain NAME
//	prereq nxrrset|yxrrset NAME TYPE
//	prereq yxrrset NAME TYPE DATA...  value dependent
//	add NAME TTL TYPE DATA...
//	del NAME [TYPE [DATA...]]
//	raw prereq|update NAME TTL CLASS TYPE [HEX]
//
// Names without a final dot are below the apex; @ is the apex.
type builder struct {
	apex    string
	zone    []byte
	prereqs [][]byte
	updates [][]byte
}

func newBuilder(apex string) *builder {
	b := &builder{apex: apex}
	b.setZone(rr.MustName(apex), dns.TypeSOA, dns.ClassINET)
	return b
}

func (b *builder) setZone(n rr.Name, t, class uint16) {
	b.zone = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte(n), t), class)
}

func (b *builder) message() []byte {
	m := make([]byte, headerLen)
	m[2] = dns.OpcodeUpdate << 3
	binary.BigEndian.PutUint16(m[4:], 1)
	binary.BigEndian.PutUint16(m[6:], uint16(len(b.prereqs)))
	binary.BigEndian.PutUint16(m[8:], uint16(len(b.updates)))
	m = append(m, b.zone...)
	for _, r := range b.prereqs {
		m = append(m, r...)
	}
	for _, r := range b.updates {
		m = append(m, r...)
	}
	return m
}

func wire(owner rr.Name, ttl uint32, class, t uint16, data string) []byte {
	w := binary.BigEndian.AppendUint16([]byte(owner), t)
	w = binary.BigEndian.AppendUint16(w, class)
	w = binary.BigEndian.AppendUint32(w, ttl)
	w = binary.BigEndian.AppendUint16(w, uint16(len(data)))
	return append(w, data...)
}

// line adds what one line says.
func (b *builder) line(text string) (err error) {
	f := strings.Fields(text)
	defer func() {
		if err != nil {
			err = fmt.Errorf("%q: %w", text, err)
		}
	}()
	for len(f) < 6 {
		f = append(f, "")
	}
	switch f[0] {
	case "zone":
		return b.zoneLine(f)
	case "prereq":
		return b.prereqLine(f)
	case "add":
		return b.addLine(f)
	case "del":
		return b.delLine(f)
	case "raw":
		return b.rawLine(append(f, ""))
	}
	return fmt.Errorf("no such command")
}

func (b *builder) zoneLine(f []string) error {
	n, err := b.name(f[1])
	t, class := dns.TypeSOA, uint16(dns.ClassINET)
	if err == nil && f[2] != "" {
		t, err = parseType(f[2])
	}
	if err == nil && f[3] != "" {
		class, err = parseClass(f[3])
	}
	if err == nil {
		b.setZone(n, t, class)
	}
	return err
}

func (b *builder) prereqLine(f []string) error {
	n, err := b.name(f[2])
	if err != nil {
		return err
	}
	class, t, data := uint16(dns.ClassANY), dns.TypeANY, ""
	if strings.HasPrefix(f[1], "nx") {
		class = dns.ClassNONE
	}
	if strings.HasSuffix(f[1], "rrset") {
		if t, err = parseType(f[3]); err != nil {
			return err
		}
	}
	if f[4] != "" {
		class = dns.ClassINET
		if data, err = b.data(f[3:]); err != nil {
			return err
		}
	}
	b.prereqs = append(b.prereqs, wire(n, 0, class, t, data))
	return nil
}

func (b *builder) addLine(f []string) error {
	n, err := b.name(f[1])
	if err != nil {
		return err
	}
	ttl, err := strconv.ParseUint(f[2], 10, 32)
	if err != nil {
		return err
	}
	t, err := parseType(f[3])
	if err != nil {
		return err
	}
	data, err := b.data(f[3:])
	b.updates = append(b.updates, wire(n, uint32(ttl), dns.ClassINET, t, data))
	return err
}

func (b *builder) delLine(f []string) error {
	n, err := b.name(f[1])
	if err != nil {
		return err
	}
	class, t, data := uint16(dns.ClassANY), dns.TypeANY, ""
	if f[2] != "" {
		if t, err = parseType(f[2]); err != nil {
			return err
		}
	}
	if f[3] != "" {
		class = dns.ClassNONE
		if data, err = b.data(f[2:]); err != nil {
			return err
		}
	}
	b.updates = append(b.updates, wire(n, 0, class, t, data))
	return nil
}

func (b *builder) rawLine(f []string) error {
	n, err := b.name(f[2])
	if err != nil {
		return err
	}
	ttl, err := strconv.ParseUint(f[3], 10, 32)
	if err != nil {
		return err
	}
	class, err := parseClass(f[4])
	if err != nil {
		return err
	}
	t, err := parseType(f[5])
	if err != nil {
		return err
	}
	data, err := hex.DecodeString(f[6])
	if err != nil {
		return err
	}
	w := wire(n, uint32(ttl), class, t, string(data))
	if f[1] == "prereq" {
		b.prereqs = append(b.prereqs, w)
	} else {
		b.updates = append(b.updates, w)
	}
	return nil
}

func (b *builder) name(text string) (rr.Name, error) {
	switch {
	case text == "@":
		text = b.apex
	case !dns.IsFqdn(text):
		text += "." + b.apex
	}
	return rr.ParseName(text)
}

// data reads rdata; f[0] is the type.
func (b *builder) data(f []string) (string, error) {
	zp := dns.NewZoneParser(strings.NewReader("x 0 IN "+strings.Join(f, " ")+"\n"), b.apex, "")
	x, ok := zp.Next()
	if !ok {
		return "", fmt.Errorf("no record: %v", zp.Err())
	}
	r, err := rr.FromMiekg(x)
	return r.Data, err
}

func parseType(s string) (uint16, error) {
	if t, ok := dns.StringToType[s]; ok {
		return t, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "TYPE"), 10, 16)
	return uint16(n), err
}

func parseClass(s string) (uint16, error) {
	if c, ok := dns.StringToClass[s]; ok {
		return c, nil
	}
	n, err := strconv.ParseUint(strings.TrimPrefix(s, "CLASS"), 10, 16)
	return uint16(n), err
}

func read(msg []byte) (*Message, error) {
	m := new(Message)
	return m, m.Parse(msg)
}
