package keys

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"dialtone/update/tsig"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// Line is one key of a file.
type Line struct {
	At        int // the line that it begins at, from 1 on
	Number    string
	Algorithm tsig.Algorithm
	Secret    []byte
}

// LineError is a fault of a file.
type LineError struct {
	At   int    `json:"line"`
	Text string `json:"text"`
}

func (e *LineError) Error() string { return fmt.Sprintf("line %d: %s", e.At, e.Text) }

const (
	maxLine  = 1024 // octets
	maxBlock = 20   // lines
)

// Parse reads a file of keys for the zone with this apex: lines with NUMBER
// [ALGORITHM] SECRET, where the secret is base64 and hmac-sha256 need not be
// said, and what tsig-keygen prints for the names of numbers. Empty lines, lines
// that begin with //, and what is behind # do not count. It calls yield
// with each key, or the *LineError of one that is none, until that gives false.
// Another error than that is of r.
func Parse(r io.Reader, apex rr.Name, yield func(Line, error) bool) error {
	p := parser{apex: apex, yield: yield}
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 4*maxLine), maxLine)
	more := true
	for more && in.Scan() {
		p.at++
		more = p.line(in.Text())
	}
	switch err := in.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		p.at++
		p.fault(p.at, "has more than %d octets: this is no file of keys", maxLine)
	case err != nil:
		return err
	case more && p.block != "":
		p.fault(p.from, "the key that begins here has no end: }; is missing")
	}
	return nil
}

type parser struct {
	apex  rr.Name
	yield func(Line, error) bool
	at    int
	block string // what there is of a key clause
	from  int    // line where it begins
}

func (p *parser) fault(at int, format string, args ...any) bool {
	return p.yield(Line{}, &LineError{at, fmt.Sprintf(format, args...)})
}

var comment = regexp.MustCompile(`(^|\s)#.*$|^\s*//.*$`) // a secret may begin with //

func (p *parser) line(text string) bool {
	if strings.ContainsAny(text, "#/") {
		text = comment.ReplaceAllString(text, "")
	}
	words := strings.Fields(text)
	switch {
	case p.block != "" || len(words) > 0 && words[0] == "key":
		return p.clause(text)
	case len(words) == 0:
		return true
	case len(words) == 2:
		return p.key(p.at, words[0], "", words[1])
	case len(words) == 3:
		return p.key(p.at, words[0], words[1], words[2])
	}
	return p.fault(p.at, "it wants NUMBER [ALGORITHM] SECRET, or what tsig-keygen prints")
}

// A key clause as named.conf has it.
var (
	clauseForm      = regexp.MustCompile(`(?s)^\s*key\s+"?([^\s"{]+)"?\s*\{(.*)\}\s*;?\s*$`)
	clauseAlgorithm = regexp.MustCompile(`algorithm\s+"?([^\s";]+)"?\s*;`)
	clauseSecret    = regexp.MustCompile(`secret\s+"?([^\s";]+)"?\s*;`)
)

func (p *parser) clause(text string) bool {
	if p.block == "" {
		p.from = p.at
	}
	p.block += text + "\n"
	if !strings.Contains(text, "}") {
		if p.at-p.from < maxBlock {
			return true
		}
		p.block = ""
		return p.fault(p.from, "the key that begins here has no end: }; is missing")
	}
	block := p.block
	p.block = ""
	m := clauseForm.FindStringSubmatch(block)
	if m == nil {
		return p.fault(p.from, `this is no key: it wants key "NAME" { algorithm ...; secret "..."; };`)
	}
	name, err := rr.ParseName(m[1])
	if err != nil {
		return p.fault(p.from, "%v", err)
	}
	number, own, ok := name.NumberOf(p.apex)
	if !own || !ok {
		return p.fault(p.from, "%s is not the name of a number in %s", name, p.apex)
	}
	secret := clauseSecret.FindStringSubmatch(m[2])
	if secret == nil {
		return p.fault(p.from, "the key %s has no secret", name)
	}
	algorithm := ""
	if a := clauseAlgorithm.FindStringSubmatch(m[2]); a != nil {
		algorithm = a[1]
	}
	return p.key(p.from, number, algorithm, secret[1])
}

func (p *parser) key(at int, number, algorithm, secret string) bool {
	l := Line{At: at, Number: number, Algorithm: tsig.HMACSHA256}
	if !rr.IsNumber(number) {
		return p.fault(at, "%q is not a number of 1 to %d digits", number, rr.MaxDigits)
	}
	if algorithm != "" {
		var err error
		if l.Algorithm, err = tsig.ParseAlgorithm(algorithm); err != nil {
			return p.fault(at, "number %s: %v", number, err)
		}
	}
	var err error
	if l.Secret, err = base64.StdEncoding.DecodeString(secret); err != nil || len(l.Secret) == 0 {
		return p.fault(at, "number %s: the secret is not base64", number)
	}
	if len(l.Secret) > store.MaxPhoneSecret {
		return p.fault(at, "number %s: the secret has %d octets, at most %d can be kept", number, len(l.Secret), store.MaxPhoneSecret)
	}
	if len(number)+1+len(p.apex) > rr.MaxName {
		return p.fault(at, "%s.%s is longer than a name can be", number, p.apex)
	}
	return p.yield(l, nil)
}
