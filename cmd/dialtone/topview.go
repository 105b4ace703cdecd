package main

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"dialtone/dnsserver"
)

// View is of tea.Model.
func (m *topModel) View() tea.View {
	v := tea.NewView(m.picture())
	v.AltScreen = true // what was in the terminal before comes back
	return v
}

// picture is as many lines as the terminal has, none longer than it is wide.
func (m *topModel) picture() string {
	head, foot := m.head(), m.foot()
	if m.help {
		return m.fitted(slices.Concat(head, topHelp), m.height-1, foot)
	}
	faults, secondaries := apart(m.faults(), m.height), apart(m.secondaries(), m.height)
	room := max(m.height-len(head)-len(foot)-1, 0) // for what can be cut; a line for the heading of zones
	faults = upTo(faults, min(5, room/3))
	var senders []string
	if room >= 12 { // else the heading would be all of it
		senders = upTo(apart(m.senders(), m.height), min(6, room/4))
	}
	secondaries = upTo(secondaries, max(room/3, room-len(faults)-len(senders)-len(m.st.Zones)))
	zones := m.zonesFrom(m.offset, max(room-len(faults)-len(secondaries)-len(senders), 0))
	return m.fitted(slices.Concat(head, zones, secondaries, senders, faults), m.height-len(foot), foot)
}

// all is everything, for where there is no terminal.
func (m *topModel) all() string {
	lines := slices.Concat(m.head(), m.zonesFrom(0, len(m.st.Zones)), apart(m.secondaries(), m.height), apart(m.senders(), m.height), apart(m.faults(), m.height))
	return strings.Join(lines, "\n") + "\n"
}

const (
	bold   = "\x1b[1m"
	red    = "\x1b[31m"
	invert = "\x1b[7m"
	plain  = "\x1b[0m"
)

// fitted cuts lines to the terminal, puts foot at the bottom, and marks headings.
func (m *topModel) fitted(lines []string, height int, foot []string) string {
	lines = lines[:min(len(lines), max(height, 0))]
	for len(lines) < height {
		lines = append(lines, "")
	}
	lines = append(lines, foot...)
	for i, l := range lines {
		l = cut(l, m.width)
		if m.styled {
			l = style(l, i == len(lines)-1)
		}
		lines[i] = l
	}
	return strings.Join(lines, "\n")
}

func style(line string, last bool) string {
	switch {
	case line == "":
		return ""
	case last:
		return invert + line + plain
	case strings.HasPrefix(line, "FAULT"), strings.HasPrefix(line, "! "):
		return red + line + plain
	case strings.HasPrefix(line, "dialtone"), strings.HasPrefix(line, "ZONE"), strings.HasPrefix(line, "SECONDARY"), strings.HasPrefix(line, "SENDER"):
		return bold + line + plain
	}
	return line
}

// cut makes a line fit, and safe: what is no printable character could move the cursor.
func cut(line string, width int) string {
	line = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, line)
	if utf8.RuneCountInString(line) <= width {
		return line
	}
	return string([]rune(line)[:max(width, 0)])
}

// apart puts an empty line before a part, where there is room for that.
func apart(lines []string, height int) []string {
	if len(lines) == 0 || height < 24 {
		return lines
	}
	return append([]string{""}, lines...)
}

func upTo(lines []string, n int) []string {
	if len(lines) <= n {
		return lines
	}
	if n <= 0 {
		return nil
	}
	return append(lines[:n-1:n-1], fmt.Sprintf("  and %d more", len(lines)-n+1))
}

func (m *topModel) head() []string {
	st := &m.st
	first := fmt.Sprintf("%s  up %s  %s", st.Version, age(st.Uptime), st.Now.UTC().Format(time.DateTime+"Z"))
	if m.stopped {
		first += "  stopped: space goes on"
	}
	lines := []string{first}
	if m.err != nil {
		lines[0] = fmt.Sprintf("! no answer since %s: %v", st.Now.UTC().Format(time.TimeOnly+"Z"), m.err)
	}
	lines = append(lines, m.rate("queries", st.Rates.Queries, st.Rates.QueriesEach), m.rate("updates", st.Rates.Updates, st.Rates.UpdatesEach))
	last := "none yet"
	if st.Sync != nil {
		last = fmt.Sprintf("last %s ago in %s", age(st.Now.Sub(st.Sync.At).Seconds()), milli(st.Sync.Took))
	}
	return append(lines,
		fmt.Sprintf("failed %s/s  transfers %s/s  dropped %s/s  syncs %s/s, %s", perSecond(st.Rates.UpdateFailures.Second),
			perSecond(st.Rates.Transfers.Second), perSecond(st.Rates.Dropped.Second), perSecond(st.Rates.Syncs.Second), last),
		fmt.Sprintf("waiting %s (of %s a zone)  messages %s/%s  TCP %s/%s  numbers %s  leases %s", grouped(st.Queue.Updates), grouped(st.Queue.Limit),
			grouped(st.Queue.Messages.Used), grouped(st.Queue.Messages.Limit), grouped(st.TCP.Used), grouped(st.TCP.Limit),
			grouped(st.Numbers), grouped(st.Leases)), "")
}

// rate is a line with a graph of the last minute.
func (m *topModel) rate(name string, r dnsserver.Rate, each []uint64) string {
	text := fmt.Sprintf("%s %9s/s  %9s/s in a minute  ", name, perSecond(r.Second), perSecond(r.Minute))
	return text + graph(each, max(m.width-utf8.RuneCountInString(text), 0))
}

var bars = []rune(" ▁▂▃▄▅▆▇█")

// graph draws the newest values, each as high as its part of the largest.
func graph(values []uint64, width int) string {
	values = values[max(len(values)-width, 0):]
	if len(values) == 0 {
		return ""
	}
	top := max(slices.Max(values), 1)
	out := make([]rune, len(values))
	for i, v := range values {
		// Whatever is there is seen.
		out[i] = bars[(v*uint64(len(bars)-1)+top-1)/top]
	}
	return string(out)
}

func (m *topModel) zonesFrom(offset, rows int) []string {
	zones := m.zones()
	offset = max(min(offset, len(zones)-rows), 0)
	heading := make([]string, len(topColumns))
	for i, c := range topColumns {
		heading[i] = c.name
		if i == m.column {
			heading[i] += map[bool]string{false: "*", true: "^"}[m.reversed]
		}
	}
	heading[0] = strings.ToUpper(heading[0][:4]) + heading[0][4:]
	more := m.st.ZonesTotal - min(len(zones), offset+rows)
	shown := zones[offset:min(offset+rows, len(zones))]
	if more > 0 && rows > 1 && len(shown) == rows {
		shown = shown[:rows-1]
		more++
	}
	lines := linesOf(strings.Join(slices.Insert(heading, 1, "serial"), "\t"), func(row func(...any)) {
		for _, z := range shown {
			name := z.Zone
			if z.Fault != "" {
				name = "! " + name
			}
			row(name, z.Serial, perSecond(m.moves[z.Zone]), grouped(z.Numbers), grouped(z.Leases), grouped(z.Queue), octets(z.Journal), changedText(m.st.Now, z))
		}
	})
	if more > 0 && rows > 1 {
		lines = append(lines, fmt.Sprintf("  and %s more", grouped(more)))
	}
	return lines
}

// secondaries come with a heading; nothing when there are none.
func (m *topModel) secondaries() []string {
	if len(m.st.Secondaries) == 0 {
		return nil
	}
	return linesOf("SECONDARY\tzone\tserial\tstate\tNOTIFY", func(row func(...any)) {
		for _, x := range m.st.Secondaries {
			serial, name := "?", x.Address
			if x.Serial != nil {
				serial = fmt.Sprint(*x.Serial)
			}
			if x.Fault != "" {
				name = "! " + name
			}
			row(name, x.Zone, serial, shortLag(x), shortNotify(m.st.Now, x))
		}
	})
}

// senders are those of many updates; nothing when there are none.
func (m *topModel) senders() []string {
	if len(m.st.Senders) == 0 {
		return nil
	}
	return linesOf(senderColumns, senderRows(m.st.Senders))
}

// shortLag and shortNotify are for a narrow terminal what lagText and notifyText say.
func shortLag(x dnsserver.SecondaryStatus) string {
	switch {
	case x.State == dnsserver.SecondaryBehind && x.Older:
		return fmt.Sprintf("behind %s", grouped(int(x.Serials)))
	case x.State == dnsserver.SecondaryBehind:
		return fmt.Sprintf("behind %s, %s", grouped(int(x.Serials)), age(x.Seconds))
	}
	return string(x.State)
}

func shortNotify(now time.Time, x dnsserver.SecondaryStatus) string {
	switch {
	case !x.Target:
		return "-"
	case x.Missed > 0:
		return fmt.Sprintf("missed %d", x.Missed)
	case x.Told == nil:
		return "none yet"
	}
	return fmt.Sprintf("%d, %s", *x.Told, ago(now, x.ToldAt))
}

func (m *topModel) faults() (lines []string) {
	for _, f := range m.st.Faults {
		lines = append(lines, strings.TrimSpace(fmt.Sprintf("FAULT %s %s: %s", f.Kind, f.Zone, f.Text)))
	}
	for _, l := range m.st.Limits {
		if l.Minute > 0 {
			lines = append(lines, fmt.Sprintf("limit %s reached %s in the last minute", l.Limit, plural(int(l.Minute), "time")))
		}
	}
	return lines
}

func (m *topModel) foot() []string {
	order := topColumns[m.column].name
	return []string{cut(fmt.Sprintf("q quit  s sort (%s)  r reverse  arrows scroll  space stop  ? keys", order), m.width)}
}

var topHelp = []string{
	"  q, Esc, Ctrl-C       quit",
	"  s                    sort the zones by the next column; * is at the one",
	"  r                    sort the other way round",
	"  up, down, Page Up, Page Down, Home, End",
	"                       scroll the zones",
	"  space                stop, and go on",
	"  ?                    this list, and back",
}

// linesOf is columns as lines.
func linesOf(heading string, rows func(row func(cells ...any))) []string {
	var b bytes.Buffer
	columns(&b, heading, rows)
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}
