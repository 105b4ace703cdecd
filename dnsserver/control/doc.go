// Package control is how commands reach a running server: HTTP with JSON over
// a Unix socket in the data directory.
//
// It owns: the socket, who may use it, the form of requests, answers and faults,
// their limits, and the audit log. Both ends are here: a Server, to which others
// add requests by Handle, HandleList, HandleUpload and HandleDownload, and a Client
// with Call, List, Upload and Download. Serving a Client in the same process (Server.Local) makes a
// command without a server do the very same.
//
// It must not know what a request does. Package dnsserver serves, cmd asks.
//
// # Form
//
// A request is POST /NAME with a JSON value; an upload has that value in the
// query parameter "in" and octets as its body. The answer is a JSON value with
// status 200; that of a list is one JSON object a line, {"item": ...} for each,
// and at last {"end": true} or {"error": ..., "mistake": ...}. A fault has
// another status and {"error": ..., "mistake": ...}; a mistake is one that who
// asked can correct. A download is octets, with the last line of a list as the
// trailer Dialtone-End.
//
// Limits: 64 KiB for a request but an upload, 16 connections, and 30 s for each
// piece that is read or written, which is 1 MiB of a download.
package control
