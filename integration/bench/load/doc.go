// Package load generates the loads of the benchmark: queries as fast as they
// are answered, queries on a schedule, signed updates, and zone transfers.
//
// It owns: messages in wire form that are prepared before a load begins, batched
// system calls, the count of what was answered, lost or refused, and latencies
// in histograms. A generator has to cost less than the server that it loads:
// it allocates nothing while it runs, and says what it used of the processor.
//
// It must not know servers, files or reports, nor import the server's packages.
// Only integration/bench and integration/flood may import it. Batched system calls make it Linux only.
package load
