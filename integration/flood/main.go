//go:build linux

package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync/atomic"
	"time"
)

// options are what the command line says.
type options struct {
	addr    string
	zone    string
	rate    float64 // messages or connections a second
	sources int     // addresses that they come from
	open    int     // connections at one time
	key     string  // name of the key that signs
	secret  string  // base64; "": the MACs are junk
}

// counts are what a flood has come to.
type counts struct {
	Sent   atomic.Uint64     // messages, or connections
	Failed atomic.Uint64     // that could not be sent, or opened
	Closed atomic.Uint64     // connections that the server has closed
	Rcodes [16]atomic.Uint64 // of the answers that were read
}

// floods by name.
var floods = map[string]func(context.Context, *options, *counts) error{
	"queries":        queries,
	"nxdomain":       nxdomain,
	"update":         unsigned,
	"update-signed":  signed,
	"tsig-junk":      junk,
	"tcp-connect":    connect,
	"tcp-slow-read":  slowRead,
	"tcp-slow-write": slowWrite,
	"bombs":          bombs,
}

// The flood ends when standard input does, and then it says what it has done: a test that is killed leaves
// no flood behind.
func main() {
	var o options
	kind := flag.String("kind", "queries", "the flood")
	flag.StringVar(&o.addr, "addr", "127.0.0.1:5300", "the server")
	flag.StringVar(&o.zone, "zone", "phones.example.", "a zone of it")
	flag.Float64Var(&o.rate, "rate", 1000, "messages, or connections, a second")
	flag.IntVar(&o.sources, "sources", 1, "addresses that they come from")
	flag.IntVar(&o.open, "open", 100, "connections at one time")
	flag.StringVar(&o.key, "key", "", "name of the key that signs")
	flag.StringVar(&o.secret, "secret", "", "its secret in base64")
	flag.Parse()
	run, ok := floods[*kind]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no flood %q\n", *kind)
		os.Exit(2)
	}
	ctx, stop := context.WithCancel(context.Background())
	go func() {
		_, _ = io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	var c counts
	begun := time.Now()
	if err := run(ctx, &o, &c); err != nil && ctx.Err() == nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", *kind, err)
		os.Exit(1)
	}
	rcodes := map[int]uint64{}
	for i := range c.Rcodes {
		if n := c.Rcodes[i].Load(); n > 0 {
			rcodes[i] = n
		}
	}
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"sent": c.Sent.Load(), "failed": c.Failed.Load(), "closed": c.Closed.Load(), "rcodes": rcodes, "seconds": time.Since(begun).Seconds(),
	})
}

// pace calls f with how many are due, about every millisecond, until ctx ends. What a slow machine does not
// get out in time is left out, lest it come as one burst.
func pace(ctx context.Context, rate float64, f func(n int) error) error {
	const most = 20 * time.Millisecond
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	last, due := time.Now(), 0.0
	for {
		select {
		case <-ctx.Done():
			return nil
		case now := <-tick.C:
			due += min(now.Sub(last), most).Seconds() * rate
			last = now
		}
		if n := int(due); n > 0 {
			due -= float64(n)
			if err := f(n); err != nil {
				return err
			}
		}
	}
}
