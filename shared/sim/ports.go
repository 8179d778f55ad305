package sim

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"paylane/shared/document"
	"paylane/shared/gateway"
	"paylane/shared/handlers"
	"paylane/shared/order"
	"paylane/shared/queue"
)

// errLost is how a call fails whose request or answer was lost.
var errLost = fmt.Errorf("the connection broke: %w", order.ErrUnavailable)

// errThrottled is how a call fails that was refused.
var errThrottled = fmt.Errorf("throttled: %w", order.ErrUnavailable)

// call makes a call of something outside the process: a request on its way, its effect, and the
// answer on its way back. Faults may come at each. The effect is atomic, and runs at most once
// unless the call is repeated.
func (w *world) call(ctx context.Context, name string, takes time.Duration, effect func(again bool) error) error {
	t := w.await(ctx, name, takes)
	late := func() {
		if w.faults.hits(t.rng, lateEffect) {
			w.later(ctx, name, time.Duration(t.rng.Int64N(int64(latest))), func() error { return effect(false) })
		}
	}
	switch {
	case t.err != nil:
		w.tell(ctx, "%s: gives up: %v", name, t.err)
		late()
		return fmt.Errorf("%s: %w", name, t.err)
	case w.faults.hits(t.rng, panics) && environmentOf(ctx) != nil:
		w.tell(ctx, "%s: panic", name)
		if env := environmentOf(ctx); strings.HasPrefix(name, "hide") || strings.HasPrefix(env.name, "Reconcile") {
			env.crash() // as a panic does in a goroutine that the code starts
			runtime.Goexit()
		}
		panic("a fault at " + name)
	case w.faults.hits(t.rng, throttled):
		w.tell(ctx, "%s: throttled", name)
		return errThrottled
	case w.faults.hits(t.rng, requestLost):
		w.tell(ctx, "%s: the request is lost", name)
		late()
		return errLost
	case w.faults.hits(t.rng, slow):
		if t = w.await(ctx, name+", slow", time.Duration(1+t.rng.IntN(9))*time.Second); t.err != nil {
			w.tell(ctx, "%s: gives up: %v", name, t.err)
			late()
			return fmt.Errorf("%s: %w", name, t.err)
		}
	}
	err := w.effect(func() error { return effect(false) })
	w.tell(ctx, "%s: %v", name, outcomeOf(err))
	if w.faults.hits(t.rng, repeated) {
		err = w.effect(func() error { return effect(true) })
		w.tell(ctx, "%s, repeated: %v", name, outcomeOf(err))
	}
	w.changed = true
	t = w.await(ctx, name+", answer", takes)
	switch {
	case t.err != nil:
		w.tell(ctx, "%s: gives up on the answer", name)
		return fmt.Errorf("%s: %w", name, t.err)
	case w.faults.hits(t.rng, responseLost):
		w.tell(ctx, "%s: the answer is lost", name)
		return errLost
	}
	return err
}

// latest is how late a request may still have its effect: well past [order.EarlyFor].
const latest = 8 * time.Minute

// later has an effect happen although nobody waits for it any more.
func (w *world) later(ctx context.Context, name string, after time.Duration, effect func() error) {
	ghost := named(context.Background(), "late "+identity(ctx))
	w.late++
	w.ghosts.Go(func() {
		timer := time.NewTimer(after)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-w.closed:
			return
		}
		w.await(ghost, name, time.Millisecond)
		err := w.effect(effect)
		w.late--
		w.changed = true
		w.tell(ghost, "%s: %v", name, outcomeOf(err))
	})
}

// outcomeOf writes an error for the trace.
func outcomeOf(err error) string {
	var conflict *order.ConflictError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &conflict):
		return fmt.Sprintf("conflict with %s version %d", conflict.Current.Status, conflict.Current.Version)
	default:
		return err.Error()
	}
}

// store is a table as functions reach it.
type store struct {
	*world
	inner handlers.Store
}

func (s store) Create(ctx context.Context, o order.Order) error {
	o = outward(ctx, o)
	done := false
	err := s.call(ctx, "create "+s.short(o.Ref)+" "+string(o.Status), storeTakes, func(again bool) error {
		if s.unreadable(ctx, o.Ref) {
			return errNewer
		}
		err := s.inner.Create(context.WithoutCancel(ctx), o)
		// The adapter recognizes its own write when the SDK repeats it.
		if done = done || err == nil; again && done {
			err = nil
		}
		s.wrote(ctx, o.Ref, err)
		return err
	})
	return inwardError(ctx, err)
}

func (s store) Get(ctx context.Context, ref order.Ref) (o order.Order, err error) {
	err = s.call(ctx, "get "+s.short(ref), storeTakes, func(bool) (err error) {
		if s.unreadable(ctx, ref) {
			return errNewer
		}
		o, err = s.inner.Get(context.WithoutCancel(ctx), ref)
		return err
	})
	return inward(ctx, o), err
}

func (s store) Claim(ctx context.Context, ref order.Ref, c order.Claim) (o order.Order, err error) {
	name := "claim " + s.short(ref) + " " + string(c.Kind) + " round " + strconv.Itoa(c.Round)
	c.Now, c.Until = later(c.Now, skewOf(ctx)), later(c.Until, skewOf(ctx))
	err = s.call(ctx, name, storeTakes, func(again bool) (err error) {
		if s.unreadable(ctx, ref) {
			return errNewer
		}
		claimed, err := s.inner.Claim(context.WithoutCancel(ctx), ref, c)
		s.wrote(ctx, ref, err)
		if again && err != nil && o.Version > 0 {
			return nil // see the adapter's contract suite: a repeated claim is recognized
		}
		o = claimed
		return err
	})
	return inward(ctx, o), inwardError(ctx, err)
}

func (s store) Update(ctx context.Context, next order.Order) error {
	next = outward(ctx, next)
	done := false
	err := s.call(ctx, fmt.Sprintf("update %s %s version %d", s.short(next.Ref), next.Status, next.Version), storeTakes, func(again bool) error {
		if s.unreadable(ctx, next.Ref) {
			return errNewer
		}
		err := s.inner.Update(context.WithoutCancel(ctx), next)
		if done = done || err == nil; again && done {
			err = nil
		}
		s.wrote(ctx, next.Ref, err)
		return err
	})
	return inwardError(ctx, err)
}

func (s store) List(ctx context.Context, q order.Query) (p order.Page, err error) {
	if q.After != nil {
		q.After = &order.Position{CreatedAt: later(q.After.CreatedAt, skewOf(ctx)), ID: q.After.ID}
	}
	err = s.call(ctx, "list "+q.Tenant, storeTakes, func(bool) (err error) {
		if p, err = s.inner.List(context.WithoutCancel(ctx), q); s.unreadable(ctx, refsOf(p.Orders)...) {
			p, err = order.Page{}, errNewer
		}
		return err
	})
	for i := range p.Orders {
		p.Orders[i] = inward(ctx, p.Orders[i])
	}
	if p.Next != nil {
		p.Next = &order.Position{CreatedAt: later(p.Next.CreatedAt, -skewOf(ctx)), ID: p.Next.ID}
	}
	return p, err
}

func (s store) Scan(ctx context.Context, q order.ScanQuery) (p order.ScanPage, err error) {
	err = s.call(ctx, fmt.Sprintf("scan %d of %d %s", q.Segment, q.Segments, q.Cursor), storeTakes, func(bool) (err error) {
		if p, err = s.inner.Scan(context.WithoutCancel(ctx), q); s.unreadable(ctx, refsOf(p.Orders)...) {
			p, err = order.ScanPage{}, errNewer
		}
		return err
	})
	for i := range p.Orders {
		p.Orders[i] = inward(ctx, p.Orders[i])
	}
	return p, err
}

func (s store) Document(ctx context.Context, k document.Key) (d document.Document, err error) {
	err = s.call(ctx, "document "+k.Tenant+" "+k.Name, storeTakes, func(bool) (err error) {
		d, err = s.inner.Document(context.WithoutCancel(ctx), k)
		return err
	})
	return d, err
}

func (s store) PutDocument(ctx context.Context, d document.Document) error {
	name := fmt.Sprintf("put document %s %s version %d", d.Tenant, d.Name, d.Version)
	var first error
	return s.call(ctx, name, storeTakes, func(again bool) error {
		err := s.inner.PutDocument(context.WithoutCancel(ctx), d)
		if again && first == nil {
			return nil
		}
		first = err
		return err
	})
}

func (s store) DeleteDocument(ctx context.Context, k document.Key) error {
	return s.call(ctx, "delete document "+k.Tenant+" "+k.Name, storeTakes, func(bool) error {
		return s.inner.DeleteDocument(context.WithoutCancel(ctx), k)
	})
}

// messages is a queue as functions and event source mappings reach it.
type messages struct {
	*world
	name  string
	inner queue.Queue
}

func (q messages) Send(ctx context.Context, body string, delay time.Duration) (id string, err error) {
	body = written(ctx, body)
	err = q.call(ctx, "send to "+q.name+" "+body, queueTakes, func(bool) (err error) {
		id, err = q.inner.Send(context.WithoutCancel(ctx), body, delay)
		return err
	})
	return id, err
}

func (q messages) SendBatch(ctx context.Context, entries []queue.SendEntry) (r queue.SendBatchResult, err error) {
	entries = slices.Clone(entries)
	for i := range entries {
		entries[i].Body = written(ctx, entries[i].Body)
	}
	err = q.call(ctx, fmt.Sprintf("send %d to %s", len(entries), q.name), queueTakes, func(bool) (err error) {
		sent := entries
		var refused []queue.SendEntry
		if d := q.dice(); len(entries) > 1 && q.faults.hits(d, halfBatch) {
			n := d.IntN(len(entries))
			sent, refused = entries[:n], entries[n:]
		}
		r, err = queue.SendBatchResult{MessageIDs: map[string]string{}}, nil
		if len(sent) > 0 {
			r, err = q.inner.SendBatch(context.WithoutCancel(ctx), sent)
		}
		for _, e := range refused {
			if r.Failed == nil {
				r.Failed = make(map[string]*queue.RequestError)
			}
			r.Failed[e.ID] = &queue.RequestError{Code: "InternalError", Message: "a fault"}
		}
		return err
	})
	return r, err
}

// Receive waits for long: that a poller comes back every 20 s from a quiet queue shows nothing.
func (q messages) Receive(ctx context.Context, r queue.ReceiveRequest) ([]queue.Message, error) {
	q.await(ctx, "receive from "+q.name, queueTakes)
	var received []queue.Message
	var err error
	for len(received) == 0 && err == nil {
		if q.paused(q.name) {
			err = q.untilReleased(ctx)
			continue
		}
		received, err = q.inner.Receive(ctx, r)
	}
	if err != nil {
		return nil, err
	}
	// Whoever sent what woke this goes on at the same instant: nothing is told before the next turn.
	t := q.await(ctx, "receive from "+q.name+", answer", queueTakes)
	q.changed = true
	for i := range received {
		received[i].Attributes[queue.TraceHeaderAttribute] = q.traceOf(&received[i])
		q.tell(ctx, "receives from %s, time %d: %s", q.name, received[i].ReceiveCount(), received[i].Body)
	}
	if q.faults.hits(t.rng, responseLost) {
		q.tell(ctx, "receive from %s: the answer is lost", q.name)
		return nil, errLost
	}
	return received, nil
}

func (q messages) Delete(ctx context.Context, handles []string) (outcomes []error, err error) {
	err = q.call(ctx, fmt.Sprintf("delete %d from %s", len(handles), q.name), queueTakes, func(bool) (err error) {
		outcomes, err = q.inner.Delete(context.WithoutCancel(ctx), handles)
		return err
	})
	return outcomes, err
}

func (q messages) ChangeVisibility(ctx context.Context, handle string, timeout time.Duration) error {
	return q.call(ctx, fmt.Sprintf("hide in %s for %v", q.name, timeout), queueTakes, func(bool) error {
		return q.inner.ChangeVisibility(context.WithoutCancel(ctx), handle, timeout)
	})
}

// provider is the gateway as functions reach it.
type provider struct {
	*world
	gateway.Provider
}

func (g provider) ask(ctx context.Context, name string, r gateway.Request, act func() error) error {
	name += " " + r.Key
	t := g.await(ctx, name, gatewayTakes)
	switch {
	case t.err != nil:
		g.tell(ctx, "%s: gives up: %v", name, t.err)
		if g.faults.hits(t.rng, lateEffect) {
			g.later(ctx, name, time.Duration(t.rng.Int64N(int64(latest))), act)
		}
		return t.err
	case g.faults.hits(t.rng, slowGateway):
		if t = g.await(ctx, name+", slow", 10*time.Second); t.err != nil {
			g.tell(ctx, "%s: gives up: %v", name, t.err)
			g.later(ctx, name, time.Duration(t.rng.Int64N(int64(time.Minute))), act)
			return t.err
		}
	}
	err := act()
	g.changed = true
	g.tell(ctx, "%s: %v", name, outcomeOf(err))
	switch t = g.await(ctx, name+", answer", gatewayTakes); {
	case t.err != nil:
		return t.err
	case g.faults.hits(t.rng, noAnswer):
		g.tell(ctx, "%s: the answer is lost", name)
		return errors.New("the gateway's answer was lost")
	}
	return err
}

// Entries implements [gateway.Ledger].
func (g provider) Entries(ctx context.Context, q gateway.EntryQuery) (page gateway.EntryPage, err error) {
	err = g.ask(ctx, "entries", gateway.Request{}, func() (err error) {
		page, err = g.gateway.Entries(context.WithoutCancel(ctx), q)
		return err
	})
	return page, err
}

func (g provider) Charge(ctx context.Context, r gateway.Request) (receipt gateway.Receipt, err error) {
	err = g.ask(ctx, "charge", r, func() (err error) {
		receipt, err = g.Provider.Charge(context.WithoutCancel(ctx), r)
		return err
	})
	return receipt, err
}

func (g provider) Refund(ctx context.Context, r gateway.Request) (receipt gateway.Receipt, err error) {
	err = g.ask(ctx, "refund", r, func() (err error) {
		receipt, err = g.Provider.Refund(context.WithoutCancel(ctx), r)
		return err
	})
	return receipt, err
}

func (g provider) Resolve(ctx context.Context, r gateway.Request) (resolution gateway.Resolution, err error) {
	err = g.ask(ctx, "resolve", r, func() (err error) {
		resolution, err = g.Provider.Resolve(context.WithoutCancel(ctx), r)
		return err
	})
	return resolution, err
}
