package linear

import (
	"fmt"
	"strings"

	"github.com/anishathalye/porcupine"
	"github.com/miekg/dns"
)

// Names is how many numbers a history is about. They are few, so that clients meet.
const Names = 5

// State is what the numbers hold, each one address that stands for a value; 0 is none.
type State [Names]uint32

// Kind of a prerequisite (RFC 2136, section 2.4).
type Kind int

// The five kinds.
const (
	Is Kind = iota // RRset exists, and has exactly this address
	Exists
	ExistsNot
	InUse
	NotInUse
)

// Value is a name and its value.
type Value struct {
	Name  int
	Value uint32
}

// Prerequisite is one that an update has.
type Prerequisite struct {
	Kind Kind
	Value
}

// Input is an operation. What has Writes is an update, what has none a query, or a transfer of all.
type Input struct {
	Prerequisites []Prerequisite
	Writes        []Value
	Name          int // of a query
	All           bool
}

// Output is what the client saw.
type Output struct {
	Unknown bool // no answer came
	Rcode   int  // of an update
	Values  State
}

// model is what the server should look like to its clients.
var model = porcupine.NondeterministicModel{
	Init: func() []any { return []any{State{}} },
	Step: func(state, input, output any) []any { return step(state.(State), input.(Input), output.(Output)) },
	DescribeOperation: func(input, output any) string {
		return fmt.Sprintf("%s: %s", input.(Input), output.(Output).text(input.(Input)))
	},
}

// step gives the states that an operation with this outcome can lead to; none when it cannot have had it.
func step(s State, in Input, out Output) []any {
	switch {
	case in.Writes == nil && out.Unknown:
		return []any{s}
	case in.All:
		return only(s, out.Values == s)
	case in.Writes == nil:
		return only(s, out.Values[in.Name] == s[in.Name])
	}
	next, rcode := in.update(s)
	switch {
	case out.Unknown:
		return []any{s, next} // porcupine takes them for one where they are equal
	case out.Rcode == dns.RcodeServerFailure, out.Rcode == dns.RcodeNotAuth:
		return []any{s} // refused before it was looked at: nothing may have happened
	}
	return only(next, out.Rcode == rcode)
}

func only(s State, ok bool) []any {
	if ok {
		return []any{s}
	}
	return nil
}

// update is RFC 2136, section 3, for what these histories have: values are compared last (section 3.2.5).
func (in Input) update(s State) (next State, rcode int) {
	for _, p := range in.Prerequisites {
		there := s[p.Name] != 0
		switch {
		case p.Kind == Exists && !there:
			return s, dns.RcodeNXRrset
		case p.Kind == ExistsNot && there:
			return s, dns.RcodeYXRrset
		case p.Kind == InUse && !there:
			return s, dns.RcodeNameError
		case p.Kind == NotInUse && there:
			return s, dns.RcodeYXDomain
		}
	}
	for _, p := range in.Prerequisites {
		if p.Kind == Is && s[p.Name] != p.Value.Value {
			return s, dns.RcodeNXRrset
		}
	}
	for _, w := range in.Writes {
		s[w.Name] = w.Value
	}
	return s, dns.RcodeSuccess
}

func (in Input) String() string {
	switch {
	case in.All:
		return "all"
	case in.Writes == nil:
		return fmt.Sprintf("get %d", in.Name)
	}
	var b strings.Builder
	for _, p := range in.Prerequisites {
		fmt.Fprintf(&b, "%s %d", [...]string{"is", "exists", "exists not", "in use", "not in use"}[p.Kind], p.Name)
		if p.Kind == Is {
			fmt.Fprintf(&b, " %d", p.Value.Value)
		}
		b.WriteString(", ")
	}
	for i, w := range in.Writes {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "set %d %d", w.Name, w.Value)
	}
	return b.String()
}

func (out Output) text(in Input) string {
	switch {
	case out.Unknown:
		return "no answer"
	case in.Writes != nil:
		return dns.RcodeToString[out.Rcode]
	case in.All:
		return fmt.Sprint(out.Values)
	}
	return fmt.Sprint(out.Values[in.Name])
}
