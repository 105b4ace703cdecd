// Package phone is the phone's side of dialtone: a library for programs that
// register the current address of a terminal number, or that want to call one.
//
// It owns: terminal numbers as people write them, the phone's keys and their
// files, the dynamic update (RFC 2136, signed by RFC 8945 or RFC 2931, leased by
// RFC 9664) that registers a number, the agent that keeps it registered, and the
// way from a number to where a SIP request for it goes (RFC 3263), by way of
// ENUM where that is asked for (RFC 6116). It speaks plain DNS, so it works with
// any server that takes such updates, and the server with any other client.
//
// It must not know the server's packages: a phone has none of them.
package phone
