//go:build linux

package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// family is a process and what it started.
func family(pid int) ([]int, error) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, name := range stats {
		child, err := strconv.Atoi(filepath.Base(filepath.Dir(name)))
		if err != nil {
			continue
		}
		if f, err := statOf(child); err == nil {
			children[f.parent] = append(children[f.parent], child)
		}
	}
	all := []int{pid}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// stat is what /proc tells of a process' time.
type stat struct {
	parent int
	time   time.Duration // user and system
}

// clockTick is the unit of times in /proc: a hundredth of a second on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

func statOf(pid int) (stat, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return stat{}, err
	}
	// The name in parentheses may hold anything; the fields that count stand behind it.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return stat{}, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	parent, err1 := strconv.Atoi(fields[1])
	user, err2 := strconv.Atoi(fields[11])
	system, err3 := strconv.Atoi(fields[12])
	return stat{parent, time.Duration(user+system) * clockTick}, errors.Join(err1, err2, err3)
}

// cpu is the processor time that the server has used so far.
func (s *server) cpu() time.Duration {
	pids, err := family(s.pid())
	if err != nil {
		return 0
	}
	var sum time.Duration
	for _, pid := range pids {
		if st, err := statOf(pid); err == nil {
			sum += st.time
		}
	}
	return sum
}

// memory is what the server's processes hold, pages that they share counted once.
func (s *server) memory() (int64, error) {
	pids, err := family(s.pid())
	if err != nil {
		return 0, err
	}
	var sum int64
	for _, pid := range pids {
		n, err := pss(pid)
		if err != nil && pid == s.pid() {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

func pss(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(rest), " kB"), 10, 64)
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("smaps_rollup of process %d has no Pss", pid)
}

// diskUsed is what the files below a directory occupy: blocks, for a file may be larger than what is written of it.
func diskUsed(dir string) (int64, error) {
	var sum int64
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // removed while we look
		}
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return nil
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok {
			sum += st.Blocks * 512
		}
		return nil
	})
	return sum, err
}

// onDisk tells whether a directory is on a disk, and not in memory only.
func onDisk(dir string) bool {
	const tmpfs = 0x01021994
	var st syscall.Statfs_t
	return syscall.Statfs(dir, &st) != nil || st.Type != tmpfs
}

// timeWrites appends 4 KiB and syncs, n times, and gives the median: what a disk takes for one small promise.
func timeWrites(dir string, n int) (time.Duration, error) {
	f, err := os.Create(filepath.Join(dir, "writes"))
	if err != nil {
		return 0, err
	}
	defer func() {
		_ = f.Close()
		_ = os.Remove(f.Name())
	}()
	block := bytes.Repeat([]byte{0x5a}, 4096)
	took := make([]time.Duration, n)
	for i := range took {
		begin := time.Now()
		if _, err := f.Write(block); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			return 0, err
		}
		took[i] = time.Since(begin)
	}
	slices.Sort(took)
	return took[n/2], nil
}

// machine says where this runs.
func machine() []string {
	var lines []string
	text, _ := os.ReadFile("/proc/cpuinfo")
	model, cores := "unknown processor", 0
	for l := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(l, ":")
		switch strings.TrimSpace(name) {
		case "model name":
			model = strings.TrimSpace(value)
			cores++
		}
	}
	lines = append(lines, fmt.Sprintf("%s, %d cores", model, cores))
	if text, err := os.ReadFile("/proc/meminfo"); err == nil {
		fields := strings.Fields(string(text))
		if len(fields) > 1 {
			kib, _ := strconv.ParseFloat(fields[1], 64)
			lines = append(lines, fmt.Sprintf("%.1f GiB of memory", kib/(1<<20)))
		}
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		lines = append(lines, "Linux "+strings.TrimSpace(string(text)))
	}
	return lines
}
