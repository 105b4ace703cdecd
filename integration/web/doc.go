// Package web tests the page for the people at the desk in a real browser:
// Chromium from Debian. It is what "make test-web" runs.
//
// It owns: tests behind the build tag web, of the built dialtone binary. They
// leave pictures of the pages in a directory whose name they print.
//
// It must not import the server's packages: what is judged is what somebody in
// front of a screen sees. Nobody may import it.
package web
