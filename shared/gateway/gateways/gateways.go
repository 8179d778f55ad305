// Package gateways is the one place where a payment gateway is chosen.
package gateways

import (
	"context"
	"fmt"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/gateway/stripe"
)

// Config is what gateways are made of.
type Config struct {
	Now func() time.Time
	// Livemode says that the gateway must move money, and must not otherwise; a gateway whose
	// API key says something else does nothing. The simulator never moves any.
	Livemode bool
	// Secret returns the gateway's API key, and reads it anew if told to. It may be called
	// concurrently. Nil will do for the simulator, and where no gateway is called.
	Secret func(ctx context.Context, anew bool) (string, error)
	// URL is where the gateway's API is, if not at the gateway.
	URL string
}

// New returns the gateway of that name. The error lists the names there are.
func New(name string, c Config) (gateway.Provider, error) {
	switch name {
	case "simulator":
		return simulator.New(c.Now), nil
	case "stripe":
		return stripe.New(stripe.Config{Secret: c.Secret, Livemode: c.Livemode, Now: c.Now, URL: c.URL}), nil
	default:
		return nil, fmt.Errorf("%q is not a payment gateway; there are simulator and stripe", name)
	}
}
