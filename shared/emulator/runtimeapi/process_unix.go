//go:build unix

package runtimeapi

import (
	"os"
	"syscall"
)

// Lambda freezes a process that is idle.
const (
	freeze = syscall.SIGSTOP
	thaw   = syscall.SIGCONT
)

// signalGroup sends a signal to a process and to those that it started.
func signalGroup(p *os.Process, signal syscall.Signal) { _ = syscall.Kill(-p.Pid, signal) }
