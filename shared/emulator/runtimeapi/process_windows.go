package runtimeapi

import (
	"os"
	"syscall"
)

// Windows has no signals: an idle process runs on, one that registered an extension is
// killed 500 ms later without notice, and what it started is not killed with it.
const (
	freeze = syscall.Signal(-1)
	thaw   = syscall.Signal(-2)
)

func signalGroup(p *os.Process, signal syscall.Signal) {
	if signal == syscall.SIGKILL {
		_ = p.Kill() // it may be gone already
	}
}

func attributes() *syscall.SysProcAttr { return nil }

// peakMemoryMB can't tell here.
func peakMemoryMB(int) int { return 0 }
