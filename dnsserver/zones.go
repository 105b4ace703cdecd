package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/zone"
	"dialtone/zone/masterfile"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// Names of requests about zones.
const (
	RequestZoneExport = "zone/export" // a download
	RequestZoneImport = "zone/import" // an upload that is answered by a list
	RequestZoneFreeze = "zone/freeze"
	RequestZoneThaw   = "zone/thaw"
)

// ZoneQuestion is a request about a zone.
type ZoneQuestion struct {
	Zone string `json:"zone"`
}

// ZoneState is what a zone was when the answer was made.
type ZoneState struct {
	Zone   string    `json:"zone"`
	Serial uint32    `json:"serial"`
	Frozen time.Time `json:"frozen,omitzero"` // since when; for a thaw, since when it was
	Now    time.Time `json:"now"`
}

func (c *commands) registerZones() {
	control.HandleDownload(c.server, RequestZoneExport, c.exportZone)
	control.HandleUploadList(c.server, RequestZoneImport, MaxZoneImport, c.importZone)
	control.Handle(c.server, RequestZoneFreeze, c.freezeZone)
	control.Handle(c.server, RequestZoneThaw, c.thawZone)
}

// servedBy finds a zone that a running server serves.
func (c *commands) servedBy(name string) (*servedZone, error) {
	if len(c.s.conf().byApex) == 0 {
		return nil, control.Mistakef("no server runs on %s: nothing changes a zone there", c.s.opts.DataDir)
	}
	return c.namedZone(name)
}

func refuseFrozen(z *zone.Zone) error {
	if since, frozen := z.Frozen(); frozen {
		return control.Mistakef("%s is frozen since %s: dialtone zone thaw %s comes first", z.Apex(), since.UTC().Format(time.DateTime+"Z"), z.Apex())
	}
	return nil
}

// freezeZone returns when all that was taken before is done: from then on serial and records stay.
func (c *commands) freezeZone(_ context.Context, who control.Peer, q ZoneQuestion) (ZoneState, error) {
	z, err := c.servedBy(q.Zone)
	if err != nil {
		return ZoneState{}, err
	}
	if !z.z.Freeze(c.s.opts.Now()) {
		since, _ := z.z.Frozen()
		return ZoneState{}, control.Mistakef("%s is frozen already, since %s", z.o.Apex, since.UTC().Format(time.DateTime+"Z"))
	}
	op := &releaseOp{done: make(chan zone.Committed, 1)}
	if err := z.z.SubmitBehind(op); err == nil { // else nothing is done any more anyway
		<-op.done
	}
	out := c.zoneState(z.z)
	out.Frozen, _ = z.z.Frozen()
	if err := c.s.audit(control.Entry{Action: "zone freeze", Who: who, Zone: out.Zone, Detail: fmt.Sprintf("serial %d", out.Serial)}); err != nil {
		return out, fmt.Errorf("%s is frozen, but %w", out.Zone, err)
	}
	return out, nil
}

func (c *commands) thawZone(_ context.Context, who control.Peer, q ZoneQuestion) (ZoneState, error) {
	z, err := c.servedBy(q.Zone)
	if err != nil {
		return ZoneState{}, err
	}
	since, _ := z.z.Frozen()
	if !z.z.Thaw() {
		return ZoneState{}, control.Mistakef("%s is not frozen", z.o.Apex)
	}
	out := c.zoneState(z.z)
	out.Frozen = since
	if err := c.s.audit(control.Entry{Action: "zone thaw", Who: who, Zone: out.Zone, Detail: fmt.Sprintf("serial %d", out.Serial)}); err != nil {
		return out, fmt.Errorf("%s takes updates again, but %w", out.Zone, err)
	}
	return out, nil
}

func (c *commands) zoneState(z *zone.Zone) ZoneState {
	reader := zone.NewReader()
	defer reader.Close()
	reader.Begin()
	defer reader.End()
	return ZoneState{Zone: z.Apex().String(), Serial: z.View().Serial(), Now: c.s.opts.Now()}
}

// keptZone finds a zone in the data directory, whether it is served or not.
func (c *commands) keptZone(name string) (*store.Zone, error) {
	apex, err := rr.ParseName(name)
	if err != nil {
		return nil, control.Mistakef("zone %q: %v", name, err)
	}
	if c.s.store == nil {
		return nil, control.Mistakef("there is no data in %s yet", c.s.opts.DataDir)
	}
	if z, err := c.s.storedZone(apex); z != nil || err != nil {
		return z, err
	}
	return nil, control.Mistakef("there is no zone %s in %s%s", apex, c.s.opts.DataDir, c.keptNames())
}

func (c *commands) keptNames() string {
	names, err := c.s.store.Zones()
	if err != nil || len(names) == 0 {
		return ""
	}
	texts := make([]string, 0, 10)
	for _, n := range names[:min(len(names), 10)] {
		texts = append(texts, n.String())
	}
	if len(names) > len(texts) {
		texts = append(texts, "and others")
	}
	return ", only " + strings.Join(texts, " ")
}

// exportZone sends a zone of one moment as a master file.
func (c *commands) exportZone(_ context.Context, _ control.Peer, q ZoneQuestion, to io.Writer) error {
	z, err := c.keptZone(q.Zone)
	if err != nil {
		return err
	}
	if !c.exports.TryLock() {
		return control.Mistakef("another export is under way: one is made at a time")
	}
	defer c.exports.Unlock()
	e := exporting{c: c, to: to, apex: z.Apex()}
	for o, err := range z.All() {
		if err == nil {
			err = e.take(o)
		}
		if err != nil {
			return err
		}
	}
	return e.end()
}

// exporting writes an export. The RRsets of the apex come first, and the SOA record before all of them.
type exporting struct {
	c     *commands
	to    io.Writer
	apex  rr.Name
	w     *masterfile.Writer // nil before the SOA record
	first []rr.Octets        // of the apex, those before the SOA record
	sets  int
}

func (e *exporting) take(o *rr.Octets) error {
	if e.sets++; e.sets%1024 == 0 {
		e.c.s.yielder.yield()
	}
	switch {
	case e.w != nil:
		return e.w.Add(o)
	case o.Type != dns.TypeSOA:
		e.first = append(e.first, keep(o))
		return nil
	}
	soa, err := rr.ParseSOA(string(o.Data[0]))
	if err != nil {
		return err
	}
	e.w = masterfile.NewWriter(e.to, e.apex, o.TTL, fmt.Sprintf("zone %s serial %d, exported %s", e.apex, soa.Serial, e.c.s.opts.Now().UTC().Format(time.RFC3339)))
	err = e.w.Add(o)
	for i := range e.first {
		err = errors.Join(err, e.w.Add(&e.first[i]))
	}
	return err
}

// keep copies what a stream hands out.
func keep(o *rr.Octets) rr.Octets {
	owner, set := o.Clone()
	k := rr.Octets{Owner: []byte(owner), Type: set.Type, TTL: set.TTL}
	for _, d := range set.Data {
		k.Data = append(k.Data, []byte(d))
	}
	return k
}

func (e *exporting) end() error {
	if e.w == nil {
		return fmt.Errorf("zone %s has no SOA record", e.apex)
	}
	return e.w.Flush()
}
