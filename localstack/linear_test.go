//go:build integration

package localstack_test

import (
	"context"
	"testing"
	"time"

	"paylane/shared/e2e"
)

// TestKilledLinearizable kills processes of the functions, over and over, under clients that do
// at random what callers may. What they were answered must be what one request after the other
// would have been.
func TestKilledLinearizable(t *testing.T) {
	s := newStack(t)
	r := s.start(t, project(t, hurry()...), "--parameter", "MaxAttempts=1")
	clients := e2e.Clients{
		Groups: 2, Size: 4, Orders: 3, Requests: 10, Tenant: "local",
		Connect: func(context.Context, string) (url, authorization string, err error) { return r.url, "", nil },
	}
	clients.Linearizable(t, 30*time.Second, func(ctx context.Context) {
		killed := time.NewTicker(2 * time.Second)
		defer killed.Stop()
		for i := 0; ; i++ {
			select {
			case <-ctx.Done():
				return
			case <-killed.C:
				r.kill(t, []string{"Api", "Payment"}[i%2])
			}
		}
	})
}
