// Dialtone is an authoritative DNS server for telephone terminal numbers, which
// phones register by dynamic updates (RFC 2136).
//
// This package owns the command tree, exit codes, the wiring of configuration
// and server, and what the user reads on the terminal. It must not hold logic
// that a test would want to call, and nobody imports it.
//
// Exit codes: 0 when all went well; 2 for what the user can correct (arguments,
// configuration, zone files, addresses and directories that cannot be used); 1
// for anything else.
package main
