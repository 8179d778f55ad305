// Package gateways is the one place where a payment gateway is chosen.
package gateways

import (
	"fmt"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
)

// New returns the gateway of that name. The error lists the names there are.
func New(name string, now func() time.Time) (gateway.Provider, error) {
	switch name {
	case "simulator":
		return simulator.New(now), nil
	default:
		return nil, fmt.Errorf("%q is not a payment gateway; there is simulator", name)
	}
}
