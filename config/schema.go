package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// kind is the form that a setting's value has in the file.
type kind uint8

const (
	text     kind = iota + 1 // a string
	number                   // an integer
	quantity                 // a string or an integer: sizes, durations
	flag                     // true or false
	texts                    // a string, or a list of them
	section                  // settings by name
	sections                 // a list of sections
	targets                  // a list of strings and sections
)

// setting describes one setting.
type setting struct {
	kind kind
	sub  map[string]setting // of a section
}

// settings is the whole file.
var settings = map[string]setting{
	"listen":         {kind: texts},
	"data_dir":       {kind: text},
	"server_id":      {kind: text},
	"cookies":        {kind: flag},
	"cookie_secrets": {kind: texts},
	"keys": {sections, map[string]setting{
		"name": {kind: text}, "algorithm": {kind: text}, "secret": {kind: text}, "secret_file": {kind: text},
		"signed_late": {kind: quantity},
	}},
	"zones": {sections, map[string]setting{
		"name": {kind: text}, "file": {kind: text}, "max_ttl": {kind: number}, "max_records": {kind: number},
		"acl": {sections, map[string]setting{
			"address": {kind: texts}, "key": {kind: texts}, "action": {kind: texts}, "deny": {kind: flag},
			"update_owner": {kind: text}, "update_owner_match": {kind: text},
			"update_owner_name": {kind: texts}, "update_type": {kind: texts},
			"self_number": {kind: flag}, "numbers": {kind: texts}, "max_records": {kind: number}, "source_address": {kind: flag},
			"claim": {kind: text},
		}},
		"notify": {targets, map[string]setting{"address": {kind: text}, "key": {kind: text}}},
		"lease": {section, map[string]setting{
			"default": {kind: quantity}, "min": {kind: quantity}, "max": {kind: quantity}, "key_max": {kind: quantity},
		}},
		"journal":      {section, map[string]setting{"max_age": {kind: quantity}, "max_size": {kind: quantity}}},
		"derived_keys": {section, map[string]setting{"seed": {kind: text}, "seed_file": {kind: text}}},
	}},
	"limits": {section, map[string]setting{
		"update_queue": {kind: number}, "update_queue_total": {kind: number},
		"updates_per_key": {kind: number}, "updates_per_source": {kind: number}, "update_records": {kind: number}, "name_records": {kind: number},
		"logged_refusals": {kind: number},
		"batch_ops":       {kind: number}, "commit_interval": {kind: quantity}, "refresh_interval": {kind: quantity},
		"rrset_records": {kind: number}, "names_per_number": {kind: number}, "slow_queue": {kind: number}, "source_updates": {kind: number},
		"update_answers": {kind: number}, "key_verifications": {kind: number}, "tsig_verifications": {kind: number}, "claims_per_source": {kind: number},
		"tcp_connections": {kind: number}, "tcp_per_address": {kind: number}, "tcp_in_flight": {kind: number},
		"tcp_idle": {kind: quantity}, "tcp_write": {kind: quantity},
		"transfers": {kind: number}, "transfers_per_address": {kind: number},
		"udp_size": {kind: number}, "udp_buffer": {kind: quantity}, "readers": {kind: number}, "key_cache": {kind: number},
	}},
	"rate_limit": {section, rateLimitSettings},
	"log":        {section, map[string]setting{"level": {kind: text}, "format": {kind: text}, "query_sample": {kind: number}}},
	"dnstap": {section, map[string]setting{
		"socket": {kind: text}, "file": {kind: text}, "max_file": {kind: quantity}, "queue": {kind: quantity},
		"queries": {kind: flag}, "updates": {kind: flag}, "responses": {kind: flag},
	}},
	"metrics": {section, map[string]setting{"listen": {kind: text}, "zones": {kind: number}}},
	"web":     {section, webSettings},
}

// checker is the state of one LoadBytes.
type checker struct {
	file   string
	lines  map[string]int    // of each setting that the file has
	bad    map[string]bool   // settings whose form is wrong: they were taken out
	env    map[string]string // variables that override settings
	nodes  int
	faults Faults
	conf   *Config
}

// maxNodes bounds what aliases can blow a file up to.
const maxNodes = 1 << 20

// fault reports what is wrong with a setting, unless its form is: then what is
// said about its value would be said of nothing.
func (c *checker) fault(path, format string, args ...any) {
	for p := path; p != ""; p = parent(p) {
		if c.bad[p] {
			return
		}
	}
	c.faults = append(c.faults, c.at(path, fmt.Sprintf(format, args...)))
}

func (c *checker) warn(path, format string, args ...any) {
	c.conf.Warnings = append(c.conf.Warnings, c.at(path, fmt.Sprintf(format, args...)))
}

// at finds the place of a setting: its own line, or that of what it is in.
func (c *checker) at(path, text string) Fault {
	whole, _, _ := strings.Cut(path, "[")
	if name, ok := c.env[whole]; ok {
		return Fault{Setting: name, Text: text}
	}
	f := Fault{File: c.file, Setting: path, Text: text}
	for p := path; p != "" && f.Line == 0 && c.conf.Path != ""; p = parent(p) {
		f.Line = c.lines[p]
	}
	return f
}

// parent gives the setting that the one at path is in.
func parent(path string) string { return path[:max(strings.LastIndexAny(path, ".["), 0)] }

var yamlLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// parse reads the file's structure; nil for an empty file.
func (c *checker) parse(data []byte) (root *yaml.Node, ok bool) {
	c.lines, c.bad = make(map[string]int), make(map[string]bool)
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if errors.Is(err, io.EOF) {
		return nil, true
	}
	if err != nil {
		f := Fault{File: c.file, Text: "this is not YAML: " + err.Error()}
		if m := yamlLine.FindStringSubmatch(err.Error()); m != nil {
			f.Line, _ = strconv.Atoi(m[1])
			f.Text = "this is not YAML: " + err.Error()[len(m[0]):]
			if indentedByTab(data, f.Line) {
				f.Text = "the line is indented by a tab: YAML takes only spaces"
			}
		}
		c.faults = append(c.faults, f)
		return nil, false
	}
	if err := dec.Decode(&second); err == nil {
		c.faults = append(c.faults, Fault{File: c.file, Line: second.Line, Text: "a second YAML document begins here: a configuration is one document, so remove the --- line"})
		return nil, false
	}
	return doc.Content[0], true
}

func indentedByTab(data []byte, line int) bool {
	lines := bytes.Split(data, []byte("\n"))
	if line < 1 || line > len(lines) {
		return false
	}
	text := lines[line-1]
	return bytes.IndexByte(text[:len(text)-len(bytes.TrimLeft(text, " \t"))], '\t') >= 0
}

// settings checks names and forms of everything in the file, notes lines, and
// takes out what has a fault, so that the rest can be checked as well. It
// tells whether there is a rest.
func (c *checker) settings(root *yaml.Node) bool {
	if root == nil || root.Tag == "!!null" {
		return true
	}
	return c.section("", settings, root) && c.nodes < maxNodes
}

func (c *checker) section(path string, known map[string]setting, n *yaml.Node) bool {
	if n = c.resolve(path, n); n == nil || n.Kind != yaml.MappingNode {
		return n != nil && c.wrong(path, n, "settings in the form \"name: value\"")
	}
	var sound []*yaml.Node
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		sub := join(path, name.Value)
		s, ok := known[name.Value]
		if !ok {
			c.unknown(path, known, name)
			continue
		}
		if first, twice := c.lines[sub]; twice {
			c.faults = append(c.faults, Fault{c.file, name.Line, sub, fmt.Sprintf("it is set twice (first at line %d): remove one", first)})
			continue
		}
		if c.lines[sub] = name.Line; c.value(sub, s, value) {
			sound = append(sound, name, value)
		} else {
			c.bad[sub] = true
		}
	}
	n.Content = sound
	return true
}

func join(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

// knotNames are Knot's names for settings that are called otherwise here.
var knotNames = map[string]string{
	"id": "name", "domain": "name", "key_id": "key", "storage": "data_dir", "nsid": "server_id", "identity": "server_id",
	"port": "listen", "zone": "zones", "zone_max_ttl": "max_ttl", "journal_max_usage": "journal",
}

func (c *checker) unknown(path string, known map[string]setting, name *yaml.Node) {
	meant := knotNames[strings.ReplaceAll(strings.ToLower(name.Value), "-", "_")]
	words := slices.Sorted(maps.Keys(known))
	if _, ok := known[meant]; !ok {
		meant = nearest(name.Value, words)
	}
	text := "there is no such setting: here can be " + orList(words)
	if meant != "" {
		text = fmt.Sprintf("there is no such setting: did you mean %s?", meant)
		c.bad[join(path, meant)] = true // so it is not missing
	}
	c.faults = append(c.faults, Fault{c.file, name.Line, join(path, name.Value), text})
}

// value checks the form of one setting's value.
func (c *checker) value(path string, s setting, n *yaml.Node) bool {
	if n = c.resolve(path, n); n == nil {
		return false
	}
	if n.Tag == "!!null" {
		return c.wrongText(path, n, "it has no value: give it one, or remove the line")
	}
	asText := func(p string, item *yaml.Node) bool { return c.value(p, setting{kind: text}, item) }
	asSection := func(p string, item *yaml.Node) bool { return c.section(p, s.sub, item) }
	switch s.kind {
	case section:
		return c.section(path, s.sub, n)
	case sections:
		return c.list(path, n, "a list, each item of which begins with \"- \"", yaml.MappingNode, asSection)
	case texts:
		if n.Kind == yaml.ScalarNode {
			return c.scalar(path, text, n)
		}
		return c.list(path, n, "a text or a list of texts", yaml.ScalarNode, asText)
	case targets:
		return c.list(path, n, "a list of addresses", yaml.ScalarNode, func(p string, item *yaml.Node) bool {
			if item.Kind == yaml.ScalarNode {
				return asText(p, item)
			}
			return asSection(p, item)
		})
	}
	return c.scalar(path, s.kind, n)
}

// list checks each item. One with a fault is replaced by an empty one of the
// form, so that the others keep their places.
func (c *checker) list(path string, n *yaml.Node, want string, form yaml.Kind, item func(string, *yaml.Node) bool) bool {
	if n.Kind != yaml.SequenceNode {
		return c.wrong(path, n, want)
	}
	for i, sub := range n.Content {
		p := fmt.Sprintf("%s[%d]", path, i)
		c.lines[p] = sub.Line
		if !item(p, sub) {
			c.bad[p] = true
			n.Content[i] = &yaml.Node{Kind: form, Line: sub.Line}
			if form == yaml.ScalarNode {
				n.Content[i].Tag = "!!str"
			}
		}
	}
	return true
}

var decimal = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

func (c *checker) scalar(path string, k kind, n *yaml.Node) bool {
	isInt := n.Tag == "!!int" && decimal.MatchString(n.Value)
	switch {
	case k == text && n.Kind != yaml.ScalarNode:
		return c.wrong(path, n, "a text")
	case k == text && n.Tag != "!!str":
		return c.wrongText(path, n, fmt.Sprintf("YAML does not take %s for a text: put it in quotes", shown(path, n)))
	case k == flag && n.Tag != "!!bool":
		return c.wrong(path, n, "true or false")
	case k == number && !isInt:
		return c.wrong(path, n, "a whole number")
	case k == quantity && n.Tag != "!!str" && !isInt:
		return c.wrong(path, n, "a number with a unit")
	}
	return true
}

// resolve follows an alias; nil when the file is too large with them.
func (c *checker) resolve(path string, n *yaml.Node) *yaml.Node {
	if c.nodes++; c.nodes >= maxNodes {
		if c.nodes == maxNodes {
			c.wrongText(path, n, "the file has more than a million values, aliases counted: this is no configuration")
		}
		return nil
	}
	if n.Kind == yaml.AliasNode {
		return n.Alias
	}
	return n
}

func (c *checker) wrong(path string, n *yaml.Node, want string) bool {
	return c.wrongText(path, n, fmt.Sprintf("it wants %s, not %s", want, shown(path, n)))
}

func (c *checker) wrongText(path string, n *yaml.Node, text string) bool {
	c.faults = append(c.faults, Fault{c.file, n.Line, path, text})
	return false
}

// shown tells what a value is, without giving a secret away.
func shown(path string, n *yaml.Node) string {
	switch {
	case n.Kind == yaml.MappingNode:
		return "settings in the form \"name: value\""
	case n.Kind == yaml.SequenceNode:
		return "a list"
	case len(n.Value) > 80 || strings.HasSuffix(path, "secret") || strings.HasSuffix(path, "seed") || strings.HasSuffix(path, "derived_keys") || strings.HasPrefix(path, "cookie_secrets"):
		return "this value"
	}
	return strconv.Quote(n.Value)
}
