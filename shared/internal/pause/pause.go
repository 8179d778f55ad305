// Package pause waits, unless the context ends first.
package pause

import (
	"context"
	"time"
)

// For returns nil after d, or the context's error if the context ends first.
func For(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
