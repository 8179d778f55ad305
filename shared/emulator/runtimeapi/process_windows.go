package runtimeapi

import (
	"os"
	"syscall"
)

// Windows has no signals: an idle process runs on, one that registered an extension is
// killed after 500 ms without notice, and the programs it started are not killed with it.
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

// peakMemoryMB returns 0: the peak is unknown here.
func peakMemoryMB(int) int { return 0 }
