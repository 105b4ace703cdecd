// Package files reads the files of a Badger directory without opening it.
//
// It owns: their formats (MANIFEST, tables, write-ahead logs), their checksums,
// the search for what is damaged, the correction of single octets by their
// checksum, and the newest value of every key of a directory, in order.
//
// It must not write anything but a MANIFEST, and knows neither zones nor records. Only package store
// and its tests may call it: at a start, before Badger is let at files that it
// would panic on, cut off or take for empty, at each change of the MANIFEST, and
// for dialtone store check.
//
// # What Badger makes of damage, which is why this is here
//
//   - A write-ahead log is read up to the first entry whose checksum is wrong.
//     The rest, whatever had been acknowledged in it, is cut off without a word.
//   - So is a MANIFEST whose last change set seems to be cut off, and then tables
//     that it does not name are removed.
//   - A table whose index is damaged ends the process. A damaged block is served,
//     or, with checksums verified on reading, taken for the end of the table.
//   - Without a MANIFEST a directory counts as new, and its tables are removed.
//
// # Limitations
//
// Tables that are compressed or encrypted are not read: package store makes
// neither.
package files
