package store

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
)

// A recording is everything that a disk would have been told, in order: a file
// system that passes on to another directory, and notes what reaches it.
//
// Memory maps are what they are in the kernel: pages that were written to reach
// the file system when a sync, or the kernel's own mind, sends them, as writes of
// whole pages, before the sync of the file. What was not sent is on no disk, and
// not in the recording.
type recording struct {
	mu   sync.Mutex
	ops  []diskOp
	acks int
	// files has the number of each file by its inode's, which the file system below
	// gives to another file when the first is gone.
	files map[uint64]uint64
	count uint64
	// crash is called in place of the first sync of a file's data after so many acks.
	crash   func()
	crashAt int
}

type diskOp struct {
	what   opKind
	file   uint64 // which file, whatever its name: its number, as they were made
	name   string // in the mounted directory
	to     string
	offset int64
	data   []byte
	ack    [2]uint32
}

type opKind int

const (
	opWrite opKind = iota
	opSize
	opSync
	opSyncData
	opCreate
	opMkdir
	opRemove
	opRename
	opSyncDir
	opAck
)

// ackFile stands beside the data directory: a write of it is an acknowledgement,
// in its place among all that goes to the disk.
const ackFile = "ack"

func (r *recording) add(o diskOp) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ops = append(r.ops, o)
	if o.what == opAck {
		r.acks++
	}
}

// made gives the number of a new file.
func (r *recording) made(inode uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	r.files[inode] = r.count
	return r.count
}

func (r *recording) fileOf(inode uint64) uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.files[inode]
}

func (r *recording) all() []diskOp {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.ops)
}

func (r *recording) crashAfter(acks int, crash func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.crash, r.crashAt = crash, r.acks+acks
}

// crashes tells whether a sync is the one at which the process is to end.
func (r *recording) crashes() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.crash == nil || r.acks < r.crashAt {
		return false
	}
	r.crash()
	r.crash = nil
	return true
}

// recorded is a file or directory of the recording file system.
type recorded struct {
	fs.LoopbackNode
	r *recording
}

// record mounts a file system on a directory that notes what goes to another one.
func record(t *testing.T, at, backing string) *recording {
	t.Helper()
	r := &recording{files: map[uint64]uint64{}}
	root := &fs.LoopbackRoot{Path: backing}
	node := &recorded{fs.LoopbackNode{RootData: root}, r}
	root.RootNode = node
	server, err := fs.Mount(at, node, &fs.Options{MountOptions: fuse.MountOptions{DirectMount: true, FsName: "dialtone-test"}})
	if err != nil {
		t.Fatalf("mount: %v (it takes /dev/fuse, and fusermount from the package fuse3 for who is not root)", err)
	}
	t.Cleanup(func() {
		if err := server.Unmount(); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return r
}

func (n *recorded) name(child string) string {
	return path.Join(n.Path(n.RootData.RootNode.EmbeddedInode()), child)
}

// WrapChild makes what is below it recorded, too.
func (n *recorded) WrapChild(context.Context, fs.InodeEmbedder) fs.InodeEmbedder {
	return &recorded{fs.LoopbackNode{RootData: n.RootData}, n.r}
}

func (n *recorded) id() uint64 { return n.r.fileOf(n.StableAttr().Ino) }

func (n *recorded) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (*fs.Inode, fs.FileHandle, uint32, syscall.Errno) {
	inode, h, f, errno := n.LoopbackNode.Create(ctx, name, flags, mode, out)
	if errno == 0 {
		n.r.add(diskOp{what: opCreate, file: n.r.made(inode.StableAttr().Ino), name: n.name(name)})
	}
	return inode, opened(h, errno), f | fuse.FOPEN_KEEP_CACHE, errno
}

// open is an open file whose reads and writes come through here: others the kernel
// may send to the other file system itself.
type open struct {
	fs.FileReader
	fs.FileWriter
	fs.FileReleaser
	fs.FileFlusher
	fs.FileGetattrer
	fs.FileSetattrer
}

func opened(h fs.FileHandle, errno syscall.Errno) fs.FileHandle {
	if errno != 0 {
		return nil
	}
	return open{h.(fs.FileReader), h.(fs.FileWriter), h.(fs.FileReleaser), h.(fs.FileFlusher), h.(fs.FileGetattrer), h.(fs.FileSetattrer)}
}

func (n *recorded) Open(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, f, errno := n.LoopbackNode.Open(ctx, flags)
	if errno == 0 && flags&syscall.O_TRUNC != 0 {
		n.r.add(diskOp{what: opSize, file: n.id()})
	}
	return opened(h, errno), f | fuse.FOPEN_KEEP_CACHE, errno
}

func (n *recorded) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*fs.Inode, syscall.Errno) {
	inode, errno := n.LoopbackNode.Mkdir(ctx, name, mode, out)
	if errno == 0 {
		n.r.add(diskOp{what: opMkdir, name: n.name(name)})
	}
	return inode, errno
}

func (n *recorded) Unlink(ctx context.Context, name string) syscall.Errno {
	n.r.add(diskOp{what: opRemove, name: n.name(name)})
	return n.LoopbackNode.Unlink(ctx, name)
}

func (n *recorded) Rename(ctx context.Context, name string, parent fs.InodeEmbedder, to string, flags uint32) syscall.Errno {
	n.r.add(diskOp{what: opRename, name: n.name(name), to: parent.(*recorded).name(to)})
	return n.LoopbackNode.Rename(ctx, name, parent, to, flags)
}

func (n *recorded) Setattr(ctx context.Context, h fs.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if size, ok := in.GetSize(); ok {
		n.r.add(diskOp{what: opSize, file: n.id(), offset: int64(size)})
	}
	return n.LoopbackNode.Setattr(ctx, h, in, out)
}

func (n *recorded) Write(ctx context.Context, h fs.FileHandle, data []byte, off int64) (uint32, syscall.Errno) {
	if n.name("") == ackFile {
		n.r.add(diskOp{what: opAck, ack: [2]uint32{binary.BigEndian.Uint32(data), binary.BigEndian.Uint32(data[4:])}})
	} else {
		n.r.add(diskOp{what: opWrite, file: n.id(), offset: off, data: bytes.Clone(data)})
	}
	return h.(fs.FileWriter).Write(ctx, data, off)
}

// Fsync is also that of directories.
func (n *recorded) Fsync(_ context.Context, _ fs.FileHandle, flags uint32) syscall.Errno {
	const dataOnly = 1 // fdatasync
	switch {
	case n.IsDir():
		n.r.add(diskOp{what: opSyncDir, name: n.name("")})
	case flags&dataOnly == 0:
		n.r.add(diskOp{what: opSync, file: n.id()})
	case n.r.crashes():
		return syscall.EIO
	default:
		n.r.add(diskOp{what: opSyncData, file: n.id()})
	}
	return 0
}

// listing is a directory that is read; its sync is that of the node.
type listing struct {
	fs.FileReaddirenter
	fs.FileReleasedirer
	fs.FileSeekdirer
}

func (n *recorded) OpendirHandle(ctx context.Context, flags uint32) (fs.FileHandle, uint32, syscall.Errno) {
	h, f, errno := n.LoopbackNode.OpendirHandle(ctx, flags)
	if errno != 0 {
		return nil, 0, errno
	}
	return listing{h.(fs.FileReaddirenter), h.(fs.FileReleasedirer), h.(fs.FileSeekdirer)}, f, 0
}

// disk is what a disk holds after some of a recording.
//
// The model: a sync of a file makes durable what was written to it before, its
// size, and the name that it was made with, as ext4, XFS and Btrfs have it, for
// msync and fdatasync too (of the write-ahead logs, which are ours to sync, the name
// is not: that takes a sync of the directory); a sync of a directory what happened
// to names in it. Everything else may have happened or
// not, whatever came before or after it, and of a write each sector of 512 octets
// alone.
type disk struct {
	files   map[uint64][]byte
	names   map[string]uint64
	dirs    map[string]bool
	pending []diskOp // not durable yet, in order
	acked   [2]uint32
}

func newDisk() *disk {
	return &disk{files: map[uint64][]byte{}, names: map[string]uint64{}, dirs: map[string]bool{}}
}

// do takes the next operation.
func (d *disk) do(o diskOp) {
	switch o.what {
	case opAck:
		d.acked = o.ack
	case opSync:
		d.settle(func(p diskOp) bool { return p.file == o.file })
	case opSyncData:
		d.settle(func(p diskOp) bool { return p.file == o.file && (!p.isName() || !strings.HasSuffix(p.name, walSuffix)) })
	case opSyncDir:
		d.settle(func(p diskOp) bool {
			return p.isName() && (path.Dir(p.name) == o.name || p.to != "" && path.Dir(p.to) == o.name)
		})
	case opRename:
		o.file = d.known(o.name)
		d.pending = append(d.pending, o)
	default:
		d.pending = append(d.pending, o)
	}
}

func (o *diskOp) isName() bool { return o.what >= opCreate && o.what <= opRename }

// known gives the file that has a name for whoever looks now.
func (d *disk) known(name string) (file uint64) {
	file = d.names[name]
	for _, p := range d.pending {
		switch {
		case p.what == opCreate && p.name == name, p.what == opRename && p.to == name:
			file = p.file
		}
	}
	return file
}

func (d *disk) settle(now func(p diskOp) bool) {
	rest := d.pending[:0:0]
	for _, p := range d.pending {
		if now(p) {
			d.apply(p)
		} else {
			rest = append(rest, p)
		}
	}
	d.pending = rest
}

// apply makes one operation durable. What cannot be, since others did not take
// place, does nothing.
func (d *disk) apply(o diskOp) {
	switch o.what {
	case opWrite:
		f := d.files[o.file]
		if end := int(o.offset) + len(o.data); end > len(f) {
			f = append(bytes.Clone(f), make([]byte, end-len(f))...)
		} else {
			f = bytes.Clone(f) // copies of the disk may have it
		}
		copy(f[o.offset:], o.data)
		d.files[o.file] = f
	case opSize:
		f := d.files[o.file]
		if int(o.offset) <= len(f) {
			d.files[o.file] = f[:o.offset:o.offset]
		} else {
			d.files[o.file] = append(bytes.Clone(f), make([]byte, int(o.offset)-len(f))...)
		}
	case opCreate:
		d.names[o.name] = o.file
	case opMkdir:
		d.dirs[o.name] = true
	case opRemove:
		delete(d.names, o.name)
	case opRename:
		if o.file != 0 && d.names[o.name] == o.file {
			delete(d.names, o.name)
		}
		if o.file != 0 {
			d.names[o.to] = o.file
		}
	}
}

// What a cut makes of what was not synced.
type cutStyle int

const (
	cutNothing cutStyle = iota // none of it is there
	cutAll                     // all of it, as after a crash of the process
	cutOrdered                 // names up to some moment, sectors of writes at random
	cutAny                     // whatever chance wants
	cutStyles
)

// cut gives the files of the data directory as they are when the power is cut.
func (d *disk) cut(style cutStyle, r *rand.Rand) map[string][]byte {
	c := &disk{files: maps.Clone(d.files), names: maps.Clone(d.names), dirs: maps.Clone(d.dirs)}
	until := r.IntN(len(d.pending) + 1)
	keep := r.Float64()
	for i, p := range d.pending {
		switch {
		case style == cutAll:
			c.apply(p)
		case style == cutNothing:
		case p.what == opWrite:
			c.applySectors(p, r, keep)
		case style == cutOrdered && i < until, style == cutAny && r.Float64() < keep:
			c.apply(p)
		}
	}
	files := map[string][]byte{}
	for name, id := range c.names {
		if rest, ok := strings.CutPrefix(name, "data/"); ok {
			files[rest] = c.files[id]
		}
	}
	return files
}

const sector = 512

// applySectors keeps some sectors of a write.
func (d *disk) applySectors(o diskOp, r *rand.Rand, keep float64) {
	for from := 0; from < len(o.data); {
		to := min(len(o.data), from+sector-int(o.offset+int64(from))%sector)
		if r.Float64() < keep {
			d.apply(diskOp{what: opWrite, file: o.file, offset: o.offset + int64(from), data: o.data[from:to]})
		}
		from = to
	}
}

// moments chooses where to cut: each operation is as likely.
func moments(r *rand.Rand, ops, n int) []int {
	at := make([]int, n)
	for i := range at {
		at[i] = r.IntN(ops + 1)
	}
	slices.Sort(at)
	return at
}

// describe tells of what is not durable, and of the names there are, for whoever looks for the reason.
func (d *disk) describe(before []diskOp) string {
	names := map[uint64]string{}
	for _, o := range before {
		switch o.what {
		case opCreate:
			names[o.file] = o.name
		case opRename:
			for id, n := range names {
				if n == o.name {
					names[id] = o.to
				}
			}
		}
	}
	var b strings.Builder
	for _, p := range d.pending {
		if names[p.file] == "data/"+markFile {
			continue
		}
		fmt.Fprintf(&b, "%d %s%s %d+%d\n", p.what, p.name, names[p.file], p.offset, len(p.data))
	}
	fmt.Fprintf(&b, "names %v\nlast", slices.Sorted(maps.Keys(d.names)))
	for _, o := range before[max(0, len(before)-60):] {
		fmt.Fprintf(&b, " %d %s%s %d+%d\n", o.what, o.name, names[o.file], o.offset, len(o.data))
	}
	return b.String()
}
