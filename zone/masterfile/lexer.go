package masterfile

import (
	"bufio"
	"errors"
	"fmt"
	"io"
)

// entry is one record or directive: a line, or several held together by
// parentheses (RFC 1035, section 5.1).
type entry struct {
	line    int      // the first
	blank   bool     // begins with white space: the owner is that of the entry before
	fields  []string // as written, quotes and escapes included
	problem string   // why the entry cannot be read
}

// maxEntry bounds an entry in octets, so that a forgotten parenthesis does not
// take the whole file for one record.
const maxEntry = 1 << 20

// lexer splits a master file into entries.
type lexer struct {
	r    *bufio.Reader
	line int // of the text last read
}

func newLexer(r io.Reader) *lexer {
	l := &lexer{r: bufio.NewReaderSize(r, 1<<16)}
	const mark = "\xef\xbb\xbf" // some editors begin a file with it
	if b, err := l.r.Peek(len(mark)); err == nil && string(b) == mark {
		_, _ = l.r.Discard(len(mark)) // it was peeked
	}
	return l
}

// next reads into e. It returns io.EOF after the last entry, and other errors
// when reading cannot go on.
func (l *lexer) next(e *entry) error {
	*e = entry{fields: e.fields[:0]}
	depth, size, last := 0, 0, false
	for !last {
		text, err := l.text()
		if err != nil && !(err == io.EOF && text != "") {
			return l.ended(e, depth, err)
		}
		if e.line == 0 {
			e.line = l.line
			e.blank = text[0] == ' ' || text[0] == '\t'
		}
		if size += len(text); size > maxEntry {
			e.problem = "the ( that is opened here is not closed within 1 MiB; reading stops here"
			return errStop
		}
		depth = e.split(text, depth)
		switch {
		case e.problem != "":
			return nil
		case depth == 0 && len(e.fields) > 0:
			last = true
		case depth == 0:
			*e = entry{fields: e.fields[:0]} // an empty line
		}
	}
	return nil
}

// errStop says that the rest of a file makes no sense any more; the entry has
// the problem.
var errStop = errors.New("stop")

func (l *lexer) ended(e *entry, depth int, err error) error {
	switch {
	case err != io.EOF:
		return err
	case depth > 0:
		e.problem = "the ( that is opened here is never closed: add the )"
		return errStop
	}
	return io.EOF
}

// text reads one line, which is never longer than an entry may be.
func (l *lexer) text() (string, error) {
	l.line++
	b, err := l.r.ReadSlice('\n')
	if err != bufio.ErrBufferFull {
		return string(b), err
	}
	long := append([]byte(nil), b...)
	for err == bufio.ErrBufferFull {
		if len(long) > maxEntry {
			return "", fmt.Errorf("line %d is longer than 1 MiB: this is no master file", l.line)
		}
		b, err = l.r.ReadSlice('\n')
		long = append(long, b...)
	}
	return string(long), err
}

// split appends the fields of one line. It returns the depth of parentheses at
// the line's end.
func (e *entry) split(s string, depth int) int {
	for i := 0; i < len(s); {
		switch s[i] {
		case ' ', '\t', '\r', '\n':
			i++
		case ';':
			return depth
		case '(':
			depth++
			i++
		case ')':
			if depth--; depth < 0 {
				e.problem = "there is a ) without a ( before it"
				return 0
			}
			i++
		default:
			end, ok := fieldEnd(s, i)
			if !ok {
				e.problem = `there is a " that is not closed on its line: close it, or write \" for the character itself`
				return 0
			}
			e.fields = append(e.fields, s[i:end])
			i = end
		}
	}
	return depth
}

// fieldEnd finds the end of the field that begins at i. White space,
// parentheses and semicolons inside quotes or behind a backslash belong to it.
func fieldEnd(s string, i int) (end int, ok bool) {
	quoted := false
	for ; i < len(s); i++ {
		switch c := s[i]; c {
		case '\\':
			if i+1 < len(s) && s[i+1] != '\n' {
				i++
			}
		case '"':
			quoted = !quoted
		case '\n', '\r':
			return i, !quoted
		case ' ', '\t', ';', '(', ')':
			if !quoted {
				return i, true
			}
		}
	}
	return len(s), !quoted
}
