package dnsserver

import (
	"cmp"
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"dialtone/dnsserver/control"
	"dialtone/zone"
)

// RequestStatus is the request for a Status.
const RequestStatus = "status"

// StatusQuestion asks for the status of one zone, or of the whole server.
type StatusQuestion struct {
	Zone string `json:"zone,omitempty"`
}

// Status is what a running server tells of itself. Of zones, secondaries and
// faults there are at most maxListed each: the totals tell of more.
type Status struct {
	Version string    `json:"version"`
	PID     int       `json:"pid"`
	Started time.Time `json:"started"`
	Now     time.Time `json:"now"`
	Uptime  float64   `json:"uptime_seconds"`

	Listen  []netip.AddrPort `json:"listen"`
	Metrics *netip.AddrPort  `json:"metrics,omitempty"`
	DataDir string           `json:"data_dir"`

	Rates Rates       `json:"rates"`
	Queue QueueStatus `json:"queue"`
	TCP   Use         `json:"tcp_connections"`
	Sync  *SyncStatus `json:"last_sync,omitempty"` // none since the start
	Disk  *DiskStatus `json:"disk,omitempty"`      // where the system tells

	Numbers int `json:"numbers"` // in all zones
	Leases  int `json:"leases"`  // likewise

	ZonesTotal       int               `json:"zones_total"`
	Zones            []ZoneStatus      `json:"zones"`
	SecondariesTotal int               `json:"secondaries_total"`
	Secondaries      []SecondaryStatus `json:"secondaries"` // those with a fault first, then those that are behind
	Senders          []SenderStatus    `json:"senders"`     // of many updates, the busiest first
	Limits           []LimitHits       `json:"limits"`      // that were reached since the start
	FaultsTotal      int               `json:"faults_total"`
	Faults           []Fault           `json:"faults"`
}

// maxListed bounds each list of a Status.
const maxListed = 1000

// QueueStatus is what waits.
type QueueStatus struct {
	// Updates are those that wait for the writers of all zones; each zone takes Limit of them.
	Updates int    `json:"updates"`
	Fullest string `json:"fullest,omitempty"` // the zone with the most, if any has some
	InIt    int    `json:"in_fullest,omitempty"`
	Limit   int    `json:"limit"`
	// Messages are those over UDP that are no plain queries and wait for a worker.
	Messages Use `json:"messages"`
}

// Use is how much of a limit is used.
type Use struct {
	Used  int `json:"used"`
	Limit int `json:"limit"`
}

// SyncStatus is the newest sync of the data directory.
type SyncStatus struct {
	At   time.Time `json:"at"` // when it began
	Took float64   `json:"took_seconds"`
}

// DiskStatus is the file system of the data directory, in octets.
type DiskStatus struct {
	Free    int64 `json:"free"`
	Reserve int64 `json:"reserve"` // with less free, updates get SERVFAIL
}

// ZoneStatus is one zone.
type ZoneStatus struct {
	Zone    string `json:"zone"`
	Serial  uint32 `json:"serial"`
	Names   int    `json:"names"`   // with records
	Numbers int    `json:"numbers"` // of them, the very names of terminal numbers
	Leases  int    `json:"leases"`  // numbers with a lease
	Queue   int    `json:"queue"`   // updates that wait

	Journal        int64     `json:"journal_octets"`
	JournalEntries uint64    `json:"journal_entries"` // changes that incremental transfers can be made from
	JournalFrom    uint32    `json:"journal_from"`    // the oldest serial that they lead from
	Changed        time.Time `json:"changed,omitzero"`
	Committed      time.Time `json:"committed,omitzero"` // the last commit since the start; leases need not change the zone
	Frozen         time.Time `json:"frozen,omitzero"`    // since when an operator keeps it from changing
	Fault          string    `json:"fault,omitempty"`    // why it takes no updates
}

// Fault is something that somebody has to see to.
type Fault struct {
	Kind  FaultKind `json:"kind"`
	Zone  string    `json:"zone,omitempty"`
	Text  string    `json:"text"` // what is wrong, and what to do
	Since time.Time `json:"since,omitzero"`
}

// FaultKind is what a Fault is about.
type FaultKind string

// The kinds of faults.
const (
	FaultStore     FaultKind = "store"     // the data directory takes no commits
	FaultDisk      FaultKind = "disk"      // its file system is full, or soon will be
	FaultSocket    FaultKind = "socket"    // commands cannot reach the server
	FaultMetrics   FaultKind = "metrics"   // metrics are not served
	FaultSecondary FaultKind = "secondary" // a secondary does not answer, or has an old zone
)

// Status tells what the server does and whether something is wrong.
func (s *Server) Status() Status { return s.status(s.zones.All()) }

func (c *commands) status(_ context.Context, _ control.Peer, q StatusQuestion) (Status, error) {
	if c.s.phase.now.Load() != phaseServing {
		return Status{}, control.Mistakef("no server runs on %s: there is nothing to tell", c.s.opts.DataDir)
	}
	if q.Zone == "" {
		return c.s.Status(), nil
	}
	z, err := c.namedZone(q.Zone)
	if err != nil {
		return Status{}, err
	}
	return c.s.status([]*zone.Zone{z.z}), nil
}

func (s *Server) status(zones []*zone.Zone) Status {
	now, samples, counted := s.opts.Now(), s.rates.all(), s.count(time.Now())
	st := Status{
		Version: s.opts.Version, PID: os.Getpid(), Started: s.started, Now: now, Uptime: now.Sub(s.started).Seconds(),
		Listen: s.Addrs(), DataDir: s.opts.DataDir, Rates: ratesOf(samples, counted),
		Queue:   QueueStatus{Limit: s.conf().Limits.UpdateQueue, Messages: s.slow.use()},
		TCP:     Use{int(s.Counters.TCPOpen.Load()), s.conf().Limits.TCPConnections},
		Senders: s.busiest(now), Zones: []ZoneStatus{}, ZonesTotal: len(zones), Limits: s.reached(samples, counted),
	}
	if dir, err := filepath.Abs(st.DataDir); err == nil {
		st.DataDir = dir // who asks may be elsewhere
	}
	if a := s.MetricsAddr(); a.IsValid() {
		st.Metrics = &a
	}
	if last, ok := s.store.LastSync(); ok {
		st.Sync = &SyncStatus{last.Begun, last.Took.Seconds()}
	}
	if free, reserve, ok := s.store.Space(); ok {
		st.Disk = &DiskStatus{free, reserve}
	}
	reader := zone.NewReader()
	defer reader.Close()
	for _, z := range zones {
		x := zoneStatus(reader, z)
		st.Numbers += x.Numbers
		st.Leases += x.Leases
		if st.Queue.Updates += x.Queue; x.Queue > st.Queue.InIt {
			st.Queue.Fullest, st.Queue.InIt = x.Zone, x.Queue
		}
		if len(st.Zones) < maxListed {
			withJournal(&x, z)
			st.Zones = append(st.Zones, x)
		}
	}
	st.Secondaries = s.secondaries(reader, zones, now)
	st.Faults = s.faults(&st, zones)
	st.SecondariesTotal, st.FaultsTotal = len(st.Secondaries), len(st.Faults)
	st.Secondaries = st.Secondaries[:min(len(st.Secondaries), maxListed)]
	st.Faults = st.Faults[:min(len(st.Faults), maxListed)]
	return st
}

func zoneStatus(reader *zone.Reader, z *zone.Zone) ZoneStatus {
	reader.Begin()
	defer reader.End()
	v := z.View()
	x := ZoneStatus{Zone: z.Apex().String(), Serial: v.Serial(), Numbers: v.Numbers(), Leases: z.Leases(), Queue: z.QueueLen(), Committed: z.Committed()}
	x.Names, _ = v.Size()
	x.Frozen, _ = z.Frozen()
	if err := z.Failed(); err != nil {
		x.Fault = err.Error()
	}
	return x
}

// withJournal adds what needs a look into the store. A store that cannot be read is told of as a fault when it
// cannot be written either.
func withJournal(x *ZoneStatus, z *zone.Zone) {
	if m, err := z.Stored(); err == nil {
		x.Journal, x.JournalEntries, x.JournalFrom = m.JournalSize, m.JournalCount, m.JournalFrom
	}
	if at, err := z.ChangedAt(); err == nil {
		x.Changed = at
	}
}

// faults looks for all that is wrong.
func (s *Server) faults(st *Status, zones []*zone.Zone) []Fault {
	list := []Fault{}
	for _, z := range zones {
		if err := z.Failed(); err != nil {
			list = append(list, Fault{FaultStore, z.Apex().String(),
				"updates get SERVFAIL, queries go on: " + err.Error() + ": see to the disk of the data directory; the server tries again every second", z.FailedSince()})
		}
	}
	if err := s.store.Failed(); err != nil && len(list) == 0 { // no update has come since
		list = append(list, Fault{Kind: FaultStore, Text: "updates get SERVFAIL, queries go on: " + err.Error() + ": see to the disk of the data directory; the server tries again every second"})
	}
	for _, z := range zones {
		if since, err := z.Damaged(); err != nil {
			list = append(list, Fault{FaultStore, z.Apex().String(),
				"what is stored of the zone is damaged: " + err.Error() + ": the server goes on from memory, and may refuse to start again: dialtone zone export comes before a restart, and dialtone store check then tells what is lost", since})
		}
	}
	if d := st.Disk; d != nil && d.Free < 2*d.Reserve {
		list = append(list, diskFault(d))
	}
	if err := s.commands.missing(); err != nil {
		list = append(list, Fault{Kind: FaultSocket, Text: "commands cannot reach the server: " + err.Error() + ": restart it when that is mended"})
	}
	if s.metrics.failed() {
		list = append(list, Fault{Kind: FaultMetrics, Text: "metrics are not served any more: see the log, and restart the server"})
	}
	for _, x := range st.Secondaries {
		if x.Fault != "" {
			list = append(list, Fault{FaultSecondary, x.Zone, x.Fault, x.Since})
		}
	}
	return list
}

func diskFault(d *DiskStatus) Fault {
	text := "the file system of the data directory is nearly full"
	if d.Free < d.Reserve {
		text = "the file system of the data directory is full, and updates get SERVFAIL"
	}
	return Fault{Kind: FaultDisk, Text: text + ": " + mebibytes(d.Free) + " are free, " + mebibytes(d.Reserve) + " must be: make room"}
}

// sortSecondaries puts first what needs to be seen. Otherwise they stay in the order of their zones.
func sortSecondaries(list []SecondaryStatus) {
	rank := func(x *SecondaryStatus) int {
		switch {
		case x.Fault != "":
			return 0
		case x.State == SecondaryBehind:
			return 1
		case x.State == SecondaryUnknown:
			return 2
		}
		return 3
	}
	slices.SortStableFunc(list, func(a, b SecondaryStatus) int {
		return cmp.Or(cmp.Compare(rank(&a), rank(&b)), cmp.Compare(b.Seconds, a.Seconds))
	})
}
