//go:build linux

package load

import (
	"fmt"
	"runtime"
	"time"

	"golang.org/x/sys/unix"
)

// onThread runs f on a thread of its own. Its processor time is then the load's, and what it sets does not outlive it: the
// runtime ends a thread whose goroutine ends without unlocking it. Cores, when there are any, are where it may run.
func onThread(cores []int, f func() error) error {
	done := make(chan error)
	go func() {
		runtime.LockOSThread()
		done <- inThread(cores, f)
	}()
	return <-done
}

func inThread(cores []int, f func() error) error {
	// Sleeps of some microseconds need a timer that is not rounded up to the usual fifty.
	_ = unix.Prctl(unix.PR_SET_TIMERSLACK, 1, 0, 0, 0)
	if len(cores) > 0 {
		var set unix.CPUSet
		for _, c := range cores {
			set.Set(c)
		}
		if err := unix.SchedSetaffinity(0, &set); err != nil {
			return fmt.Errorf("a load cannot run on the cores %v: %w", cores, err)
		}
	}
	return f()
}

// first gives this thread the processor before others, when that is permitted: a schedule that is kept late would be taken
// for a server that answers late.
func first() { _ = unix.Setpriority(unix.PRIO_PROCESS, unix.Gettid(), -15) }

// threadTime is the processor time of this thread.
func threadTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_THREAD, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
