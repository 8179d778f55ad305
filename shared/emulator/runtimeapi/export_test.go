package runtimeapi

import "time"

// SetInitLimit shortens the 10 s that an init may take.
func (f *Function) SetInitLimit(limit time.Duration) { f.initLimit = limit }

// Wait returns when no invocation is in progress.
func (f *Function) Wait() { f.underWay.Wait() }

// Idle counts the environments that wait for an invocation.
func (f *Function) Idle() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.idle)
}
