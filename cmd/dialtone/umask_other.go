//go:build !unix

package main

// forUsOnly has nothing to do where there is no umask.
func forUsOnly() {}
