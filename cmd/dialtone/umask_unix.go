//go:build unix

package main

import "syscall"

// forUsOnly keeps what this process makes from now on from everybody else: secrets of phones are in the data directory.
func forUsOnly() { syscall.Umask(0o077) }
