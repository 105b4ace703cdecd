package main

import (
	"cmp"
	"context"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"

	"dialtone/dnsserver"
)

// topModel is what dialtone top shows. It is a tea.Model, and knows no terminal.
type topModel struct {
	ask   func(context.Context) (dnsserver.Status, error)
	every time.Duration

	st    dnsserver.Status
	err   error              // of the last look; st is the one before then
	moves map[string]float64 // changes a second of each zone since the look before

	width, height int
	column        int // that zones are sorted by, of topColumns
	reversed      bool
	offset        int // zones that are scrolled away
	stopped, help bool
	styled        bool
}

// topColumns are what zones can be sorted by. The names come in alphabetical order, of figures the largest is first.
var topColumns = []struct {
	name    string
	compare func(m *topModel, a, b *dnsserver.ZoneStatus) int
}{
	{"zone", func(*topModel, *dnsserver.ZoneStatus, *dnsserver.ZoneStatus) int { return 0 }}, // as they come
	{"changes/s", func(m *topModel, a, b *dnsserver.ZoneStatus) int {
		return cmp.Compare(m.moves[b.Zone], m.moves[a.Zone])
	}},
	{"numbers", func(_ *topModel, a, b *dnsserver.ZoneStatus) int { return cmp.Compare(b.Numbers, a.Numbers) }},
	{"leases", func(_ *topModel, a, b *dnsserver.ZoneStatus) int { return cmp.Compare(b.Leases, a.Leases) }},
	{"queue", func(_ *topModel, a, b *dnsserver.ZoneStatus) int { return cmp.Compare(b.Queue, a.Queue) }},
	{"journal", func(_ *topModel, a, b *dnsserver.ZoneStatus) int { return cmp.Compare(b.Journal, a.Journal) }},
	{"changed", func(_ *topModel, a, b *dnsserver.ZoneStatus) int { return b.Changed.Compare(a.Changed) }},
}

func newTopModel(ask func(context.Context) (dnsserver.Status, error), every time.Duration) *topModel {
	return &topModel{ask: ask, every: every, width: 80, height: 24, moves: map[string]float64{}}
}

type (
	topDue    struct{}
	topAnswer struct {
		st  dnsserver.Status
		err error
	}
)

func (m *topModel) due() tea.Cmd {
	return tea.Tick(m.every, func(time.Time) tea.Msg { return topDue{} })
}

func (m *topModel) look() tea.Msg {
	ctx, cancel := context.WithTimeout(context.Background(), topPatience)
	defer cancel()
	st, err := m.ask(ctx)
	return topAnswer{st, err}
}

// Init is of tea.Model.
func (m *topModel) Init() tea.Cmd { return m.due() }

// Update is of tea.Model.
func (m *topModel) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case topDue:
		if m.stopped {
			return m, m.due()
		}
		return m, m.look
	case topAnswer:
		m.take(msg.st, msg.err)
		return m, m.due()
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

func (m *topModel) key(name string) tea.Cmd {
	switch name {
	case "q", "ctrl+c", "esc":
		return tea.Quit
	case "s":
		m.column, m.offset = (m.column+1)%len(topColumns), 0
	case "r":
		m.reversed, m.offset = !m.reversed, 0
	case "space":
		m.stopped = !m.stopped
	case "?", "h":
		m.help = !m.help
	case "up", "k":
		m.offset--
	case "down", "j":
		m.offset++
	case "pgup":
		m.offset -= m.height / 2
	case "pgdown":
		m.offset += m.height / 2
	case "home":
		m.offset = 0
	case "end":
		m.offset = len(m.st.Zones)
	}
	m.offset = max(min(m.offset, len(m.st.Zones)-1), 0)
	return nil
}

// take takes an answer; after a fault the last one stays.
func (m *topModel) take(st dnsserver.Status, err error) {
	if m.err = err; err != nil {
		return
	}
	before := map[string]uint32{}
	for _, z := range m.st.Zones {
		before[z.Zone] = z.Serial
	}
	took := st.Now.Sub(m.st.Now).Seconds()
	clear(m.moves)
	for _, z := range st.Zones {
		if serial, known := before[z.Zone]; known && took > 0 && st.PID == m.st.PID {
			m.moves[z.Zone] = float64(z.Serial-serial) / took
		}
	}
	m.st = st
}

// zones are those of the status in the chosen order.
func (m *topModel) zones() []dnsserver.ZoneStatus {
	list := slices.Clone(m.st.Zones)
	slices.SortStableFunc(list, func(a, b dnsserver.ZoneStatus) int { return topColumns[m.column].compare(m, &a, &b) })
	if m.reversed {
		slices.Reverse(list)
	}
	return list
}
