// Package table holds the nodes of one zone in memory.
//
// It owns: the byte slabs in which nodes live, the hash index from owner to
// node, the versions of a node, and the reclaiming of what no reader can see
// any more. A node is an immutable run of octets without Go pointers, so that
// millions of them cost the garbage collector nothing; an update writes a new
// node that points to the one it replaces.
//
// It must not know what the records mean: package zone does lookups and
// decides what a change is. Only package zone may import it.
//
// One goroutine writes (Writer methods of Table); any number read, without
// locks and, but for a walk over all nodes, without allocation, each between
// Begin and End of its Reader.
//
// Invariants (Check verifies 1 to 4):
//
//  1. A slot of the index leads to the newest node of its owner; following
//     Prev leads to ever lower versions.
//  2. A node that a reader can reach at its version is not reclaimed: nodes
//     are freed only when every reader that was inside Begin..End when they
//     were replaced has left.
//  3. Every ancestor of a node, up to the apex, is in the index; a node
//     without data (an empty non-terminal) has at least one child.
//  4. Children of a node counts the names directly below it.
package table
