//go:build linux

package main

import "fmt"

// methods says how each row that was measured came about.
func (r *report) methods() []string {
	p := r.plan
	all := map[int]string{
		1: fmt.Sprintf("`dnsperf -c 8 -q 400 -l %g`: of twenty queries eighteen for the A of a number, one for its AAAA (NODATA), one for a missing number (NXDOMAIN), in random order from %s different ones. Zone of %s numbers. Processor time is user and system time of all processes of the server.",
			p.load.Seconds(), thousands(float64(p.queries), 0), thousands(float64(p.numbers), 0)),
		2:  "The same queries from our own load: one thread, 8 sockets with 50 queries outstanding each. It sends what a socket has room for in one call that the kernel cuts into datagrams (UDP_SEGMENT), and reads with recvmmsg, so it costs less than any server. It rests when less than 48 replies wait, and says what it used.",
		3:  "Both again with EDNS and a cookie that the server gave before: 8 octets of the client, 16 of the server (RFC 7873, RFC 9018).",
		4:  fmt.Sprintf("dialtone alone, both loads, zones of %s and %s numbers in turn.", thousands(float64(p.small), 0), thousands(float64(p.big), 0)),
		5:  fmt.Sprintf("`dnsperf -u -y hmac-sha256:… -c 8 -q 256 -l %g`: each update deletes the A RRset of a random number and adds one A. All replies have to be NOERROR.", p.load.Seconds()),
		6:  "Row 5 for dialtone alone, at the sizes of row 4.",
		7:  fmt.Sprintf("Our own load with one update outstanding, %d of them over UDP. Beside it, in the same directory: 4 KiB appended to a file, fdatasync, as often.", p.oneByOne),
		8:  fmt.Sprintf("Server and loads share two cores. Queries leave every 200 us on a schedule, whether replies come or not; waiting is counted from the schedule. %g s each without and with our own load of signed updates.", p.load.Seconds()),
		9:  "A client that walks over the records of an AXFR over TCP, from the connection's begin to the closing SOA. The number of records is checked.",
		10: fmt.Sprintf("%s updates by our own load to %s numbers of a zone of ten times as many, then the IXFR from the serial before them, once a round.", thousands(float64(p.historyUpdates), 0), thousands(float64(p.historyNumbers), 0)),
		11: "From starting the program to the right answer for a number, asked every millisecond. dialtone starts from its store, the others from the zone file, as they always do.",
		12: "The same with an empty directory: dialtone reads the zone file and stores it.",
		13: fmt.Sprintf("PSS of all processes of a server from smaps_rollup, once it does not change for a third of %v, or after that time. Later: after updates to random numbers by our own load.", p.settle),
		14: fmt.Sprintf("%s updates by our own load to %s numbers, 256 outstanding, journal bounded at 64 MiB. Blocks that the store occupies, seen at each twentieth of the updates.",
			thousands(float64(p.diskUpdates), 0), thousands(float64(p.diskNumbers), 0)),
		15: fmt.Sprintf("dialtone alone with %s numbers in its store.", thousands(float64(p.big), 0)),
	}
	measured := map[int]bool{}
	for _, row := range r.rows {
		measured[row.row] = true
	}
	var list []string
	for row := 1; row <= lastRow; row++ {
		if measured[row] {
			list = append(list, fmt.Sprintf("Row %d: %s", row, all[row]))
		}
	}
	return list
}

// settings says how the servers are set up.
func settings() []string {
	return []string{
		"All: 127.0.0.1, one server at a time, taking turns; one core for the server (`taskset -c 0`, one worker), the other for the loads. Zone phones.example. with one A for each number, TTL 60.",
		"dialtone: `GOMAXPROCS=1`, `limits.udp_buffer: 4MiB`, updates signed and checked against an acl, `journal.max_size: 64MiB`, cookies on as by default.",
		"Knot: `udp-workers`, `tcp-workers`, `background-workers` 1; `zonefile-sync: -1` and the journal as by default, so that each batch of updates is synced once. Its socket buffers cannot be set and are the kernel's default: a part of the first 400 queries finds no room, which does not slow it, for the others keep it busy. `mod-cookies` in row 3 only.",
		"NSD: `server-count: 1`, `minimal-responses: yes`, socket buffers 4 MiB, its rate limiting off (with Debian's defaults it drops nearly everything), `answer-cookie: yes` in row 3 only.",
		"BIND: `-n 1`, `minimal-responses yes`, no recursion, `notify no`, socket buffers 4 MiB, `update-quota 1000` (with the default of 100 it drops a part of 256 outstanding updates). Cookies on as by default. In row 10 `max-ixfr-ratio unlimited; max-journal-size unlimited`, so that it answers with the changes.",
		"Every server logs warnings only.",
	}
}

// limits says what these figures do not tell.
func limits() []string {
	return []string{
		"Loopback has no network card and no driver: a server spends a larger share of its time in its own code on a real network, and all of them spend more for each datagram.",
		"Where a system call is dear, as on many virtual machines, servers that take one datagram a call (Debian's NSD, BIND) lose more than those that take many.",
		"Two cores share a cache and, on a virtual machine, a host. Spreads of ten per cent are usual: compare values of one run only.",
		"What updates wait for is the sync of this machine's disk. A disk that is slower to sync favours a server that puts many updates into one sync.",
		"dnsperf needs more of a core for a query than a server does. Where the server's core was not busy, its rate is dnsperf's limit: our own load tells the server's.",
		"Knot's socket buffers are `net.core.rmem_default`: raise that before, and it loses nothing.",
		"The kernel grants 4 MiB of socket buffer to root, or up to `net.core.rmem_max` to others.",
	}
}
