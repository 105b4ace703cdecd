package table

import "encoding/binary"

// A node in memory, in the machine's byte order:
//
//	0  version   u64  publication that made it visible
//	8  prev      u32  ref of the node it replaces, 0 for none
//	12 children  u32  names directly below; the writer's, readers never look
//	16 size      u32  octets in use, header included
//	20 flags     u8
//	21 nameLen   u8
//	22 name           labels below the apex in the case as entered, no root label
//	   body           what package zone put there
const (
	offVersion  = 0
	offPrev     = 8
	offChildren = 12
	offSize     = 16
	offFlags    = 20
	offNameLen  = 21
	headerSize  = 22
)

// flagGone marks a node that says its name does not exist. The other flags
// are package zone's.
const flagGone = 0x80

// MaxBody is the largest body of a node in octets.
const MaxBody = 1 << 28

// Node is one version of one name. It is valid until its reader's End.
type Node struct{ b []byte }

// IsZero tells the Node that is none.
func (n Node) IsZero() bool { return n.b == nil }

// Name gives the labels below the apex, in the case as entered, without a
// root label; empty for the apex.
func (n Node) Name() []byte {
	return n.b[headerSize : headerSize+int(n.b[offNameLen])]
}

// Body gives what was put.
func (n Node) Body() []byte { return n.b[headerSize+int(n.b[offNameLen]):] }

// Flags gives what was put.
func (n Node) Flags() uint8 { return n.b[offFlags] }

func (n Node) version() uint64  { return binary.NativeEndian.Uint64(n.b[offVersion:]) }
func (n Node) prev() ref        { return ref(binary.NativeEndian.Uint32(n.b[offPrev:])) }
func (n Node) children() uint32 { return binary.NativeEndian.Uint32(n.b[offChildren:]) }
func (n Node) gone() bool       { return n.b[offFlags]&flagGone != 0 }

func (n Node) setChildren(c uint32) { binary.NativeEndian.PutUint32(n.b[offChildren:], c) }

func (t *Table) node(r ref) Node {
	b := t.mem.at(r)
	return Node{b[:binary.NativeEndian.Uint32(b[offSize:])]}
}

func (t *Table) newNode(name, body []byte, flags uint8, version uint64, prev ref, children uint32) ref {
	size := headerSize + len(name) + len(body)
	r, b := t.mem.alloc(size)
	binary.NativeEndian.PutUint64(b[offVersion:], version)
	binary.NativeEndian.PutUint32(b[offPrev:], uint32(prev))
	binary.NativeEndian.PutUint32(b[offChildren:], children)
	binary.NativeEndian.PutUint32(b[offSize:], uint32(size))
	b[offFlags], b[offNameLen] = flags, uint8(len(name))
	copy(b[headerSize:], name)
	copy(b[headerSize+len(name):], body)
	return r
}
