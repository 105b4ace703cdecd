package dnsserver

import (
	"context"
	"encoding/base64"
	"errors"

	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/dnsserver/keys"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// Names of requests about numbers.
const (
	RequestNumberShow    = "number/show"
	RequestNumberRelease = "number/release"
)

// NumberQuestion is the request about a number of a zone, which need not be named when there is but one.
type NumberQuestion struct {
	Zone   string `json:"zone"`
	Number string `json:"number"`
}

// NumberInfo tells all that is known of a number.
type NumberInfo struct {
	Zone    string   `json:"zone"`
	Number  string   `json:"number"`
	Name    string   `json:"name"`
	Records []string `json:"records"`        // as lines of a master file, those below it too
	More    int      `json:"more,omitempty"` // records that are not told

	Addresses []netip.Addr `json:"addresses"`
	Key       *keys.Info   `json:"key,omitempty"`         // shared secret, which is not told
	Blocked   bool         `json:"blocked,omitempty"`     // it has no shared secret, and none is derived
	PublicKey string       `json:"public_key,omitempty"`  // KEY record
	Lease     time.Time    `json:"lease,omitzero"`        // when it ends
	KeyLease  time.Time    `json:"key_lease,omitzero"`    // when the KEY record goes
	Signed    time.Time    `json:"signed,omitzero"`       // newest time signed by the number's key
	Updated   time.Time    `json:"updated,omitzero"`      // last update that was signed by that key or had a lease
	UpdatedBy string       `json:"updated_by,omitempty"`  // key that signed it
	From      netip.Addr   `json:"updated_from,omitzero"` // whence it came
	Frozen    time.Time    `json:"frozen,omitzero"`       // since when its zone takes no changes
	Now       time.Time    `json:"now"`
}

// NumberRelease is the request to free a number.
type NumberRelease struct {
	NumberQuestion
	KeepSecret bool `json:"keep_secret"` // do not revoke its shared secret
}

// NumberReleased tells what was taken away.
type NumberReleased struct {
	Zone    string     `json:"zone"`
	Number  string     `json:"number"`
	Records []string   `json:"records"`
	More    int        `json:"more,omitempty"` // records that are not told
	Serial  uint32     `json:"serial"`
	Revoked bool       `json:"revoked"`       // the shared secret
	Key     *keys.Info `json:"key,omitempty"` // what it has now, without the secret
}

func (c *commands) registerNumbers() {
	control.Handle(c.server, RequestNumberShow, c.showNumber)
	control.HandleList(c.server, RequestNumberList, c.listNumbers)
	control.Handle(c.server, RequestNumberRelease, c.releaseNumber)
	control.HandleList(c.server, RequestNumberHistory, c.numberHistory)
}

// zoneFor finds the zone of a number.
func (c *commands) zoneFor(q NumberQuestion) (*servedZone, error) {
	s := c.s
	if len(s.conf().byApex) == 0 {
		return nil, control.Mistakef("no server runs on %s: numbers are known to a running one only", s.opts.DataDir)
	}
	apex, err := c.apexFor(q)
	if err != nil {
		return nil, err
	}
	return c.namedZone(apex.String())
}

// namedZone finds a zone that somebody has written.
func (c *commands) namedZone(name string) (*servedZone, error) {
	apex, err := rr.ParseName(name)
	if err != nil {
		return nil, control.Mistakef("zone %q: %v", name, err)
	}
	if z := c.s.zoneOf(apex); z != nil {
		return z, nil
	}
	return nil, control.Mistakef("the zone %s is not served here", apex)
}

// apexFor finds the name of the zone of a number.
func (c *commands) apexFor(q NumberQuestion) (rr.Name, error) {
	zones := c.s.conf().Zones
	if !rr.IsNumber(q.Number) {
		return "", control.Mistakef("%q is not a number of 1 to %d digits", q.Number, rr.MaxDigits)
	}
	if q.Zone == "" {
		if len(zones) > 1 {
			return "", control.Mistakef("there are several zones: name one with --zone")
		}
		return zones[0].Apex, nil
	}
	apex, err := rr.ParseName(q.Zone)
	if err != nil {
		return "", control.Mistakef("zone %q: %v", q.Zone, err)
	}
	if i := slices.IndexFunc(zones, func(z ZoneOptions) bool { return z.Apex.EqualFold(apex) }); i >= 0 {
		return zones[i].Apex, nil
	}
	return "", control.Mistakef("the zone %s is not served here", apex)
}

// recordsOf reads what a number has, at its name and below it.
func recordsOf(z *zone.Zone, number string) ([]rr.RR, error) {
	owners, err := z.Below(number)
	if err != nil {
		return nil, err
	}
	own := rr.NumberName(number, z.Apex())
	owners = slices.DeleteFunc(owners, func(n rr.Name) bool { return n.EqualFold(own) })
	reader := zone.NewReader()
	defer reader.Close()
	reader.Begin()
	defer reader.End()
	view := z.View()
	var list []rr.RR
	for _, owner := range append([]rr.Name{own}, owners...) {
		var q zone.QName
		q.SetName(owner)
		n, ok := view.Node(&q)
		if !ok {
			continue
		}
		sets := n.Sets()
		for set, ok := sets.Next(); ok; set, ok = sets.Next() {
			data := set.Data()
			for d, ok := data.Next(); ok; d, ok = data.Next() {
				list = append(list, rr.RR{Owner: owner, Type: set.Type(), TTL: set.TTL(), Data: string(d)})
			}
		}
	}
	return list, nil
}

func (c *commands) showNumber(ctx context.Context, who control.Peer, q NumberQuestion) (NumberInfo, error) {
	z, err := c.zoneFor(q)
	if err != nil {
		return NumberInfo{}, err
	}
	list, err := recordsOf(z.z, q.Number)
	if err != nil {
		return NumberInfo{}, err
	}
	r, err := z.z.Registration(q.Number)
	if err != nil {
		return NumberInfo{}, err
	}
	own := rr.NumberName(q.Number, z.o.Apex)
	i := NumberInfo{
		Zone: z.o.Apex.String(), Number: q.Number, Name: own.String(), Records: []string{}, Addresses: []netip.Addr{}, Now: c.s.opts.Now(),
		Lease: atMilli(r.Lease), KeyLease: atMilli(r.KeyLease), Updated: atMilli(r.Updated), From: r.From,
	}
	if r.Signed != 0 {
		i.Signed = time.Unix(int64(r.Signed), 0)
	}
	if r.Key != "" {
		i.UpdatedBy = r.Key.String()
	}
	i.Records, i.More = texts(list)
	i.Frozen, _ = z.z.Frozen()
	for _, x := range list {
		if !x.Owner.EqualFold(own) {
			continue
		}
		switch x.Type {
		case dns.TypeA, dns.TypeAAAA:
			if a, ok := netip.AddrFromSlice([]byte(x.Data)); ok {
				i.Addresses = append(i.Addresses, a)
			}
		case dns.TypeKEY:
			i.PublicKey = keyText(x.Data)
		}
	}
	i.Blocked = c.book.IsBlocked(own)
	i.Key, err = c.keyOf(ctx, who, i.Zone, q.Number)
	return i, err
}

// keyOf tells of a number's shared secret; nil when it has none.
func (c *commands) keyOf(ctx context.Context, who control.Peer, zone, number string) (*keys.Info, error) {
	k, err := c.book.Show(ctx, who, keys.Show{Zone: zone, Number: number})
	var none *control.Mistake
	switch {
	case errors.As(err, &none):
		return nil, nil
	case err != nil: // a store that cannot be read does not say that there is none
		return nil, err
	}
	k.Secret = nil
	return &k, nil
}

// keyText is a KEY record in short.
func keyText(data string) string {
	if len(data) < 4 {
		return ""
	}
	algorithm := dns.AlgorithmToString[data[3]]
	return fmt.Sprintf("%s %s", algorithm, base64.StdEncoding.EncodeToString([]byte(data[4:])))
}

func atMilli(ms int64) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(ms)
}

// releaseNumber takes all of a number away, its claim too, so that another key can have it. The newest time signed stays:
// what the old key has signed cannot come back.
func (c *commands) releaseNumber(ctx context.Context, who control.Peer, q NumberRelease) (NumberReleased, error) {
	z, err := c.zoneFor(q.NumberQuestion)
	if err != nil {
		return NumberReleased{}, err
	}
	out := NumberReleased{Zone: z.o.Apex.String(), Number: q.Number, Records: []string{}}
	list, err := recordsOf(z.z, q.Number)
	if err != nil {
		return out, err
	}
	r, err := z.z.Registration(q.Number)
	if err != nil {
		return out, err
	}
	if err := refuseFrozen(z.z); err != nil { // before its key is gone
		return out, err
	}
	key, err := c.keyOf(ctx, who, out.Zone, q.Number)
	if err != nil {
		return out, err
	}
	revokes := !q.KeepSecret && key != nil && (key.Kind == keys.KindKept || key.Kind == keys.KindDerived)
	if len(list) == 0 && r.SaysNothing() && !revokes {
		return out, control.Mistakef("number %s has nothing in %s: no records, no lease and no key", q.Number, out.Zone)
	}
	// The key first: what it has signed before stands in the queue before the release.
	if revokes {
		if _, err := c.book.Revoke(ctx, who, keys.Revoke{Zone: out.Zone, Number: q.Number}); err != nil {
			return out, err
		}
		out.Revoked = true
		if list, err = recordsOf(z.z, q.Number); err != nil { // what the key had signed before is done by now
			return out, err
		}
	}
	op := &releaseOp{number: q.Number, who: who, done: make(chan zone.Committed, 1)}
	if err := z.z.Submit(op); err != nil {
		return out, err
	}
	// The writer answers every op that it took.
	done := <-op.done
	if done.Err != nil {
		return out, done.Err
	}
	out.Serial = done.Serial
	out.Records, out.More = texts(list)
	detail := fmt.Sprintf("%d records: %s", len(list), strings.Join(out.Records, "; "))
	entry := control.Entry{Action: "number release", Who: who, Zone: out.Zone, Number: q.Number, Key: nameText(r.Key), Detail: detail}
	if err := c.s.audit(entry); err != nil {
		return out, fmt.Errorf("the number is released, but %w", err)
	}
	if out.Key, err = c.keyOf(ctx, who, out.Zone, q.Number); err != nil {
		return out, fmt.Errorf("the number is released, but %w", err)
	}
	return out, nil
}

// maxTexts is how many records are told, and noted, of a number.
const maxTexts = 100

func texts(list []rr.RR) (lines []string, more int) {
	lines = []string{}
	for _, x := range list[:min(len(list), maxTexts)] {
		lines = append(lines, strings.Join(strings.Fields(x.String()), " "))
	}
	return lines, len(list) - len(lines)
}

func nameText(n rr.Name) string {
	if n == "" {
		return ""
	}
	return n.String()
}

// releaseOp withdraws a number with its KEY.
type releaseOp struct {
	number string // "": it only waits for its turn
	who    control.Peer
	done   chan zone.Committed
}

// Author is called by the zone's writer.
func (o *releaseOp) Author() rr.Author { return rr.Author{Kind: rr.ByRelease, UID: int32(o.who.UID)} }

// Evaluate is called by the zone's writer.
func (o *releaseOp) Evaluate(d *zone.Draft) error {
	if o.number == "" {
		return nil
	}
	d.Withdraw(o.number, true)
	// What the old key has signed does not come back: the time stays, unless it is still to come: then clocks were wrong, and
	// nobody could sign before it. But a public key may claim the number now, whatever kind the old one was.
	if r := d.Registration(o.number); r.Signed != 0 {
		r, err := d.Stored(o.number)
		if err != nil {
			return err
		}
		r.Public, r.Signed = true, min(r.Signed, uint32(d.Now()/1000))
		d.Hold(r)
	}
	return nil
}

// Done is called by the zone's writer.
func (o *releaseOp) Done(c zone.Committed) { o.done <- c }
