package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/dnsserver/busiest"
	"dialtone/dnsserver/ratelimit"
	"dialtone/dnsserver/tap"
	"dialtone/dnsserver/transfer"
	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// Server is a running server.
type Server struct {
	Counters    Counters
	instruments instruments
	phase       phase

	opts      fixed
	current   atomic.Pointer[conf]
	reloading sync.Mutex // orders reloads, and Shutdown after them

	log     *slog.Logger
	keys    *tsig.Keyring
	store   *store.Store
	zones   *zone.Zones
	built   map[rr.Name]*zone.Loaded // by this start, from the zone's file; not changed after it
	unzoned ruleTally                // updates of no zone that is here

	waiting  *zone.Waiting // updates in the queues of all zones
	senders  senders
	updaters busiest.Counter[updater]
	refusals refusals
	// leasing are the zones with leases. Of very many zones few may have any, and all would be looked at four times a
	// second: with 100,000 that was a tenth of a processor.
	leasing struct {
		sync.Mutex
		zones []*zone.Zone
	}

	sources        sources
	answered       answered
	publicKeys     publicKeys
	strangers      quota                             // of those that have signed nothing right of late
	verifying      sync.RWMutex                      // held for reading from the verification of an update until it is in a queue
	limiter        atomic.Pointer[ratelimit.Limiter] // nil: no response is limited
	transferServer *transfer.Server
	yielder        yielder
	notifier       *transfer.Notifier

	listeners []*listener
	tallies   []*batchTally // one for each reader of UDP
	metrics   *metricsServer
	rates     rates
	copies    *transfer.Copies
	started   time.Time
	commands  commands
	tcp       connections
	workers   workers
	slow      slowQueues
	queries   queryLog
	tap       *tap.Tap // nil: off
	watch     bool     // by tap or queries
	late      lateReplies

	// ctx ends with Shutdown; it cuts transfers.
	ctx    context.Context
	cancel context.CancelFunc

	// The server's goroutines, in the order in which Shutdown waits for them.
	readers, slowWorkers, transfers, lateSender, queryLogger sync.WaitGroup

	stopped atomic.Bool
}

// Start opens the store in o.DataDir, seeds the zones that it does not hold yet from their master
// files, loads all zones, binds every socket and serves until Shutdown. It returns when queries are
// answered. ctx bounds the start only.
//
// The errors that a user can do something about are *BindError (all addresses that cannot be bound),
// *ZoneError (one for each zone at fault, joined) and *DataDirError. After an error
// nothing is left running or open.
func Start(ctx context.Context, o Options) (*Server, error) {
	s := newServer(o)
	limits := s.conf().Limits
	s.waiting = zone.NewWaiting(limits.UpdateQueueTotal)
	s.senders.init(limits)
	s.refusals.set(limits.LoggedRefusals)
	s.yielder.init()
	s.sources.init(s.opts.Now(), limits.SourceUpdates)
	s.answered.init(s.opts.Now(), limits.UpdateAnswers)
	s.strangers = newQuota(limits.TSIGVerifications)
	s.publicKeys.init(s.opts.Now(), limits.KeyVerifications, limits.ClaimsPerSource)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.open(ctx); err != nil {
		s.release()
		return nil, err
	}
	s.run()
	return s, nil
}

// open takes everything that can be refused. The addresses come before the zones, which may take long
// to load.
func (s *Server) open(ctx context.Context) error {
	var err error
	s.commands.init(s)
	if s.keys, err = tsig.NewKeyring(s.conf().Keys, tsig.Options{Lookup: s.commands.book.Find, Cached: s.conf().Limits.KeyCache}); err != nil {
		return err
	}
	if s.tap, err = s.newTap(); err != nil {
		return err
	}
	s.queries.init(s.opts.QuerySample)
	s.watch = s.tap != nil || s.opts.QuerySample > 0
	var bindErr, metricsErr error
	s.listeners, bindErr = bindAll(ctx, s.conf().Options, s.instruments.batchAnswered)
	s.metrics, metricsErr = listenMetrics(ctx, s)
	if bindErr == nil && metricsErr == nil { // what is made can be served
		s.metrics.run()
		if err := s.build(ctx); err != nil {
			return err
		}
	}
	if s.store, err = store.Open(s.storeOptions()); err != nil {
		err = &DataDirError{err}
	}
	if err = errors.Join(bindErr, metricsErr, err); err != nil {
		return err
	}
	s.commands.listen()
	if err := s.loadZones(ctx); err != nil {
		return err
	}
	s.commands.book.SetZones(s.keyZones())
	return nil
}

// release gives back what open took. It is for a server whose goroutines have ended or never began.
func (s *Server) release() error {
	s.cancel()
	var faults []error
	for _, l := range s.listeners {
		l.close()
	}
	s.metrics.close()
	s.tap.Close()
	s.commands.close()
	s.yielder.close()
	faults = append(faults, s.closeZones())
	if s.store != nil {
		faults = append(faults, s.store.Close())
	}
	return errors.Join(faults...)
}

// closeZones commits what waits in all zones' queues.
func (s *Server) closeZones() error {
	served := s.conf().byApex
	faults := make([]error, len(served))
	var wg sync.WaitGroup
	i := 0
	for _, z := range served {
		fault := &faults[i]
		i++
		wg.Go(func() {
			if err := z.z.Close(); err != nil {
				*fault = fmt.Errorf("zone %s: %w", z.o.Apex, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(faults...)
}

// run starts the goroutines. Each ends in Shutdown, at the step that is named.
func (s *Server) run() {
	conf := *s.conf()
	limits := conf.Limits
	conf.responder = s.newResponder(&conf)
	s.current.Store(&conf)
	s.started = s.opts.Now()
	s.SetRateLimit(conf.RateLimit)
	s.endLeases(s.opts.Now()) // those that ended while no server was running
	s.transferServer = transfer.NewServer(s.transferOptions(&conf))
	s.copies = transfer.NewCopies(maxCopies)
	s.notifier = transfer.NewNotifier(transfer.NotifyOptions{Keys: s.keys, Logger: s.log})
	s.tcp.init()
	s.slow.init(limits.Readers, limits.SlowQueue)
	s.late.wake = make(chan struct{}, 1)

	s.lateSender.Go(s.sendLate)    // ends with late.close
	s.queryLogger.Go(s.logQueries) // ends when its queue is closed
	for _, q := range s.slow.queues {
		s.slowWorkers.Go(func() { s.workSlow(q) }) // ends with slow.close
	}
	for _, l := range s.listeners {
		for _, sock := range l.sockets {
			replies := new(batchTally)
			s.tallies = append(s.tallies, replies)
			s.readers.Go(func() { s.readUDP(sock, replies) }) // ends with sock.Stop
		}
		s.readers.Go(func() { s.accept(l.tcp) }) // ends when l.tcp is closed
	}
	s.readers.Go(s.tick) // ends with ctx
	for _, z := range conf.byApex {
		s.notifySecondaries(z)
	}
	s.phase.now.Store(phaseServing)
	s.commands.run()
	s.log.Info("serving", "op", "start", "zones", len(conf.byApex), "listen", s.Addrs())
}

// ticks is how often tick looks at the leases: none may be answered for a second
// after its end.
const ticks = 4

// tick keeps the clocks of cookies and rate limits right and ends leases.
func (s *Server) tick() {
	t := time.NewTicker(time.Second / ticks)
	defer t.Stop()
	var limiter *ratelimit.Limiter
	for i := 0; ; i++ {
		select {
		case <-t.C:
		case <-s.ctx.Done():
			return
		}
		now := s.lookAtClock()
		limiter = s.tickLimiter(limiter, now)
		if i%ticks == 0 {
			s.answered.tick(now)
			s.tellLeftOut()
			s.rates.take(s.count(time.Now()))
		}
	}
}

// lookAtClock ends leases, and tells the responder what time it is.
func (s *Server) lookAtClock() time.Time {
	now := s.opts.Now()
	s.endLeases(now)
	s.conf().responder.SetTime(now)
	return now
}

func (s *Server) endLeases(now time.Time) {
	s.leasing.Lock()
	zones := s.leasing.zones
	if slices.ContainsFunc(zones, (*zone.Zone).Closed) {
		zones = slices.DeleteFunc(slices.Clone(zones), (*zone.Zone).Closed)
		s.leasing.zones = zones
	}
	s.leasing.Unlock()
	for _, z := range zones { // not with the lock, which zones' writers take
		z.EndLeases(now)
	}
}

// leases notes a zone that has come to have leases.
func (s *Server) leases(z *zone.Zone) {
	s.leasing.Lock()
	defer s.leasing.Unlock()
	s.leasing.zones = append(s.leasing.zones, z)
}

// Addrs are the bound addresses in the order of Options.Listen, with the ports that were taken for
// port 0; each on UDP and TCP.
func (s *Server) Addrs() []netip.AddrPort {
	addrs := make([]netip.AddrPort, len(s.listeners))
	for i, l := range s.listeners {
		addrs[i] = l.addr
	}
	return addrs
}

// MetricsAddr is the bound address of Options.MetricsListen; the zero value when metrics are off.
func (s *Server) MetricsAddr() netip.AddrPort { return s.metrics.addr() }

// Zones gives the zones that are served.
func (s *Server) Zones() *zone.Zones { return s.zones }

// Shutdown stops accepting, answers what was read, commits and answers the updates that wait, and
// closes the store. Transfers are cut. When ctx ends first the connections are cut too, but what was
// queued is committed all the same. It returns the faults of closing; a second call does nothing.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.stopped.Swap(true) {
		return nil
	}
	begun := time.Now()
	s.phase.now.Store(phaseStopping)
	s.cancel()
	defer context.AfterFunc(ctx, s.tcp.cut)()

	// Nothing new comes in.
	for _, l := range s.listeners {
		l.tcp.Close()
		for _, sock := range l.sockets {
			sock.Stop()
		}
	}
	s.tcp.stop()
	s.readers.Wait()
	s.tcp.stop() // those accepted meanwhile
	s.slow.close()
	s.slowWorkers.Wait()

	// What came in is committed and answered.
	s.commands.close()
	s.reloading.Lock() // a reload that had begun has ended, and none begins any more
	defer s.reloading.Unlock()
	s.notifier.Close()
	err := s.closeZones()
	s.tcp.ended.Wait()
	s.transfers.Wait()
	s.late.close()
	s.lateSender.Wait()
	close(s.queries.queue)
	s.queryLogger.Wait()

	err = errors.Join(err, s.release())
	s.workers.close()
	if err != nil {
		s.log.Error("stopped with faults", "op", "stop", "took", time.Since(begun), "err", err)
		return err
	}
	s.log.Info("stopped", "op", "stop", "took", time.Since(begun))
	return nil
}
