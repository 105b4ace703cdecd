package web

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dialtone/dnsserver"
	"dialtone/dnsserver/keys"
)

// numberView is a number as the page shows it.
type numberView struct {
	Digits, Zone, Name string
	Addresses          []string
	Registered         bool // it has an address
	Others             bool // it has no address, but other records
	Since              time.Time
	Before             bool // it has been so since before Since
	SetBy              string
	Lease, KeyLease    time.Time // when they end
	Updated            time.Time
	UpdatedBy          string
	Key                string
	Records            []string
	More               int
	Waiting            bool // the history is being read
}

func numberOf(i dnsserver.NumberInfo, pasts []*dnsserver.NumberPast) *numberView {
	v := &numberView{
		Digits: i.Number, Zone: i.Zone, Name: i.Name, Addresses: texts(i.Addresses), Registered: len(i.Addresses) > 0,
		Others: len(i.Addresses) == 0 && len(i.Records) > 0,
		Lease:  i.Lease, KeyLease: i.KeyLease, Updated: i.Updated, Key: keyText(i), Records: i.Records, More: i.More, Waiting: pasts == nil,
	}
	if !i.Updated.IsZero() {
		v.UpdatedBy = "from " + i.From.String() + ", " + signedText(i.UpdatedBy)
	}
	v.dated(pasts)
	return v
}

func texts(list []netip.Addr) []string {
	out := make([]string, len(list))
	for i, a := range list {
		out[i] = a.String()
	}
	return out
}

// dated takes from the history since when the number has the addresses that it has, and who set them.
func (v *numberView) dated(pasts []*dnsserver.NumberPast) {
	var from *dnsserver.NumberPast
	for _, p := range pasts {
		if p.How == dnsserver.PastKey {
			continue
		}
		if !slices.Equal(texts(p.Addresses), v.Addresses) {
			break
		}
		from = p
	}
	if from == nil {
		return
	}
	v.Waiting = false
	if from.How == dnsserver.PastUnknown {
		v.Since, v.Before = from.Since, true
		return
	}
	v.Since, v.SetBy = from.Since, howText(from)
}

func keyText(i dnsserver.NumberInfo) string {
	var list []string
	if i.Key != nil {
		text := "shared secret, " + string(i.Key.Kind)
		if i.Key.Kind == keys.KindDerived {
			text = fmt.Sprintf("shared secret, generation %d", i.Key.Generation)
		}
		list = append(list, text)
	}
	if i.PublicKey != "" {
		algorithm, _, _ := strings.Cut(i.PublicKey, " ")
		list = append(list, "key pair ("+algorithm+")")
	}
	switch {
	case i.Blocked:
		list = append(list, "secret blocked")
	case len(list) == 0:
		return "none"
	}
	return strings.Join(list, "; ")
}

func signedText(key string) string {
	if key == "" {
		return "unsigned"
	}
	return "signed by " + key
}

// historyView is a time line.
type historyView struct {
	Entries []entryView
	More    bool
	Oldest  time.Time
}

// entryView is one entry of it.
type entryView struct {
	Class     string // of the mark: at, gone, key, before
	What      string
	Addresses []string
	Since     time.Time
	Until     time.Time
	Current   bool
	Before    bool
	How       string
	New, Gone []string
	More      int
}

// maxPasts is how many entries a time line has at most.
const maxPasts = 50

func historyOf(pasts []*dnsserver.NumberPast, end *dnsserver.HistoryEnd) *historyView {
	v := &historyView{}
	if end != nil {
		v.More, v.Oldest = end.More, end.Oldest
	}
	for _, p := range pasts {
		v.Entries = append(v.Entries, entryOf(p))
	}
	return v
}

func entryOf(p *dnsserver.NumberPast) entryView {
	e := entryView{
		Class: "at", Addresses: texts(p.Addresses), Since: p.Since, Until: p.Until, Current: p.Until.IsZero(), How: howText(p),
		New: p.New, Gone: p.Gone, More: p.More,
	}
	switch {
	case p.How == dnsserver.PastKey:
		e.Class, e.What, e.Current = "key", keyAction(p.Action), false
	case len(p.Addresses) == 0 && p.Records > 0:
		e.Class, e.What = "gone", "No address, but other records"
	case len(p.Addresses) == 0:
		e.Class, e.What = "gone", "Not registered"
	}
	if p.How == dnsserver.PastUnknown {
		e.Before = true
	}
	return e
}

func keyAction(action string) string {
	switch action {
	case "key revoke":
		return "Secret revoked"
	case "key add":
		return "New secret"
	case "key import":
		return "Secret imported"
	}
	return action
}

// howText tells who made a change.
func howText(p *dnsserver.NumberPast) string {
	if p.How == dnsserver.PastUnknown {
		return "nobody knows any more who set it"
	}
	var list []string
	for _, by := range p.By {
		list = append(list, byText(by))
	}
	if len(list) == 0 {
		return "it is not known by whom"
	}
	return strings.Join(list, "; ")
}

func byText(by dnsserver.PastAuthor) string {
	user := ""
	if by.UID != nil && *by.UID >= 0 {
		user = fmt.Sprintf("user %d", *by.UID)
	}
	switch by.How {
	case "update":
		from := ""
		if by.From.IsValid() {
			from = "from " + by.From.String() + ", "
		}
		if by.PublicKey {
			return from + signedText(by.Key) + " (key pair)"
		}
		return from + signedText(by.Key)
	case "lease end":
		return "its lease ended"
	case "release":
		return strings.TrimSpace("released by the operator " + parens(user))
	case "import":
		return strings.TrimSpace("imported by the operator " + parens(user))
	case dnsserver.PastKey:
		return strings.TrimSpace("by the operator " + parens(user))
	}
	return by.How
}

func parens(text string) string {
	if text == "" {
		return ""
	}
	return "(" + text + ")"
}
