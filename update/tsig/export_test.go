package tsig

// Find gives the offset of the TSIG record of a message by walking over all
// records before it. It fails with an *Error of FORMERR if the message cannot
// be walked, if octets follow the last record, and if there is a TSIG that is
// not well-formed or anywhere but at the end (RFC 8945, section 5.2).
func Find(msg []byte) (start int, found bool, err error) {
	var rec record
	found, err = rec.find(msg)
	if err != nil {
		return 0, false, malformed(err)
	}
	return rec.start, found, nil
}
