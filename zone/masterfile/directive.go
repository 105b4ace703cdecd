package masterfile

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"dialtone/zone/rr"
)

// maxDepth bounds $INCLUDE in $INCLUDE.
const maxDepth = 7

// directive carries out a line that begins with a dollar sign.
func (s *scope) directive(at place, f []string) error {
	switch strings.ToUpper(f[0]) {
	case "$ORIGIN":
		if len(f) != 2 {
			return fmt.Errorf("$ORIGIN takes one name, as in $ORIGIN %s", s.p.apex)
		}
		n, err := s.absolute(f[1])
		if err == nil {
			s.origin = n
		}
		return err
	case "$TTL":
		if len(f) != 2 {
			return fmt.Errorf("$TTL takes one number of seconds, as in $TTL 300")
		}
		ttl, err := parseTTL(f[1])
		s.p.ttl, s.p.ttlKnown, s.p.ttlFixed = ttl, true, true
		return err
	case "$INCLUDE":
		return s.include(f[1:])
	case "$GENERATE":
		return s.generate(at, f[1:])
	}
	return fmt.Errorf("%s is not known: there are $ORIGIN, $TTL, $INCLUDE and $GENERATE (a name that begins with a dollar sign is written \\%s)", f[0], f[0])
}

// include reads another file in place. The file must be in the directory of
// this one or below it: whoever may write zone files is not thereby given all
// files that the server can read.
func (s *scope) include(f []string) error {
	if len(f) != 1 && len(f) != 2 {
		return fmt.Errorf("$INCLUDE takes a file and, if wanted, an origin")
	}
	origin := s.origin
	if len(f) == 2 {
		var err error
		if origin, err = s.absolute(f[1]); err != nil {
			return err
		}
	}
	if s.depth >= maxDepth {
		return fmt.Errorf("$INCLUDE is nested more than %d deep: does a file include itself?", maxDepth)
	}
	if s.name == "" || !filepath.IsLocal(f[0]) {
		return fmt.Errorf("$INCLUDE %s: only files in the directory of this file or below it can be included", f[0])
	}
	root, err := os.OpenRoot(filepath.Dir(s.name))
	if err != nil {
		return fmt.Errorf("$INCLUDE %s: %s", f[0], plainError(err))
	}
	defer root.Close()
	file, err := root.Open(f[0])
	if err != nil {
		return fmt.Errorf("$INCLUDE %s: %s", f[0], plainError(err))
	}
	defer file.Close()
	s.p.file(file, filepath.Join(filepath.Dir(s.name), f[0]), origin, s.depth+1)
	return nil
}

// maxGenerated bounds the records of one $GENERATE.
const maxGenerated = 65536

// generate makes records from a template, as BIND does: START-STOP[/STEP]
// OWNER [TTL] [CLASS] TYPE DATA, where $ or ${offset,width,base} is the number.
func (s *scope) generate(at place, f []string) error {
	const usage = "$GENERATE is written as START-STOP[/STEP] OWNER [TTL] TYPE DATA, as in $GENERATE 1-9 host$ A 192.0.2.$"
	if len(f) < 4 {
		return fmt.Errorf("%s", usage)
	}
	span, stepText, hasStep := strings.Cut(f[0], "/")
	from, to, ok := strings.Cut(span, "-")
	start, err1 := strconv.ParseInt(from, 10, 32)
	stop, err2 := strconv.ParseInt(to, 10, 32)
	step := int64(1)
	var err3 error
	if hasStep {
		step, err3 = strconv.ParseInt(stepText, 10, 32)
	}
	if !ok || err1 != nil || err2 != nil || err3 != nil || start < 0 || stop < start || step < 1 {
		return fmt.Errorf("%q is not a range: %s", f[0], usage)
	}
	if (stop-start)/step >= maxGenerated {
		return fmt.Errorf("the range %s makes more than %d records: split it", f[0], maxGenerated)
	}
	owner := s.owner
	defer func() { s.owner = owner }()
	e := entry{line: int(at.line), fields: make([]string, len(f)-1)}
	for n := start; n <= stop; n += step {
		for i, t := range f[1:] {
			text, err := expand(t, n)
			if err != nil {
				return err
			}
			e.fields[i] = text
		}
		if err := s.record(at, &e); err != nil {
			return fmt.Errorf("$GENERATE at %d: %w", n, err)
		}
	}
	return nil
}

// expand puts n into a field. \$ and $$ are the character itself.
func expand(t string, n int64) (string, error) {
	var b strings.Builder
	for i := 0; i < len(t); i++ {
		switch {
		case t[i] == '\\' && i+1 < len(t):
			if t[i+1] != '$' {
				b.WriteByte('\\')
			}
			i++
			b.WriteByte(t[i])
		case t[i] != '$':
			b.WriteByte(t[i])
		case strings.HasPrefix(t[i+1:], "$"):
			b.WriteByte('$')
			i++
		case strings.HasPrefix(t[i+1:], "{"):
			end := strings.IndexByte(t[i:], '}')
			if end < 0 {
				return "", fmt.Errorf("%q: the { is not closed", t)
			}
			text, err := modified(t[i+2:i+end], n)
			if err != nil {
				return "", err
			}
			b.WriteString(text)
			i += end
		default:
			b.WriteString(strconv.FormatInt(n, 10))
		}
	}
	if b.Len() == 0 || b.Len() > 4*rr.MaxName+65535 {
		return "", fmt.Errorf("%q gives nothing that can be used", t)
	}
	return b.String(), nil
}

// modified formats n by OFFSET[,WIDTH[,BASE]].
func modified(m string, n int64) (string, error) {
	parts := strings.Split(m, ",")
	offset, err := strconv.ParseInt(parts[0], 10, 32)
	width, base := uint64(0), "d"
	if err == nil && len(parts) > 1 {
		width, err = strconv.ParseUint(parts[1], 10, 8)
	}
	if len(parts) > 2 {
		base = parts[2]
	}
	if err != nil || len(parts) > 3 || width > 63 || len(base) != 1 || !strings.Contains("doxX", base) {
		return "", fmt.Errorf("${%s} is not ${OFFSET,WIDTH,BASE} with base d, o, x or X", m)
	}
	if n += offset; n < 0 {
		return "", fmt.Errorf("${%s} makes a negative number", m)
	}
	return fmt.Sprintf("%0*"+base, int(width), n), nil
}
