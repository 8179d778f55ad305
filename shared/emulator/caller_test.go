package emulator_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/emulator"
)

// TestCaller: a handler that waits can tell that its caller has left, and returns. Its own
// context does not end, so that what it was asked to do is done.
func TestCaller(t *testing.T) {
	bothModes(t, func(t *testing.T, c emulator.Config) {
		for name, patience := range map[string]time.Duration{"leaves": time.Second, "stays": time.Hour} {
			t.Run(name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c.Timeout = 20 * time.Second
					f := inProcess(t, func(ctx context.Context, _ request) (response, error) {
						caller, stop := emulator.Caller(ctx)
						defer stop()
						select {
						case <-caller.Done():
						case <-time.After(10 * time.Second):
						}
						return response{StatusCode: 200}, ctx.Err()
					}, c)
					caller, leave := context.WithTimeout(t.Context(), patience)
					defer leave()
					began := time.Now()
					if _, err := f.Invoke(t.Context(), emulator.Invocation{Event: event{}, Caller: caller}); err != nil {
						t.Error(err)
					}
					if took, want := time.Since(began), min(patience, 10*time.Second); took != want {
						t.Errorf("it took %v, want %v", took, want)
					}
				})
			})
		}
	})
}

// TestCallerUnknown: without a caller that can be known, as on Lambda, the context that
// stands for it ends with the invocation's.
func TestCallerUnknown(t *testing.T) {
	invocation, end := context.WithCancel(t.Context())
	caller, stop := emulator.Caller(invocation)
	defer stop()
	if caller.Err() != nil {
		t.Error("the caller has left before")
	}
	end()
	<-caller.Done()
}
