// Package weather makes the simulated gateway misbehave on demand, as the console's panel says:
// slow, away, declining, silent.
//
// Whatever the panel does, the gateway keeps the contract of [gateway.Gateway]. The simulator
// has no memory: what it does follows from key, token and attempt, so that whatever else
// happens to a charge must be remembered here, durably before the worker hears of it. That is
// a document for each key that was refused in an outage or declined by rate. A lost answer
// needs none, since the charge itself went through. As the simulator does, Gateway relies on
// [gateway.Hint]: each request under a key has a later attempt than the one before it.
package weather

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"paylane/shared/console"
	"paylane/shared/document"
	"paylane/shared/gateway"
)

// Patience is for how long orders are tried that met an outage of the panel. It is production's,
// so that an outage can be watched as it goes there.
const Patience = 6 * time.Hour

var (
	// errAway is the error of a request that an outage leaves open.
	errAway = errors.New("the gateway can't be reached, and can't say what it did")
	// errLost is that of a charge which was made.
	errLost = errors.New("the gateway's answer was lost")
	// errClosed is that of a request under a key which [Gateway.Resolve] has closed.
	errClosed = errors.New("the gateway has closed this key")
)

// Gateway is a [gateway.Provider] and the [console.Simulator] of its weather.
type Gateway struct {
	gateway.Provider

	documents document.Store
	now       func() time.Time

	// state is nil until the weather was first changed on these documents.
	state   atomic.Pointer[state]
	setting sync.Mutex // held while the state is changed
}

var (
	_ gateway.Provider  = (*Gateway)(nil)
	_ console.Simulator = (*Gateway)(nil)
)

// state is the weather, and what is remembered of it.
type state struct {
	console.Weather

	outages outages
	// version is that of the outages' document; 0 if there is none, and then nothing is
	// remembered of any key either.
	version int64
}

// outages is what is kept of the weather in a document.
type outages struct {
	// Now reports whether there is one, and Ended is when the last one ended.
	Now   bool      `json:"now,omitempty"`
	Ended time.Time `json:"ended,omitzero"`
}

// outagesKey is of no tenant: none has this name.
func outagesKey() document.Key { return document.Key{Tenant: "*", Name: "simulator.outages"} }

// Open returns the simulator in fair weather, and with its memory of any other.
func Open(ctx context.Context, simulator gateway.Provider, documents document.Store, now func() time.Time) (*Gateway, error) {
	g := &Gateway{Provider: simulator, documents: documents, now: now}
	d, err := documents.Document(ctx, outagesKey())
	if err != nil {
		return nil, fmt.Errorf("read when the simulated gateway was out: %w", err)
	}
	if d.Version == 0 {
		return g, nil
	}
	s := state{version: d.Version}
	if err := json.Unmarshal([]byte(d.Body), &s.outages); err != nil {
		return nil, fmt.Errorf("read when the simulated gateway was out: %w", err)
	}
	if s.outages.Now { // it ended with the process
		if err := g.remember(ctx, &s, outages{Ended: now()}); err != nil {
			return nil, err
		}
	}
	g.state.Store(&s)
	return g, nil
}

// remember writes down when there was an outage.
func (g *Gateway) remember(ctx context.Context, s *state, o outages) error {
	body, err := json.Marshal(o)
	if err == nil {
		err = g.documents.PutDocument(ctx, document.Document{Key: outagesKey(), Version: s.version + 1, Body: string(body)})
	}
	if err != nil {
		return fmt.Errorf("write down when the simulated gateway was out: %w", err)
	}
	s.outages, s.version = o, s.version+1
	return nil
}

// current returns the state; its zero value if there is none.
func (g *Gateway) current() state {
	if s := g.state.Load(); s != nil {
		return *s
	}
	return state{}
}

// Weather implements [console.Simulator].
func (g *Gateway) Weather() console.Weather { return g.current().Weather }

// SetWeather implements [console.Simulator]. What has to be remembered of an outage is durable
// before it begins.
func (g *Gateway) SetWeather(ctx context.Context, w console.Weather) error {
	if err := w.Check(); err != nil {
		return err
	}
	g.setting.Lock()
	defer g.setting.Unlock()
	next := g.current()
	o := outages{Now: w.Outage, Ended: next.outages.Ended}
	if next.Outage && !w.Outage {
		o.Ended = g.now()
	}
	if o != next.outages || next.version == 0 {
		if err := g.remember(ctx, &next, o); err != nil {
			return err
		}
	}
	next.Weather = w
	g.state.Store(&next)
	return nil
}

// Patience returns how long an order is tried whose attempts began at a time: [Patience] if it
// met an outage. For the zero time it is the longest that holds for any order.
func (g *Gateway) Patience(began time.Time) time.Duration {
	const longest = 2 * Patience // an order whose message is late has its last attempt by then
	o := g.current().outages
	met := !began.After(o.Ended) && g.now().Sub(o.Ended) < longest
	if o.Now || met {
		return Patience
	}
	return 0
}

// Charge implements [gateway.Gateway].
func (g *Gateway) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	if g.state.Load() == nil {
		return g.Provider.Charge(ctx, r)
	}
	return g.act(ctx, r, true, g.Provider.Charge)
}

// Refund implements [gateway.Gateway]. Only latency and outages concern it.
func (g *Gateway) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	if g.state.Load() == nil {
		return g.Provider.Refund(ctx, r)
	}
	return g.act(ctx, r, false, g.Provider.Refund)
}

func (g *Gateway) act(
	ctx context.Context, r gateway.Request, charge bool, send func(context.Context, gateway.Request) (gateway.Receipt, error),
) (gateway.Receipt, error) {
	s := g.current()
	if err := wait(ctx, s.Latency); err != nil {
		return gateway.Receipt{}, fmt.Errorf("wait for the gateway: %w", err)
	}
	known, err := g.recall(ctx, r)
	switch {
	case err != nil:
		return gateway.Receipt{}, err
	case known.Declined:
		return gateway.Receipt{}, declined()
	case known.Closed:
		return gateway.Receipt{}, errClosed
	case r.Hint.Attempt <= known.Refused:
		return gateway.Receipt{}, errRefused()
	case s.Outage:
		return gateway.Receipt{}, g.refuse(ctx, r, known)
	}
	receipt, err := send(ctx, r)
	switch {
	case err != nil || !charge:
		return receipt, err
	case known.untouched(r) && share(r.Key) < s.Declines:
		known.Declined = true
		if err := g.record(ctx, known); err != nil {
			return gateway.Receipt{}, err
		}
		return gateway.Receipt{}, declined()
	case share(r.Key+"#"+strconv.Itoa(r.Hint.Attempt)) < s.Timeouts:
		return gateway.Receipt{}, errLost
	}
	return receipt, nil
}

// refuse ends a request in an outage. It is known not to have acted only if no earlier one under
// its key did.
func (g *Gateway) refuse(ctx context.Context, r gateway.Request, known record) error {
	if !known.untouched(r) {
		earlier := r
		earlier.Hint.Attempt--
		if done, err := g.Provider.Resolve(ctx, earlier); err != nil || done.Done {
			return errAway
		}
	}
	known.Refused = r.Hint.Attempt
	if err := g.record(ctx, known); err != nil {
		return err
	}
	return errRefused()
}

// Resolve implements [gateway.Gateway].
func (g *Gateway) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	s := g.state.Load()
	if s == nil {
		return g.Provider.Resolve(ctx, r)
	}
	if err := wait(ctx, s.Latency); err != nil {
		return gateway.Resolution{}, fmt.Errorf("wait for the gateway: %w", err)
	}
	if s.Outage {
		return gateway.Resolution{}, errAway
	}
	known, err := g.recall(ctx, r)
	if err != nil {
		return gateway.Resolution{}, err
	}
	if !known.Closed && !known.Declined && r.Hint.Attempt > known.Refused {
		return g.Provider.Resolve(ctx, r)
	}
	if !known.Closed && known.key.Version > 0 {
		known.Closed = true
		if err := g.record(ctx, known); err != nil {
			return gateway.Resolution{}, err
		}
	}
	return gateway.Resolution{}, nil
}

// record is what is remembered of a key. Its zero value is of a key that nothing happened to
// here.
type record struct {
	key document.Document

	// Refused is the latest attempt that was refused. Neither it nor any before it acted.
	Refused int `json:"refused,omitempty"`
	// Declined reports that the charge was declined by rate.
	Declined bool `json:"declined,omitempty"`
	// Closed reports that Resolve said that nothing happened under the key.
	Closed bool `json:"closed,omitempty"`
}

// untouched reports whether every attempt before this one was refused.
func (k record) untouched(r gateway.Request) bool { return r.Hint.Attempt == k.Refused+1 }

func (g *Gateway) recall(ctx context.Context, r gateway.Request) (record, error) {
	d, err := g.documents.Document(ctx, document.Key{Tenant: r.Order.Tenant, Name: "simulator." + r.Key})
	known := record{key: d}
	if err == nil && d.Version > 0 {
		err = json.Unmarshal([]byte(d.Body), &known)
	}
	if err != nil {
		return record{}, fmt.Errorf("recall what the simulated gateway did: %w", err)
	}
	return known, nil
}

// record writes down what is known of a key from now on. After an error, what became of the
// request is unknown.
func (g *Gateway) record(ctx context.Context, known record) error {
	body, err := json.Marshal(known)
	if err == nil {
		d := known.key
		d.Version++
		d.Body = string(body)
		err = g.documents.PutDocument(ctx, d)
	}
	if err != nil {
		return fmt.Errorf("write down what the simulated gateway did: %w", err)
	}
	return nil
}

func errRefused() error {
	return fmt.Errorf("the simulated gateway is out: %w", gateway.ErrUnavailable)
}

func declined() error {
	return &gateway.DeclinedError{Code: "declined", Message: "The card was declined."}
}

// share spreads texts evenly over 0 to 99, the same for the same text.
func share(text string) int {
	sum := sha256.Sum256([]byte("weather " + text))
	return int(binary.BigEndian.Uint32(sum[:]) % 100)
}

// wait returns nil after d, or the context's error if the context ends first.
func wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
