package load

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash"
	"strconv"
	"time"
)

// Key is a TSIG key for hmac-sha256.
type Key struct {
	Name   string
	Secret string // base64
}

// fudge is how many seconds the server's clock may be off.
const fudge = 300

// signer appends TSIG records (RFC 8945, section 4.2) to requests.
type signer struct {
	mac       hash.Hash
	name      []byte
	variables []byte // what is digested behind the message (RFC 8945, section 4.3.3); the time is filled in
	sum       []byte
}

// algorithm is the wire form of hmac-sha256.
const algorithm = "\x0bhmac-sha256\x00"

func newSigner(k Key) (*signer, error) {
	secret, err := base64.StdEncoding.DecodeString(k.Secret)
	if err != nil {
		return nil, fmt.Errorf("key %s: the secret is not base64: %w", k.Name, err)
	}
	name, err := appendName(nil, k.Name)
	if err != nil {
		return nil, err
	}
	s := &signer{mac: hmac.New(sha256.New, secret), name: name, sum: make([]byte, 0, sha256.Size)}
	v := append([]byte{}, name...)
	v = binary.BigEndian.AppendUint16(v, classANY)
	v = binary.BigEndian.AppendUint32(v, 0)
	v = append(v, algorithm...)
	v = append(v, make([]byte, 6)...) // time signed, see sign
	v = binary.BigEndian.AppendUint16(v, fudge)
	v = binary.BigEndian.AppendUint16(v, 0)
	s.variables = binary.BigEndian.AppendUint16(v, 0)
	return s, nil
}

// sign appends the TSIG of a message whose additional section is empty yet.
func (s *signer) sign(m []byte, now time.Time) []byte {
	var stamp [8]byte
	binary.BigEndian.PutUint64(stamp[:], uint64(now.Unix()))
	signed := stamp[2:]
	copy(s.variables[len(s.variables)-12:], signed)
	s.mac.Reset()
	s.mac.Write(m)
	s.mac.Write(s.variables)
	s.sum = s.mac.Sum(s.sum[:0])

	id := binary.BigEndian.Uint16(m)
	binary.BigEndian.PutUint16(m[10:], 1)
	m = append(m, s.name...)
	m = binary.BigEndian.AppendUint16(m, typeTSIG)
	m = binary.BigEndian.AppendUint16(m, classANY)
	m = binary.BigEndian.AppendUint32(m, 0)
	m = binary.BigEndian.AppendUint16(m, uint16(len(algorithm)+6+2+2+len(s.sum)+2+2+2))
	m = append(m, algorithm...)
	m = append(m, signed...)
	m = binary.BigEndian.AppendUint16(m, fudge)
	m = binary.BigEndian.AppendUint16(m, uint16(len(s.sum)))
	m = append(m, s.sum...)
	m = binary.BigEndian.AppendUint16(m, id)
	m = binary.BigEndian.AppendUint16(m, 0)
	return binary.BigEndian.AppendUint16(m, 0)
}

// updateMaker builds updates that replace the address of a number: delete the A RRset, add one A.
type updateMaker struct {
	signer *signer
	head   []byte // header and zone section
}

func newUpdateMaker(zone string, k Key) (*updateMaker, error) {
	s, err := newSigner(k)
	if err != nil {
		return nil, err
	}
	head := make([]byte, headerLen)
	head[2] = 5 << 3 // UPDATE
	binary.BigEndian.PutUint16(head[4:], 1)
	binary.BigEndian.PutUint16(head[8:], 2)
	if head, err = appendName(head, zone); err != nil {
		return nil, err
	}
	head = binary.BigEndian.AppendUint16(head, TypeSOA)
	head = binary.BigEndian.AppendUint16(head, classIN)
	return &updateMaker{signer: s, head: head}, nil
}

// appendUpdate appends the signed update. It allocates nothing when m has room for 256 octets.
func (u *updateMaker) appendUpdate(m []byte, id uint16, number int, address uint32, now time.Time) []byte {
	m = append(m, u.head...)
	binary.BigEndian.PutUint16(m, id)
	// RFC 2136, section 2.5.2: delete an RRset.
	owner := len(m)
	m = append(m, 0)
	m = strconv.AppendInt(m, int64(number), 10)
	m[owner] = byte(len(m) - owner - 1)
	m = append(m, 0xc0, headerLen)
	m = binary.BigEndian.AppendUint16(m, TypeA)
	m = binary.BigEndian.AppendUint16(m, classANY)
	m = append(m, 0, 0, 0, 0, 0, 0)
	// RFC 2136, section 2.5.1: add to an RRset.
	m = append(m, 0xc0, byte(owner))
	m = binary.BigEndian.AppendUint16(m, TypeA)
	m = binary.BigEndian.AppendUint16(m, classIN)
	m = binary.BigEndian.AppendUint32(m, 60)
	m = binary.BigEndian.AppendUint16(m, 4)
	m = binary.BigEndian.AppendUint32(m, address)
	return u.signer.sign(m, now)
}
