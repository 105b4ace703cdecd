package config

import (
	"math"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"dialtone/zone/rr"
)

// The readers of single values. Each reports a fault at path and then gives a
// value that nothing uses.

func (c *checker) name(path, text string) (rr.Name, bool) {
	if text == "" {
		c.fault(path, "it is missing or empty: write a domain name")
		return "", false
	}
	n, err := rr.ParseName(text)
	if err != nil {
		c.fault(path, "%v", err)
		return "", false
	}
	return n, true
}

func (c *checker) word(path, word string, words []string) bool {
	for _, w := range words {
		if word == w {
			return true
		}
	}
	hint := "write " + orList(words)
	if meant := nearest(word, words); meant != "" {
		hint = "did you mean " + meant + "?"
	}
	c.fault(path, "%q is not known: %s", word, hint)
	return false
}

func (c *checker) addrPort(path, text string) (netip.AddrPort, bool) {
	ap, err := netip.ParseAddrPort(text)
	if err == nil {
		return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port()), true
	}
	if text == "" {
		c.fault(path, "the address is missing: write it as 192.0.2.1:53 or [2001:db8::1]:53")
		return ap, false
	}
	if a, err := netip.ParseAddr(strings.Trim(text, "[]")); err == nil {
		c.fault(path, "%s has no port: write %s", text, netip.AddrPortFrom(a, 53))
		return ap, false
	}
	host, port, err := net.SplitHostPort(text)
	if err != nil {
		c.fault(path, "%q is not an address with a port: write it as 192.0.2.1:53 or [2001:db8::1]:53", text)
		return ap, false
	}
	if n, err := strconv.ParseUint(port, 10, 64); err != nil || n > 65535 {
		c.fault(path, "%q is no port: it is a number from 1 to 65535", port)
		return ap, false
	}
	switch {
	case host == "" || host == "*":
		c.fault(path, "%q has no address: write 0.0.0.0:%s for all IPv4 addresses of this machine, [::]:%s for all of IPv6", text, port, port)
	default:
		c.fault(path, "%q is not an address: names are not looked up here, so write the address itself, as in 192.0.2.1:%s", host, port)
	}
	return ap, false
}

func (c *checker) number(path, text string, low, high int64) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < low || n > high {
		c.fault(path, "%q is not a number from %d to %d", text, low, high)
		return low
	}
	return n
}

// duration reads what time.ParseDuration does, and days and weeks.
func (c *checker) duration(path, text string) time.Duration {
	d, err := time.ParseDuration(text)
	for unit, length := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		n, ok := strings.CutSuffix(text, unit)
		if count, errN := strconv.ParseUint(n, 10, 16); ok && errN == nil {
			d, err = time.Duration(count)*length, nil
		}
	}
	if err != nil {
		c.fault(path, "%q is not a duration: write a number with a unit, as in 10s, 15m, 168h or 7d", text)
	} else if d <= 0 {
		c.fault(path, "%q is not longer than zero", text)
	}
	return d
}

// size reads octets, with units of 1024 or, without the i, of 1000.
func (c *checker) size(path, text string) int64 {
	end := 0
	for end < len(text) && '0' <= text[end] && text[end] <= '9' {
		end++
	}
	n, err := strconv.ParseInt(text[:end], 10, 64)
	factor, ok := map[string]int64{
		"": 1, "b": 1, "k": 1 << 10, "kib": 1 << 10, "kb": 1e3, "m": 1 << 20, "mib": 1 << 20, "mb": 1e6,
		"g": 1 << 30, "gib": 1 << 30, "gb": 1e9, "t": 1 << 40, "tib": 1 << 40, "tb": 1e12,
	}[strings.ToLower(strings.TrimSpace(text[end:]))]
	if err != nil || !ok || n == 0 || n > math.MaxInt64/factor {
		c.fault(path, "%q is not a size: write octets or a unit, as in 64MiB or 1GiB", text)
		return 0
	}
	return n * factor
}
