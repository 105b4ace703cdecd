package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"dialtone/dnsserver"
)

// overview is how the server is. All pages share it: it is made at most once a
// second, and when the server is so large that this takes long, less often.
type overview struct {
	mu struct {
		sync.Mutex
		now  moment
		next time.Time
	}
}

// moment is one overview, in all its forms.
type moment struct {
	view overviewView
	// HTML of the parts of the page
	faults, secondaries string
	rates               string // JSON
}

// overviewView is what the template shows.
type overviewView struct {
	Version         string
	Numbers, Leases int
	Queries         string // a second
	Updates         string
	Queue           int
	Zones           int
	Started         time.Time
	Faults          []dnsserver.Fault
	MoreFaults      int
	Secondaries     []secondaryView
	MoreSecondaries int
	Rates           string // JSON
}

// secondaryView is a row of the table.
type secondaryView struct {
	Zone, Address, Class, State, Detail string
	Since                               time.Time // of which its zone is, when it is behind
}

// Rows that are shown; the worst come first.
const maxRows = 50

// restFor keeps the making of overviews at a twentieth of a core.
const restFor = 20

func (o *overview) get(from Source) moment {
	o.mu.Lock()
	defer o.mu.Unlock()
	begun := time.Now()
	if begun.Before(o.mu.next) {
		return o.mu.now
	}
	o.mu.now = momentOf(from.Status())
	o.mu.next = begun.Add(max(900*time.Millisecond, restFor*time.Since(begun)))
	return o.mu.now
}

// chartRates are what the charts show.
type chartRates struct {
	Queries []uint64 `json:"queries"` // in each second, the oldest first
	Updates []uint64 `json:"updates"`
	Numbers int      `json:"numbers"`
	Leases  int      `json:"leases"`
	Queue   int      `json:"queue"`
	Q       float64  `json:"q"` // in the last second
	U       float64  `json:"u"`
}

func momentOf(st dnsserver.Status) (m moment) {
	// Marshalling numbers does not fail.
	rates, _ := json.Marshal(chartRates{
		st.Rates.QueriesEach, st.Rates.UpdatesEach, st.Numbers, st.Leases, st.Queue.Updates, st.Rates.Queries.Second, st.Rates.Updates.Second,
	})
	m.rates = string(rates)
	m.view = overviewView{
		Version: st.Version, Numbers: st.Numbers, Leases: st.Leases, Queue: st.Queue.Updates, Zones: st.ZonesTotal, Started: st.Started,
		Queries: rate(st.Rates.Queries.Second), Updates: rate(st.Rates.Updates.Second),
		Faults: st.Faults[:min(len(st.Faults), maxRows)], Rates: m.rates,
	}
	m.view.MoreFaults = st.FaultsTotal - len(m.view.Faults)
	for i := range st.Secondaries[:min(len(st.Secondaries), maxRows)] {
		m.view.Secondaries = append(m.view.Secondaries, secondaryOf(&st.Secondaries[i]))
	}
	m.view.MoreSecondaries = st.SecondariesTotal - len(m.view.Secondaries)
	m.faults, m.secondaries = fragment("faults", m.view), fragment("secondaries", m.view)
	return m
}

func rate(v float64) string { return grouped(int(math.Round(v))) }

func secondaryOf(x *dnsserver.SecondaryStatus) secondaryView {
	v := secondaryView{Zone: x.Zone, Address: x.Address, Class: string(x.State)}
	switch x.State {
	case dnsserver.SecondaryCurrent:
		v.State = "up to date"
	case dnsserver.SecondaryBehind:
		v.State, v.Since = "behind", x.Since
		switch {
		case x.Older:
			v.State = "behind, by more than the journal knows"
		case x.Changes == 1:
			v.State = "1 change behind"
		case x.Changes > 0:
			v.State = fmt.Sprintf("%s changes behind", grouped(int(x.Changes)))
		}
	case dnsserver.SecondaryAhead:
		v.State = "ahead of this server"
	default:
		v.State = "not known"
		v.Detail = "It has fetched nothing since this server started."
	}
	if x.Fault != "" { // which stands above, among the faults
		v.Class = "fault"
	}
	return v
}

// fragment is a template as text. What it is given always has what the template wants.
func fragment(name string, v any) string {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, v); err != nil {
		return ""
	}
	return b.String()
}
