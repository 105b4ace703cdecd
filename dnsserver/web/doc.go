// Package web is the page for the people at the desk: where is a number, since
// when, who registered it, what had it before, and does the server work.
//
// It owns: an HTTP server on an address of its own, its pages and what they
// load, logging in with the token, and the limits of all that. It shows and
// changes nothing. It must not know how the server finds what it tells: that is
// the interface Source, which a dnsserver.Server has. The program that runs the
// server starts it.
//
// # What it defends against
//
// Whoever has no token sees the login and nothing else; attempts are few a
// minute. A session is a random cookie that scripts cannot read and that other
// sites' requests do not carry. Requests by names that are not known are refused,
// so that no other site's name can be led here (DNS rebinding), and so are posts
// that come from other sites. What it shows is escaped by html/template, and no
// script but the ones embedded here runs (Content-Security-Policy). It loads
// nothing from elsewhere. A new token, or a restart, ends all sessions.
//
// # How a page lives
//
// A page is whole when it comes, without scripts too. Then one stream of
// server-sent events keeps it: rates each second, and pieces of HTML, made here,
// when what they show has changed.
package web
