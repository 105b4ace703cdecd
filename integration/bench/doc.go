//go:build linux

// Command bench measures dialtone beside Knot, NSD and BIND on one machine, and
// writes the table of BENCHMARKS.md.
//
// It owns: the configurations of the servers that are compared, the processes,
// the data, the order of the measurements, and the report with its targets. The
// loads themselves are in integration/bench/load, and dnsperf.
//
// It must not import the server's packages: it sees a server from outside, as
// its clients do. Servers run one at a time, on one core; loads on another.
// Nobody may import it; make bench runs it.
package main
