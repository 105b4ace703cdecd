package dnsserver

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/miekg/dns"

	"dialtone/dnsserver/control"
	"dialtone/update"
	"dialtone/update/acl"
	"dialtone/update/tsig"
	"dialtone/zone/rr"
)

// RequestExplain is the request for an Explanation.
const RequestExplain = "explain"

// ExplainQuestion is an update that somebody might make: one record of a number.
type ExplainQuestion struct {
	// Key is the name of the key that signs; that of a number's key may be written as the number. "none": unsigned.
	Key    string `json:"key"`
	Public bool   `json:"public"` // it is the public key in the number's KEY record
	Claim  bool   `json:"claim"`  // it is a public key that the number has no KEY record of
	Zone   string `json:"zone"`   // need not be named when there is but one, or Number is a whole name
	Number string `json:"number"` // or any owner, as a whole name or relative to the zone
	Type   string `json:"type"`
	// Data is that of a record that is added, as in a master file. Without it a deletion of all records of the type is meant.
	Data    string `json:"data,omitempty"`
	Address string `json:"address,omitempty"` // whence the update comes
}

// Explanation tells whether an update is allowed, and which rule decides.
type Explanation struct {
	Zone    string `json:"zone"`
	Update  string `json:"update"` // in words
	Allowed bool   `json:"allowed"`
	Rule    int    `json:"rule"`            // index of the one that decides; -1: none does
	Place   string `json:"place,omitempty"` // its file and line
	Why     string `json:"why,omitempty"`   // of a refusal

	Rules []ExplainedRule `json:"rules"`
	Notes []string        `json:"notes"`
}

// ExplainedRule is what one rule of the zone's access list says.
type ExplainedRule struct {
	Rule    string `json:"rule"`            // as acl[0]
	Place   string `json:"place,omitempty"` // file and line
	Text    string `json:"text"`
	Looked  bool   `json:"looked_at"` // no rule behind the one that decides is
	Decides bool   `json:"decides"`
	Why     string `json:"why,omitempty"` // why it does not decide
}

func (c *commands) explain(_ context.Context, _ control.Peer, q ExplainQuestion) (Explanation, error) {
	s := c.s
	if s.phase.now.Load() != phaseServing {
		return Explanation{}, control.Mistakef("no server runs on %s", s.opts.DataDir)
	}
	e, key, err := explain(s.conf().Options, q)
	if err == nil {
		if z, gone := c.namedZone(e.Zone); gone == nil && refuseFrozen(z.z) != nil {
			e.Notes = append(e.Notes, fmt.Sprintf("%s is frozen: updates that change it are refused until dialtone zone thaw %s", e.Zone, e.Zone))
		}
	}
	if err != nil || key == "" || q.Public || q.Claim || s.keys.Has(key) {
		return e, err
	}
	switch _, known, err := c.book.Find(key.Lower()); {
	case err != nil:
		e.Notes = append(e.Notes, fmt.Sprintf("whether there is a key %s is not known: %v", key, err))
	case !known:
		e.Notes = append(e.Notes, fmt.Sprintf("there is no key %s: what it signs gets BADKEY", key))
	}
	return e, nil
}

// Explain says which rule of which zone allows or refuses an update, by the same code that decides about updates. It
// knows no keys but those of the configuration. Errors are *control.Mistake.
func Explain(o Options, q ExplainQuestion) (Explanation, error) {
	e, key, err := explain(o, q)
	if err == nil && key != "" && !q.Public && !q.Claim && !slices.ContainsFunc(o.Keys, func(k tsig.Key) bool { return k.Name.EqualFold(key) }) {
		e.Notes = append(e.Notes, fmt.Sprintf("key %s is not in the configuration: it works if the server keeps or derives it", key))
	}
	return e, err
}

func explain(o Options, q ExplainQuestion) (e Explanation, key rr.Name, err error) {
	z, owner, err := explainedOwner(o.Zones, q)
	if err != nil {
		return e, "", err
	}
	who := acl.Principal{Proven: true}
	if who.Key, err = explainedKey(z.Apex, q); err != nil {
		return e, "", err
	}
	if q.Address != "" {
		if who.Address, err = netip.ParseAddr(q.Address); err != nil {
			return e, "", control.Mistakef("--address %q is no address", q.Address)
		}
	}
	record, err := explainedRecord(owner, q)
	if err != nil {
		return e, "", err
	}
	m := &update.Message{Zone: z.Apex, Class: dns.ClassINET, Updates: []update.Record{record}}
	if who.Claims = q.Claim; q.Public || q.Claim {
		// Which key it is makes no difference, unless the record is a KEY, and then only the key itself may be it.
		who.PublicKey = "\x02\x00\x03\x0f"
		if record.Type == dns.TypeKEY {
			who.PublicKey = record.Data
		}
	}
	e = explained(m, who, z)
	return e, who.Key, nil
}

// explained asks the code that decides about updates.
func explained(m *update.Message, who acl.Principal, z *ZoneOptions) Explanation {
	d, steps := z.ACL.ExplainUpdate(who, m)
	r := &m.Updates[0]
	e := Explanation{Zone: z.Apex.String(), Allowed: true, Rule: d.Rule, Rules: []ExplainedRule{}, Notes: []string{}}
	what := "delete all " + rr.TypeString(r.Type) + " of " + r.Owner.String()
	if r.Class == dns.ClassINET {
		what = "add " + r.Owner.String() + " " + rr.TypeString(r.Type)
	}
	e.Update = who.String() + ": " + what
	for _, s := range steps {
		e.Rules = append(e.Rules, ExplainedRule{ruleName(s.Rule), s.Place, s.Text, s.Looked, s.Decides, s.Why})
		if s.Decides {
			e.Place = s.Place
		}
	}
	if err := update.Authorize(m, who, z.ACL); err != nil {
		e.Allowed, e.Why = false, err.Error()
		var refused *update.Error
		if errors.As(err, &refused) {
			e.Why = refused.Text
		}
	}
	if !e.Allowed {
		return e
	}
	if d.MaxRecords > 0 {
		e.Notes = append(e.Notes, fmt.Sprintf("the name may have %d records after it (max_records)", d.MaxRecords))
	}
	if m.TookSource {
		e.Notes = append(e.Notes, "it takes the address that it comes from, over TCP or with a server cookie only (source_address)")
	}
	e.Notes = append(e.Notes, "prerequisites, limits and what the zone holds are looked at when the update is made")
	return e
}

// explainedOwner finds zone and owner.
func explainedOwner(zones []ZoneOptions, q ExplainQuestion) (z *ZoneOptions, owner rr.Name, err error) {
	if q.Zone != "" {
		apex, err := rr.ParseName(q.Zone)
		if err != nil {
			return nil, "", control.Mistakef("--zone %v", err)
		}
		i := slices.IndexFunc(zones, func(z ZoneOptions) bool { return z.Apex.EqualFold(apex) })
		if i < 0 {
			return nil, "", control.Mistakef("the zone %s is not served here", apex)
		}
		z = &zones[i]
	} else if len(zones) == 1 {
		z = &zones[0]
	}
	if whole := strings.HasSuffix(q.Number, "."); whole {
		if owner, err = rr.ParseName(q.Number); err != nil {
			return nil, "", control.Mistakef("%v", err)
		}
		for i := range zones { // the longest apex of those above it
			if at := &zones[i]; q.Zone == "" && owner.IsBelowOrEqual(at.Apex) && (z == nil || !owner.IsBelowOrEqual(z.Apex) || len(at.Apex) > len(z.Apex)) {
				z = at
			}
		}
		if z == nil || !owner.IsBelowOrEqual(z.Apex) {
			return nil, "", control.Mistakef("%s is in no zone that is served here, or not in that of --zone", owner)
		}
		return z, owner, nil
	}
	if z == nil {
		return nil, "", control.Mistakef("there are several zones: name one with --zone")
	}
	if owner, err = rr.ParseName(q.Number + "." + strings.TrimPrefix(z.Apex.String(), ".")); err != nil {
		return nil, "", control.Mistakef("%q: %v", q.Number, err)
	}
	return z, owner, nil
}

func explainedKey(apex rr.Name, q ExplainQuestion) (rr.Name, error) {
	switch {
	case q.Key == "none" && (q.Public || q.Claim):
		return "", control.Mistakef("a public key signs: name the key, which bears the number's name")
	case q.Key == "none":
		return "", nil
	case rr.IsNumber(q.Key):
		return rr.NumberName(q.Key, apex), nil
	}
	key, err := rr.ParseName(q.Key)
	if err != nil {
		return "", control.Mistakef("KEY is a key's name, a number for that number's key, or none: %v", err)
	}
	return key, nil
}

func explainedRecord(owner rr.Name, q ExplainQuestion) (r update.Record, err error) {
	r = update.Record{Owner: owner, Class: dns.ClassANY, Empty: true}
	if r.Type, err = acl.ParseType(q.Type); err != nil {
		return r, control.Mistakef("TYPE: %v", err)
	}
	if q.Data == "" {
		return r, nil
	}
	if strings.ContainsAny(q.Data, "\r\n") {
		return r, control.Mistakef("--data is one line")
	}
	parsed, err := dns.NewRR(fmt.Sprintf("%s 0 IN %s %s", owner, rr.TypeString(r.Type), q.Data))
	if err != nil || parsed == nil || parsed.Header().Rrtype != r.Type {
		return r, control.Mistakef("--data %q is none of a record of type %s: write it as in a master file", q.Data, rr.TypeString(r.Type))
	}
	own, err := rr.FromMiekg(parsed)
	if err != nil {
		return r, control.Mistakef("--data %q: %v", q.Data, err)
	}
	r.Class, r.Empty, r.Data = dns.ClassINET, false, own.Data
	return r, nil
}
