package dnsserver

import (
	"context"
	"iter"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// RequestNumberList is the request for the numbers of a zone.
const RequestNumberList = "number/list"

// NumberListQuestion asks for the numbers of a zone, which need not be named when there is but one.
type NumberListQuestion struct {
	Zone   string `json:"zone"`
	Prefix string `json:"prefix"` // the first digits; "": all numbers
	Limit  int    `json:"limit"`  // at most so many, of those with the smallest digits
}

// MaxNumberList is the largest Limit: what is listed is held in memory, some 32 octets a number.
const MaxNumberList = 1_000_000

// NumberItem is one number with records at its very name. Its addresses may be newer than the list.
type NumberItem struct {
	Number    string       `json:"number"`
	Addresses []netip.Addr `json:"addresses"`
	Lease     time.Time    `json:"lease,omitzero"` // when it ends
	More      bool         `json:"more,omitempty"` // of the last one: there are numbers behind it
}

func (c *commands) listNumbers(ctx context.Context, _ control.Peer, q NumberListQuestion) iter.Seq2[NumberItem, error] {
	return func(yield func(NumberItem, error) bool) {
		z, err := c.zoneForList(q)
		if err != nil {
			yield(NumberItem{}, err)
			return
		}
		reader := zone.NewReader()
		defer reader.Close()
		numbers, more := c.numbersOf(ctx, reader, z, q.Prefix, q.Limit)
		for i, n := range numbers {
			if err := ctx.Err(); err != nil {
				yield(NumberItem{}, err)
				return
			}
			x := numberItem(reader, z, n)
			x.More = more && i == len(numbers)-1
			if !yield(x, nil) {
				return
			}
		}
	}
}

func (c *commands) zoneForList(q NumberListQuestion) (*zone.Zone, error) {
	switch {
	case q.Prefix != "" && !rr.IsNumber(q.Prefix):
		return nil, control.Mistakef("%q is not the beginning of a number: that is 1 to %d digits", q.Prefix, rr.MaxDigits)
	case q.Limit < 1 || q.Limit > MaxNumberList:
		return nil, control.Mistakef("--limit is 1 to %d", MaxNumberList)
	}
	z, err := c.zoneFor(NumberQuestion{Zone: q.Zone, Number: "0"})
	if err != nil {
		return nil, err
	}
	return z.z, nil
}

// numbersOf walks over one version of the zone. It keeps twice the limit at most, and no reader waits for whoever gets
// the list.
func (c *commands) numbersOf(ctx context.Context, reader *zone.Reader, z *zone.Zone, prefix string, limit int) (list []string, more bool) {
	reader.Begin()
	defer reader.End()
	seen := 0
	for n := range z.View().Nodes() {
		if seen++; seen%(1<<12) == 0 {
			if ctx.Err() != nil {
				break
			}
			c.s.yield() // queries come first
		}
		owner := n.Owner()
		if len(owner) < 2 || int(owner[0]) != len(owner)-1 || !rr.IsNumber(owner[1:]) || !strings.HasPrefix(string(owner[1:]), prefix) {
			continue
		}
		if list = append(list, string(owner[1:])); len(list) >= 2*limit {
			slices.Sort(list)
			clear(list[limit:])
			list, more = list[:limit], true
		}
	}
	slices.Sort(list)
	return list[:min(len(list), limit)], more || len(list) > limit
}

func numberItem(reader *zone.Reader, z *zone.Zone, number string) NumberItem {
	x := NumberItem{Number: number, Addresses: []netip.Addr{}, Lease: atMilli(z.LeaseEnd(number))}
	var q zone.QName
	q.SetName(rr.NumberName(number, z.Apex()))
	reader.Begin()
	defer reader.End()
	n, ok := z.View().Node(&q)
	if !ok {
		return x
	}
	for _, t := range [...]uint16{dns.TypeA, dns.TypeAAAA} {
		set, ok := n.Find(t)
		if !ok {
			continue
		}
		data := set.Data()
		for d, ok := data.Next(); ok; d, ok = data.Next() {
			if a, ok := netip.AddrFromSlice(d); ok {
				x.Addresses = append(x.Addresses, a)
			}
		}
	}
	return x
}
