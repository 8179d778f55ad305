//go:build unix && !linux

package runtimeapi

import "syscall"

// attributes put a process in its own group. If the runner dies, it ends at its next call
// to the Runtime API.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// peakMemoryMB returns 0: the peak is unknown here.
func peakMemoryMB(int) int { return 0 }
