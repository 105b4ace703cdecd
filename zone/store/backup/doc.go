// Package backup is the file format of backups.
//
// It owns: the header, the sorted records behind it, their compression, and the
// checksum over all of it, by which a file that was cut or altered is known
// before anything of it is used.
//
// It must not know what the keys and values mean, nor how they are read or
// stored: package store does, and is the only one that may call it.
//
// # The file
//
//	magic     8 octets
//	header    its length (32 bits, big endian), then as much JSON
//	records   one zstd frame
//	checksum  SHA-256 of all that stands before it
//
// A record is an octet that tells its kind, a key as the octets that it shares
// with the one before it and the rest, and for a put its value; all lengths are
// varints. Keys ascend. An end with the counts of both kinds closes them.
//
// # Increments
//
// An incremental backup has the values that are newer than a version, and of
// all other keys the name alone (keep): Badger forgets at some time that a key
// was deleted, so what was deleted can be known by its absence only. A number
// costs some three octets that way, before compression. It also shows when two
// files do not belong together: a key that is kept must be in the one before.
package backup
