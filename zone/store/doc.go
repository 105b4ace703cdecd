// Package store keeps zones on disk in Badger.
//
// It owns: the data directory and its format version, keys and encodings, the
// one transaction and one sync of a commit, the journal, the seeding of a
// zone, and recovery after a crash or a fault of the disk. It is the only
// importer of Badger.
//
// It must not know DNS messages, nor decide what is in a zone or which serial
// comes next: it refuses what would break its invariants and stores the rest.
// Only package zone and the code that starts the server may call it.
//
// # Keys
//
// Every key is one octet of kind followed, but for the first three, by the
// number of a zone (32 bits, big endian, as all numbers in keys):
//
//	f                                     format version
//	b                                     identity, and version of the last backup
//	n                                     written by what only deletes
//	z, apex in canonical order            number of the zone
//	p, zone                               data of that number is to be dropped
//	m, zone                               serial and journal counters (meta)
//	t, zone                               old end of the journal (trim)
//	j, zone, sequence (64), part (16)     journal entry
//	r, zone, owner, type (16)             RRset
//	s, zone, stage (64), part (32)        staged changes of a large commit
//	k, zone, terminal number              what is kept of the number's TSIG key
//
// An owner stands in its key without the apex, labels from the right, in lower
// case, so that the order of keys is the order of RFC 4034, section 6.1.
//
// # Invariants
//
//  1. An acknowledged commit is on disk: Commit returns nil only after the
//     sync of the write-ahead log and of the directory that names it.
//  2. A commit is whole or absent. What fits one Badger transaction is one;
//     what does not is staged, decided by one transaction, and then copied
//     into place, again after a crash.
//  3. Meta and the RRsets have the same serial. A serial is never taken twice:
//     each commit goes beyond all serials that were committed or burned.
//  4. The journal is a chain: sequences have no gap, and each entry starts at
//     the serial at which the one before it ends.
//  5. After any fault of a write nothing is written through the same log
//     again. Pages that the kernel failed to write count as clean from then on
//     and would leave a hole in the middle of the log, behind which nothing is
//     found after a crash. Repair and Seed close Badger, which moves what the
//     log holds to a new table, and open it again with a new log.
//
// TestPowerCuts holds all of that between any two operations of the disk; its
// model of what a sync makes durable is the comment at type disk. What Badger
// counts on beyond POSIX: the sync of a new table makes its name durable, too.
//
// # Limitations
//
// Badger writes through memory maps, so a file system without room would end
// the process by SIGBUS. Writes are refused while less than Options.Reserve is
// free. When others take all of the reserve at once while Badger is making a
// table of what it was given before, the process still ends; nothing that was
// acknowledged is lost by that.
package store
