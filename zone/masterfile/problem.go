package masterfile

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"slices"
)

// Problem is one thing that is wrong with a master file. A zone with nothing
// but warnings can be served.
type Problem struct {
	File    string
	Line    int // 0: the file as a whole
	Text    string
	Warning bool
}

// String gives the problem as compilers do.
func (p Problem) String() string {
	kind := ""
	if p.Warning {
		kind = "warning: "
	}
	if p.Line == 0 {
		return fmt.Sprintf("%s: %s%s", p.File, kind, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s%s", p.File, p.Line, kind, p.Text)
}

// Faulty tells whether there is a problem that is more than a warning.
func Faulty(problems []Problem) bool {
	return slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning })
}

// maxProblems bounds the faults that are reported, and the warnings.
const maxProblems = 50

// found is a Problem whose file is still a number.
type found struct {
	place
	text    string
	warning bool
}

// collector gathers problems. Faults and warnings are bounded apart, so that
// warnings never hide a fault.
type collector struct {
	list             []found
	faults, warnings int
}

func (c *collector) fault(at place, format string, args ...any) {
	if c.faults++; c.faults <= maxProblems {
		c.list = append(c.list, found{at, fmt.Sprintf(format, args...), false})
	}
}

func (c *collector) warn(at place, format string, args ...any) {
	if c.warnings++; c.warnings <= maxProblems {
		c.list = append(c.list, found{at, fmt.Sprintf(format, args...), true})
	}
}

// sorted gives the problems in the order of the lines.
func (c *collector) sorted(files []string) []Problem {
	slices.SortStableFunc(c.list, func(a, b found) int {
		return cmp.Or(cmp.Compare(a.file, b.file), cmp.Compare(a.line, b.line))
	})
	var out []Problem
	for _, f := range c.list {
		out = append(out, Problem{files[f.file], int(f.line), f.text, f.warning})
	}
	if n := c.faults - maxProblems; n > 0 {
		out = append(out, Problem{File: files[0], Text: fmt.Sprintf("and %d more faults that are not shown: correct these first", n)})
	}
	if n := c.warnings - maxProblems; n > 0 {
		out = append(out, Problem{File: files[0], Text: fmt.Sprintf("and %d more that are not shown", n), Warning: true})
	}
	return out
}

// plainError drops operation and path, which the message around it names.
func plainError(err error) string {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err.Error()
	}
	return err.Error()
}
