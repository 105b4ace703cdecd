// Package ratelimit limits the responses that one network can make a server send.
//
// It owns: the table of debts, the decision whether a response leaves, is cut short or is dropped, and the
// moments at which limiting of a network begins and ends.
//
// It must not know messages, sockets or zones: package answer tells what a response counts as, package dnsserver
// asks for each response over UDP whose client is not proven, and counts and logs what came out.
//
// # What is counted
//
// As in BIND, responses are the same when they go to the same network (the first bits of the address) and are of
// the same class: answers of the same name and type, where all names that one wildcard or DNAME makes are one;
// referrals of the same cut; NODATA of the same zone; NXDOMAIN of the same zone; errors, whatever they are about. A
// flood with forged source addresses repeats itself in this sense, ordinary resolvers with their caches hardly do.
//
// # The table
//
// Each kind of response to each network has an account. A response costs 1/rate of a second, the account pays off
// by the clock, and what is owed is at most the window and a second: so an account is one moment, the one at which
// nothing is owed any more. A response leaves as long as no more than a second is owed. Whoever goes on asking gets
// nothing until the flood is over and most of the window has passed, as in BIND.
//
// An account is one word of 64 bits in a table of fixed size, in one of the eight places of the cache line that its
// hash leads to, changed by compare-and-swap: no lock, no pointer, no allocation. An account that owes nothing is as
// good as none, so places become free by time alone; when all eight are taken, the one that owes least makes room.
// Hashes are seeded, so nobody outside can choose networks or names that meet. The word:
//
//	27 bits of the hash | limited | responses limited, counted round by slip (4 bits) | moment (32 bits, 1/65536 s)
package ratelimit
