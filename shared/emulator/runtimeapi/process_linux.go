package runtimeapi

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// attributes put a process in a group of its own, and let the kernel kill it should
// the runner die.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// peakMemoryMB is the most memory that a living process had, or 0 if that can't be
// told. It is no use to ask getrusage after its end: what that tells of a child
// includes the runner's own memory, of which it was a part until its exec.
func peakMemoryMB(pid int) int {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, _ := bytes.Cut(status, []byte("\nVmHWM:"))
	figure, _, _ := bytes.Cut(bytes.TrimSpace(rest), []byte(" kB"))
	kilobytes, _ := strconv.Atoi(string(figure))
	return (kilobytes + 1023) / 1024
}
