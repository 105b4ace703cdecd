package dnsserver

import (
	"context"
	"errors"
	"log/slog"
	"strings"

	"github.com/miekg/dns"

	"dialtone/dnsserver/answer"
	"dialtone/update"
	"dialtone/zone"
	"dialtone/zone/rr"
)

// Log lines of messages
//
// Whoever asks can put any octet into a name, and much into a text. Names are logged as they are presented in a
// zone file (RFC 1035, section 5.1), in which all that is not printable ASCII is escaped, and the handlers of
// log/slog quote what has spaces or quotes: so one event is one line, and no line can be forged.

// event writes one log line about a message that is no update, its fields always in this order; what there
// is none of is left out.
func (s *Server) event(level slog.Level, text, op string, from *client, key, zone rr.Name, serial uint32, rcode uint16, more ...slog.Attr) {
	ctx := context.Background()
	fault := rcode != dns.RcodeSuccess || level >= slog.LevelWarn
	if !s.log.Enabled(ctx, level) || fault && !s.refusals.mayLog(key != "" && op != opTSIG, s.opts.Now()) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 12),
		slog.String("op", op), slog.String("remote", from.addr.String()), slog.String("proto", from.proto()))
	if key != "" {
		attrs = append(attrs, slog.String("key", key.String()))
	}
	if zone != "" {
		attrs = append(attrs, slog.String("zone", zone.String()))
	}
	if serial != 0 {
		attrs = append(attrs, slog.Uint64("serial", uint64(serial)))
	}
	attrs = append(attrs, slog.String("rcode", rcodeName(int(rcode))))
	s.log.LogAttrs(ctx, level, text, append(attrs, more...)...)
}

// logUpdate writes the one line of an update. It has all ten fields, in this order, whatever became of it; err, why
// and claimed_key follow where there is something to say.
func (s *Server) logUpdate(u *pendingUpdate, rcode uint16, ede *answer.EDE) {
	level, text := updateText(u, rcode)
	ctx := context.Background()
	if !s.log.Enabled(ctx, level) || rcode != dns.RcodeSuccess && !s.refusals.mayLog(u.signer() != "", s.opts.Now()) {
		return
	}
	attrs := append(make([]slog.Attr, 0, 13),
		slog.String("op", "update"), slog.String("remote", u.from.addr.String()), slog.String("proto", u.from.proto()),
		slog.String("key", nameText(u.signer())), slog.String("zone", ""), slog.String("number", ""),
		slog.Uint64("serial", uint64(u.result.Serial)), slog.String("rcode", rcodeName(int(rcode))),
		slog.String("rule", ruleName(u.m.Rule())), slog.Duration("duration", s.opts.Now().Sub(u.arrived)))
	if u.parsed {
		attrs[4].Value = slog.StringValue(nameText(u.m.Zone))
		attrs[5].Value = slog.StringValue(numberOf(&u.m))
	}
	if level == slog.LevelWarn {
		attrs = append(attrs, slog.Any("err", u.result.Err))
	} else if ede != nil {
		attrs = append(attrs, slog.String("why", ede.Text))
	}
	if u.claimed != "" {
		attrs = append(attrs, slog.String("claimed_key", u.claimed.String()))
	}
	s.log.LogAttrs(ctx, level, text, attrs...)
}

func updateText(u *pendingUpdate, rcode uint16) (slog.Level, string) {
	switch {
	case errors.Is(u.result.Err, zone.ErrClosed):
		return slog.LevelInfo, "update refused while stopping" // there may be hundreds
	case rcode == dns.RcodeServerFailure:
		return slog.LevelWarn, "update failed"
	case errors.Is(u.result.Err, errRepeated):
		return slog.LevelInfo, "update sent again"
	case rcode == dns.RcodeSuccess && u.result.Changed:
		return slog.LevelInfo, "update"
	case rcode == dns.RcodeSuccess:
		return slog.LevelInfo, "update without change"
	}
	return slog.LevelInfo, "update refused"
}

// numberOf gives the name next to the apex that an update is about, which is a number as a rule: that of the first
// record, with ",..." when others are of another one. It is empty for an update of the apex.
func numberOf(m *update.Message) string {
	first, several := "", false
	for i := range m.Updates {
		if owner := m.Updates[i].Owner; len(owner) > len(m.Zone) && owner.IsBelowOrEqual(m.Zone) {
			top := owner.TopLabel(m.Zone)
			if first == "" {
				first = top
			}
			several = several || top != first
		}
	}
	if first == "" {
		return ""
	}
	text := labelText(first)
	if several {
		text += ",..."
	}
	return text
}

// labelText presents one label.
func labelText(label string) string {
	return strings.TrimSuffix(rr.Name(string(rune(len(label)))+label+"\x00").String(), ".")
}
