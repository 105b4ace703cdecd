package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"dialtone/dnsserver/control"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// RequestReload is the request to read the configuration again.
const RequestReload = "reload"

// ReloadQuestion is its value: there is nothing to choose.
type ReloadQuestion struct{}

// Reloaded tells what a reload has changed, in the words of the configuration.
type Reloaded struct {
	File    string   `json:"file,omitempty"`
	Changes []string `json:"changes"` // what is in force now
	Restart []string `json:"restart"` // what takes a restart and was left as it is
	Notes   []string `json:"notes"`   // warnings
}

// errNoReload says that there is no configuration to be read again.
var errNoReload = control.Mistakef("this server has no configuration that it could read again")

func (c *commands) reload(ctx context.Context, who control.Peer, _ ReloadQuestion) (Reloaded, error) {
	if c.s.phase.now.Load() != phaseServing {
		return Reloaded{}, control.Mistakef("no server runs on %s: it reads the configuration when it starts", c.s.opts.DataDir)
	}
	return c.s.Reload(ctx, who)
}

// Reload reads the configuration again (Options.Reread) and puts it in force, without losing a query or an update: what
// was begun under the old one ends under it. After an error nothing has changed, unless the error says so. It is noted
// in the audit log. Cancelling ctx ends the loading of new zones.
func (s *Server) Reload(ctx context.Context, who control.Peer) (Reloaded, error) {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	if s.opts.Reread == nil {
		return Reloaded{}, errNoReload
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	defer context.AfterFunc(s.ctx, stop)()
	applied := false
	out, err := s.opts.Reread(func(o Options) (Reloaded, error) {
		r, err := s.apply(ctx, o)
		applied = applied || err == nil
		return r, err
	})
	if err != nil {
		s.log.Warn("the configuration is not reloaded, nothing is changed", "op", "reload", "err", err)
		return Reloaded{}, err
	}
	if !applied {
		return out, nil
	}
	out.Changes, out.Restart, out.Notes = shortened(out.Changes), shortened(out.Restart), shortened(out.Notes)
	s.log.Info("configuration reloaded", "op", "reload", "changes", len(out.Changes), "restart", len(out.Restart))
	if err := s.audit(control.Entry{Action: "reload", Who: who, Detail: auditText(out)}); err != nil {
		return out, fmt.Errorf("the configuration is in force, but %w", err)
	}
	return out, nil
}

// shortened bounds what is told.
func shortened(list []string) []string {
	if more := len(list) - maxListed; more > 0 {
		list = append(list[:maxListed:maxListed], fmt.Sprintf("and %d more", more))
	}
	return list
}

// maxDetail is how much of a reload is noted in the audit log, in octets.
const maxDetail = 4096

func auditText(r Reloaded) string {
	text := "nothing has changed"
	if len(r.Changes) > 0 {
		text = strings.Join(r.Changes, "; ")
	}
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "..."
	}
	return text
}

// apply puts other options in force. All that can fail comes first.
func (s *Server) apply(ctx context.Context, o Options) (Reloaded, error) {
	old := s.conf()
	next := newConf(o)
	out := Reloaded{Changes: []string{}, Restart: keepFixed(&old.Options, &next.Options), Notes: []string{}}
	if next.ownSecret && old.ownSecret && !next.NoCookies && !old.NoCookies {
		next.CookieSecrets = old.CookieSecrets // cookies that are out there stay good
	}
	if err := s.checkReload(next); err != nil {
		return out, err
	}
	added, err := s.addZones(ctx, old, next)
	if err != nil {
		return out, err
	}
	var newcomers, leavers []*zone.Zone
	for _, z := range next.Zones {
		apex := z.Apex.Lower()
		if was := old.byApex[apex]; was != nil {
			if was.o.File != z.File {
				out.Notes = append(out.Notes, fmt.Sprintf("file of zone %s changed, and is not read: the data directory holds the zone. See dialtone zone import", z.Apex))
			}
			next.byApex[apex] = newServed(z, was.z, next.Limits)
			next.byApex[apex].told, next.byApex[apex].updates = was.told, was.updates
			continue
		}
		newcomers = append(newcomers, added[apex])
		next.byApex[apex] = newServed(z, added[apex], next.Limits)
	}
	for apex, z := range old.byApex {
		if next.byApex[apex] == nil {
			leavers = append(leavers, z.z)
		}
	}
	next.responder = s.newResponder(next)
	if err := s.keys.Replace(next.Keys); err != nil {
		return out, errors.Join(err, closeAll(newcomers))
	}
	if err := s.zones.Replace(leavers, newcomers); err != nil {
		return out, errors.Join(err, s.keys.Replace(old.Keys), closeAll(newcomers))
	}
	s.current.Store(next)
	s.settle(old, next)
	out.Changes = append(out.Changes, s.differences(old, next)...)
	if err := closeAll(leavers); err != nil {
		out.Notes = append(out.Notes, err.Error())
	}
	return out, nil
}

// checkReload finds what would keep a server from starting.
func (s *Server) checkReload(next *conf) error {
	if s.stopped.Load() {
		return errors.New("the server is stopping")
	}
	return refuseTwins(next.Zones)
}

// settle has all parts of the server use what is in force.
func (s *Server) settle(old, next *conf) {
	now, limits := s.opts.Now(), next.Limits
	s.sources.set(limits.SourceUpdates)
	s.answered.set(limits.UpdateAnswers)
	s.waiting.Set(limits.UpdateQueueTotal)
	s.senders.set(limits)
	s.refusals.set(limits.LoggedRefusals)
	if limits.KeyVerifications != old.Limits.KeyVerifications || limits.ClaimsPerSource != old.Limits.ClaimsPerSource {
		s.publicKeys.set(now, limits.KeyVerifications, limits.ClaimsPerSource)
	}
	if limits.TSIGVerifications != old.Limits.TSIGVerifications {
		s.strangers.set(limits.TSIGVerifications, now)
	}
	if !reflect.DeepEqual(old.RateLimit, next.RateLimit) {
		s.SetRateLimit(next.RateLimit)
	}
	s.transferServer.Set(s.transferOptions(next))
	s.commands.book.Set(next.Keys, s.keyZones())
	s.keys.ForgetAll(limits.KeyCache)
	for apex, z := range old.byApex {
		if next.byApex[apex] == nil && z.told {
			s.notifier.Replace(z.z, nil)
		}
	}
	for _, z := range next.byApex {
		z.z.SetBounds(bounds(z.o, limits))
		s.notifySecondaries(z)
	}
	s.awaitVerified()
	for apex, z := range old.byApex {
		if next.byApex[apex] == nil {
			s.copies.Forget(z.z)
		}
	}
}

// awaitVerified returns when all updates that were authorised by old rules are in their zones' queues, also of a zone that
// is closed next.
func (s *Server) awaitVerified() {
	s.verifying.Lock() // who held it for reading has left
	defer s.verifying.Unlock()
}

// addZones opens the zones that are new. Their files are read first, all of them, so that a fault in one leaves nothing
// of the others in the store.
func (s *Server) addZones(ctx context.Context, old, next *conf) (map[rr.Name]*zone.Zone, error) {
	added := map[rr.Name]*zone.Zone{}
	var news []ZoneOptions
	var faults []error
	for _, o := range next.Zones {
		if old.byApex[o.Apex.Lower()] != nil {
			continue
		}
		news = append(news, o)
		if err := s.checkFile(ctx, o); err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	var opened []*zone.Zone
	for _, o := range news {
		z, err := s.loadZone(ctx, o, next.Limits)
		if err != nil {
			return nil, errors.Join(err, closeAll(opened))
		}
		z.EndLeases(s.opts.Now())
		opened = append(opened, z)
		added[o.Apex.Lower()] = z
	}
	return added, nil
}

// checkFile finds faults of a zone's file that would be read.
func (s *Server) checkFile(ctx context.Context, o ZoneOptions) error {
	if err := ctx.Err(); err != nil {
		return &ZoneError{Apex: o.Apex, Err: err}
	}
	st, err := s.store.Zone(o.Apex)
	if err != nil {
		return &ZoneError{Apex: o.Apex, Err: err}
	}
	if _, loaded, err := st.Meta(); err != nil || loaded {
		return err
	}
	_, _, err = s.read(o)
	return err
}

func closeAll(zones []*zone.Zone) error {
	var faults []error
	for _, z := range zones {
		if err := z.Close(); err != nil {
			faults = append(faults, fmt.Errorf("zone %s: %w", z.Apex(), err))
		}
	}
	return errors.Join(faults...)
}
