package transfer

import (
	"context"
	"encoding/binary"
	"errors"

	"dialtone/update/tsig"
	"dialtone/zone"
	"dialtone/zone/rr"

	"github.com/miekg/dns"
)

// reply is the answering of one request.
type reply struct {
	*Server
	*Request
	opt    *Options
	zone   *zone.Zone
	reader *zone.Reader
	sign   *tsig.Stream
	send   func([]byte) error
	stats  Stats
	soa    rr.RR // of the version that is sent
}

// run decides between the three styles of RFC 1995, section 4.
func (a *reply) run(ctx context.Context) error {
	switch {
	case a.Type == dns.TypeAXFR && !a.TCP:
		// RFC 5936, section 4.2
		return formErr("AXFR needs a connection")
	case a.Type == dns.TypeIXFR && a.currentOrNewer():
		// RFC 1995, section 2
		return a.one(ctx)
	}
	release, ok := a.acquire(a.Remote)
	switch {
	case ok:
		defer release()
	case a.TCP:
		// RFC 9103, section 6.3.3
		return &Error{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Text: "too many transfers at one time", Busy: true}
	default:
		return a.one(ctx)
	}
	if a.Type == dns.TypeIXFR {
		done, err := a.incremental(ctx)
		switch {
		case done || err != nil:
			return err
		case !a.TCP:
			return a.one(ctx)
		}
	}
	return a.full(ctx)
}

// look takes the SOA of the current version. The caller is within Begin..End
// of the reader if it goes on to use the view.
func (a *reply) look() zone.View {
	v := a.zone.View()
	a.soa, a.stats.Serial = currentSOA(a.zone.Apex(), v), v.Serial()
	return v
}

// currentSOA copies the SOA record out of the zone's memory.
func currentSOA(apex rr.Name, v zone.View) rr.RR {
	set := v.SOA()
	r := rr.RR{Owner: apex, Type: dns.TypeSOA, TTL: set.TTL()}
	c := set.Data()
	if data, ok := c.Next(); ok {
		r.Data = string(data)
	}
	return r
}

func (a *reply) currentOrNewer() bool {
	a.reader.Begin()
	defer a.reader.End()
	a.look()
	return a.Serial == a.stats.Serial || rr.SerialGreater(a.Serial, a.stats.Serial)
}

// one sends the current SOA alone.
func (a *reply) one(ctx context.Context) error {
	a.stats = Stats{Style: Single, Serial: a.stats.Serial}
	p := a.packer(ctx)
	err := p.rr(a.soa)
	if errors.Is(err, errOverflow) {
		return p.truncate()
	}
	if err != nil {
		return err
	}
	return p.flush()
}

// full sends the zone as it is now: everything, in no order but the apex
// first, between two SOA records (RFC 5936, section 2.2).
func (a *reply) full(ctx context.Context) error {
	a.reader.Begin()
	defer a.reader.End()
	v := a.look()
	a.stats = Stats{Style: Full, Serial: a.stats.Serial}
	p := a.packer(ctx)
	return a.end(p, a.content(p, v))
}

// end sends the last message, or tells the client of a fault in the middle.
func (a *reply) end(p *packer, err error) error {
	if err == nil {
		return p.flush()
	}
	if !errors.Is(err, ErrTooLarge) {
		return err
	}
	a.opt.Logger.Error("zone has a record that no message can hold", "op", a.op(), "remote", a.Remote,
		"zone", a.zone.Apex().String(), "serial", a.stats.Serial)
	if a.stats.Messages == 0 {
		a.stats.Style = None
		return &Error{Rcode: dns.RcodeServerFailure, EDE: dns.ExtendedErrorCodeOther, Text: err.Error()}
	}
	return errors.Join(err, p.fail(dns.RcodeServerFailure))
}

func (a *reply) content(p *packer, v zone.View) error {
	if err := p.rr(a.soa); err != nil {
		return err
	}
	if err := p.node(v.ApexNode()); err != nil {
		return err
	}
	for n := range v.Nodes() {
		if len(n.Owner()) == 0 {
			continue
		}
		if err := p.node(n); err != nil {
			return err
		}
	}
	return p.rr(a.soa)
}

func (p *packer) rr(r rr.RR) error {
	return p.record([]byte(r.Owner), r.Type, r.TTL, []byte(r.Data))
}

func (a *reply) op() string { return dns.TypeToString[a.Type] }

func (a *reply) packer(ctx context.Context) *packer {
	size := a.opt.MessageSize
	if !a.TCP {
		size = min(a.UDPSize, a.opt.MaxUDP)
	}
	p := newPacker(ctx, a.Request, a.zone.Apex(), a.sign, a.send, &a.stats, size, a.optRecord())
	p.yield = a.opt.Yield
	return p
}

// optRecord makes the OPT record of the reply, which every message gets
// (RFC 9103, section 6.3.4); none when the request had none.
func (a *reply) optRecord() []byte {
	if !a.EDNS {
		return nil
	}
	b := []byte{0}
	b = binary.BigEndian.AppendUint16(b, dns.TypeOPT)
	b = binary.BigEndian.AppendUint16(b, uint16(a.opt.MaxUDP))
	var ttl uint32
	if a.DO {
		ttl = flagDO
	}
	b = binary.BigEndian.AppendUint32(b, ttl)
	b = append(b, 0, 0)
	start := len(b)
	if len(a.Cookie) > 0 {
		b = binary.BigEndian.AppendUint16(b, dns.EDNS0COOKIE)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.Cookie)))
		b = append(b, a.Cookie...)
	}
	if soa, err := rr.ParseSOA(a.soa.Data); a.Expire && err == nil {
		// RFC 7314, section 3.1
		b = binary.BigEndian.AppendUint16(b, dns.EDNS0EXPIRE)
		b = binary.BigEndian.AppendUint16(b, 4)
		b = binary.BigEndian.AppendUint32(b, soa.Expire)
	}
	if a.NSID && a.opt.ServerID != "" {
		b = binary.BigEndian.AppendUint16(b, dns.EDNS0NSID)
		b = binary.BigEndian.AppendUint16(b, uint16(len(a.opt.ServerID)))
		b = append(b, a.opt.ServerID...)
	}
	binary.BigEndian.PutUint16(b[start-2:], uint16(len(b)-start))
	return b
}
