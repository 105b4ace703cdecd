package dnsserver

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"

	"dialtone/dnsserver/control"
	"dialtone/dnsserver/keys"
	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"
	"dialtone/zone/store"
)

// commands are what a command of dialtone can ask of a running server, or do itself when there is none:
// Commands is the way to both.
type commands struct {
	s        *Server
	server   *control.Server
	listener net.Listener // nil: the socket could not be made, for fault
	fault    error
	log      *control.Audit
	book     *keys.Book
	// histories has room for those that are being read.
	histories chan struct{}
	exports   sync.Mutex // held by the one that is under way
	imports   sync.Mutex // likewise
	closing   sync.Once
}

func (c *commands) init(s *Server) {
	c.s = s
	c.server = control.NewServer(s.log)
	c.histories = make(chan struct{}, maxHistories)
	c.log = control.NewAudit(s.opts.DataDir, s.opts.Now)
	c.book = keys.New(keys.Options{
		Configured: s.conf().Keys, Changed: s.keyChanged, Audit: s.audit,
		Now: s.opts.Now, DataDir: s.opts.DataDir,
	})
	c.book.Register(c.server)
	c.registerNumbers()
	control.Handle(c.server, RequestStatus, c.status)
	control.HandleDownload(c.server, RequestBackup, c.backup)
	control.Handle(c.server, RequestLogLevel, c.logLevel)
	c.registerProfiles()
	control.Handle(c.server, RequestReload, c.reload)
	c.registerZones()
	control.Handle(c.server, RequestExplain, c.explain)
}

// keyChanged makes the server forget keys of one zone, and returns when what they have signed before is done.
func (s *Server) keyChanged(names ...rr.Name) {
	if len(names) == 0 {
		return
	}
	s.forget(names)
	z := s.zoneOf(names[0].Parent())
	if z == nil {
		return
	}
	op := &releaseOp{done: make(chan zone.Committed, 1)}
	if z.z.SubmitBehind(op) == nil {
		<-op.done
	}
}

// forget waits for updates that were verified with the keys and are not in a queue yet.
func (s *Server) forget(names []rr.Name) {
	s.verifying.Lock()
	defer s.verifying.Unlock()
	for _, name := range names {
		s.keys.Forget(name)
	}
}

// audit notes a command that has changed something, and returns when that is on disk: before the command
// is answered.
func (s *Server) audit(e control.Entry) error {
	s.log.Info("command", "op", "control", "action", e.Action, "uid", e.Who.UID, "zone", e.Zone, "number", e.Number, "detail", e.Detail)
	return s.commands.log.Append(e)
}

// listen makes the socket. From then on commands wait for run. A server serves without it too: phones
// matter more.
func (c *commands) listen() {
	l, err := control.Listen(c.s.opts.DataDir)
	if err != nil {
		c.fault = err
		c.s.log.Warn("commands cannot reach this server", "op", "control", "err", err)
		return
	}
	c.listener = l
}

func (c *commands) run() {
	if c.listener != nil {
		c.server.Serve(c.listener)
	}
}

// missing tells why no command can reach the server; nil when one can.
func (c *commands) missing() error {
	if c.listener == nil {
		return c.fault
	}
	return control.Reachable(c.s.opts.DataDir)
}

// close waits for the commands that run. It may be called twice.
func (c *commands) close() {
	c.closing.Do(func() {
		if c.server != nil {
			c.server.Close()
		}
		if c.listener != nil {
			_ = c.listener.Close() // closed already if it was served
		}
	})
}

// keyZones are the zones as keys are looked up in them.
func (s *Server) keyZones() []*keys.Zone {
	zones := make([]*keys.Zone, 0, len(s.conf().Zones))
	for _, o := range s.conf().Zones {
		st, _ := s.storedZone(o.Apex)
		zones = append(zones, &keys.Zone{Apex: o.Apex, Seed: o.Seed, Store: st})
	}
	return zones
}

// storedZone gives a zone's place in the data directory; nil when it is not there yet.
func (s *Server) storedZone(apex rr.Name) (*store.Zone, error) {
	if s.store == nil {
		return nil, nil
	}
	z, err := s.store.Zone(apex)
	if err != nil {
		return nil, err
	}
	if _, loaded, err := z.Meta(); err != nil || !loaded {
		return nil, err
	}
	return z, nil
}

func (s *Server) collectKeys(e exporter) {
	c := &s.commands.book.Counters
	const lookups = "Keys of signed requests that were neither configured nor cached, by where they were found."
	e.count("tsig_key_lookups_total", lookups, c.Kept.Load(), "result", "kept")
	e.count("tsig_key_lookups_total", lookups, c.Derived.Load(), "result", "derived")
	e.count("tsig_key_lookups_total", lookups, c.Unknown.Load(), "result", "unknown")
	e.count("tsig_key_lookups_total", lookups, c.Failed.Load(), "result", "failed")
	cached, hits := s.keys.CacheStats()
	e.gauge("tsig_keys_cached", "Keys of phones that are remembered.", float64(cached))
	e.count("tsig_key_cache_hits_total", "Signed requests whose key was remembered.", hits)
}

// Commands gives the way to the server that runs on o.DataDir, or, when none does, to the store there, which
// nobody else can use until the client is closed. Errors are *control.Mistake and *DataDirError where
// the user can do something.
func Commands(ctx context.Context, o Options) (*control.Client, error) {
	c, err := control.Dial(ctx, o.DataDir)
	if !errors.Is(err, control.ErrNoServer) {
		return c, err
	}
	s := newServer(o)
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if err := s.openStore(); err != nil {
		s.cancel()
		var mistake *control.Mistake
		if errors.As(err, &mistake) {
			return nil, err
		}
		var dir *store.DirError
		if errors.As(err, &dir) && dir.InUse { // by a server that has just started
			if c, again := control.Dial(ctx, o.DataDir); again == nil {
				return c, nil
			}
			dir.Hint = "if that is a server, try again when it serves, or see in its log why commands cannot reach it"
		}
		return nil, &DataDirError{err}
	}
	s.commands.init(s)
	if s.keys, err = tsig.NewKeyring(nil, tsig.Options{}); err != nil {
		return nil, errors.Join(err, s.release())
	}
	s.commands.book.SetZones(s.keyZones())
	return s.commands.server.Local(func() error { return s.release() }), nil
}

// openStore opens the store if there is one. What it would write must not keep the server's user from
// using it, so it is only for that user.
func (s *Server) openStore() error {
	dir := s.opts.DataDir
	if store.Fresh(dir) {
		return nil // it is the server that makes it, perhaps as a whole (store.Build)
	}
	if owner, ok := ownerOf(dir); ok && owner.uid != os.Getuid() {
		return control.Mistakef("no server runs on %s, and the directory belongs to user %d: give the command as that user, or start the server", dir, owner.uid)
	}
	var err error
	s.store, err = store.Open(s.storeOptions())
	return err
}
