package runtimeapi

import (
	"bytes"
	"os"
	"strconv"
	"syscall"
)

// attributes put a process in its own group, and let the kernel kill it if the runner
// dies.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// peakMemoryMB returns the peak memory of a living process, or 0 if it is unknown.
// getrusage after its end would not do: for a child it includes the runner's own memory,
// which the child shared until its exec.
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
