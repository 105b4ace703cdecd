package dnsserver

import (
	"context"
	"net/netip"

	"dialtone/zone"
)

// Server is a running server.
type Server struct {
	opts  Options
	zones *zone.Zones
	addrs []netip.AddrPort
}

// Start opens the store in o.DataDir, seeds the zones that it does not hold yet from their master
// files, loads all zones, binds every socket and serves until Shutdown. It returns when queries are
// answered. ctx bounds the start only.
//
// The errors that a user can do something about are *BindError (all addresses that cannot be bound),
// *ZoneError (one for each zone at fault, joined) and those of zone/store's Open. After an error
// nothing is left running or open.
func Start(ctx context.Context, o Options) (*Server, error) { panic("todo") }

// Addrs are the bound addresses in the order of Options.Listen, with the ports that were taken for
// port 0; each on UDP and TCP.
func (s *Server) Addrs() []netip.AddrPort { return s.addrs }

// Zones gives the zones that are served.
func (s *Server) Zones() *zone.Zones { return s.zones }

// Shutdown stops accepting, answers what was read, commits and answers the updates that wait, and
// closes the store. When ctx ends first the connections are cut, but what was queued is committed all
// the same. It returns the first error of closing; a second call returns at once.
func (s *Server) Shutdown(ctx context.Context) error { panic("todo") }
