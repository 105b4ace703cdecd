package main

import (
	"strings"
	"testing"
	"time"

	"dialtone/dnsserver"
	"dialtone/zone/rr"
)

func TestLiveLine(t *testing.T) {
	var out strings.Builder
	now := time.Unix(1000, 0)
	l := newLiveLine(&out, func() time.Time { return now })
	zone := rr.MustName("phones.example.")
	wrote := func(want string) {
		t.Helper()
		if got := out.String(); got != want {
			t.Errorf("wrote %q, want %q", got, want)
		}
		out.Reset()
	}
	l.show(dnsserver.Progress{Zone: zone, Phase: dnsserver.Reading, Records: 16384})
	wrote("") // a quick start shows nothing
	now = now.Add(time.Second)
	l.show(dnsserver.Progress{Zone: zone, Phase: dnsserver.Reading, Records: 1234567})
	wrote("\r\x1b[Kphones.example. reading its file: 1,234,567 records, 1,234,567 a second")
	l.show(dnsserver.Progress{Zone: zone, Phase: dnsserver.Reading, Records: 1300000})
	wrote("") // too soon
	if _, err := l.Write([]byte("level=INFO msg=x\n")); err != nil {
		t.Fatal(err)
	}
	wrote("\r\x1b[Klevel=INFO msg=x\n")
	now = now.Add(time.Second)
	l.show(dnsserver.Progress{Zone: zone, Phase: dnsserver.Storing, Records: 999, Of: 1300000})
	wrote("\r\x1b[Kphones.example. storing: 999 of 1,300,000 records")
	l.end()
	wrote("\r\x1b[K")
	now = now.Add(time.Second)
	l.show(dnsserver.Progress{Zone: zone, Phase: dnsserver.Loading, Records: 1})
	l.Write([]byte("level=INFO msg=serving\n"))
	wrote("level=INFO msg=serving\n")
}

func TestOnlyATerminalHasALiveLine(t *testing.T) {
	if isTerminal(&strings.Builder{}) {
		t.Error("a buffer is taken for a terminal")
	}
}
