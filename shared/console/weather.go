package console

import (
	"context"
	"errors"
	"time"
)

// Simulator is a simulated gateway that can be made to misbehave.
type Simulator interface {
	// Weather returns what is in force.
	Weather() Weather
	// SetWeather puts w in force, for every request to the gateway from then on. It may refuse
	// what [Weather.Check] does, and must not put any of it in force after an error.
	SetWeather(ctx context.Context, w Weather) error
}

// Weather is how a simulated gateway misbehaves. The zero value leaves it alone.
type Weather struct {
	// Latency is added to every request.
	Latency time.Duration
	// Declines is how many of a hundred charges are declined, besides those whose token is.
	Declines int
	// Timeouts is how many of a hundred charges are made and yet have no answer.
	Timeouts int
	// Outage makes the gateway refuse every request.
	Outage bool
}

// Fair reports whether nothing is in force.
func (w Weather) Fair() bool { return w == Weather{} }

// MaxLatency is how much latency may be added: an answer still comes within the time for which
// workers wait.
const MaxLatency = 4 * time.Second

// Check reports what can't be put in force. Its text is for people, and goes on from a colon.
func (w Weather) Check() error {
	switch {
	case w.Latency < 0 || w.Latency > MaxLatency:
		return errors.New("the extra latency must be between 0 and 4,000 ms")
	case w.Declines < 0 || w.Declines > 100:
		return errors.New("the decline rate must be between 0 and 100 %")
	case w.Timeouts < 0 || w.Timeouts > 100:
		return errors.New("the rate of timeouts must be between 0 and 100 %")
	}
	return nil
}
