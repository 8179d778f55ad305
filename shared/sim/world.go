package sim

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/cockroachdb/pebble/v2/vfs"
	"go.opentelemetry.io/otel/trace/noop"

	"paylane/shared/dynamostore"
	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
	"paylane/shared/gateway"
	"paylane/shared/handlers"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
	"paylane/shared/sim/model"
	"paylane/shared/sim/reference"
)

// world is one run: the functions of the template on their platform, what they reach, and their
// callers.
type world struct {
	*scheduler
	config   Config
	template *template.Template
	faults   *weights
	seed     uint64

	table   *model.Table
	queues  map[string]*model.Queue // by logical id
	gateway *model.Gateway
	// inner is what keeps orders; the table, unless the embedded store does.
	inner handlers.Store
	of    map[string]held // by logical id
	// machine has them if the embedded store does; nil otherwise.
	machine *machine
	// build is 1 once a deployment has begun, and newer are the orders that the new build wrote.
	build int
	newer map[order.Ref]bool
	// snapshot is what the table goes back to; nil if it does not.
	snapshot *model.Table

	functions map[string]*function
	clients   []*client
	checks    checks
	history   *reference.History

	mu      sync.Mutex
	trace   bytes.Buffer
	began   time.Time
	changed bool // something outside the processes, since the last look at the invariants
	// calmSince is when the faults ended.
	calmSince time.Time
	poisoned  int
	late      int  // effects that are still to come
	probing   bool // the last requests are not answered yet
	hooks     bool // the run has a webhook
	closed    chan struct{}
	// pollers, running and ghosts are goroutines.
	pollers, running, ghosts sync.WaitGroup
	seen                     map[string]int // messages, by the order in which they were first received
	holding                  map[string]bool
	released                 chan struct{}
}

// held is a queue, and what is in it.
type held interface {
	queue.Queue
	Messages() []model.Held
}

// tell adds a line to the trace.
func (w *world) tell(ctx context.Context, format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fmt.Fprintf(&w.trace, "%12.6f %s", time.Since(w.began).Seconds(), identity(ctx))
	fmt.Fprintf(&w.trace, format, args...)
	w.trace.WriteByte('\n')
}

// dice returns chance for what is decided outside a turn. It depends on the run's seed and the
// time alone, not on what else draws.
func (w *world) dice() *rand.Rand {
	return rand.New(rand.NewPCG(w.seed, uint64(time.Since(w.began))))
}

// short names an order in the trace.
func (w *world) short(ref order.Ref) string { return ref.Tenant + "/" + ref.ID[:8] }

// traceOf returns the trace header of a receive, which tells it from every other.
func (w *world) traceOf(m *queue.Message) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	n, ok := w.seen[m.MessageID]
	if !ok {
		n = len(w.seen) + 1
		w.seen[m.MessageID] = n
	}
	return fmt.Sprintf("Root=1-00000001-%012x%012x;Sampled=0", n, m.ReceiveCount())
}

// paused reports whether nothing is received from a queue for now.
func (w *world) paused(name string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.holding[name]
}

func (w *world) untilReleased(ctx context.Context) error {
	w.mu.Lock()
	released := w.released
	w.mu.Unlock()
	select {
	case <-released:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hold has nothing received from some queues, or releases them all.
func (w *world) hold(names ...string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.holding)
	for _, n := range names {
		w.holding[n] = true
	}
	close(w.released)
	w.released = make(chan struct{})
}

// Jitter and ids come from the instant alone, since handlers ask for them without a context.
func (w *world) jitter(n int) int { return int(instantHash("jitter") % uint64(n)) }

func newID() (string, error) {
	return order.KeyedID("simulator", strconv.FormatUint(instantHash("id"), 10)), nil
}

func instantHash(what string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(what))
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(time.Now().UnixNano())))
	return h.Sum64()
}

// services is what functions are made of.
func (w *world) services() handlers.Services {
	return handlers.Services{
		Store: func(string) handlers.Store { return store{world: w, inner: w.inner} },
		Queue: func(url string) (handlers.Queue, error) {
			for _, q := range w.template.Queues {
				if q.URL == url {
					return messages{world: w, name: q.LogicalID, inner: w.of[q.LogicalID]}, nil
				}
			}
			return nil, fmt.Errorf("there is no queue %s", url)
		},
		Gateway:      func(string) (gateway.Provider, error) { return provider{world: w, Provider: w.gateway}, nil },
		Image:        dynamostore.FromImage,
		CheckWebhook: func(string) error { return nil },
		Webhooks:     receivers{w},
		Now:          time.Now, Jitter: w.jitter, NewID: newID,
		Log: slog.New(findings{w}), Traces: noop.NewTracerProvider(),
	}
}

// build makes the world of a seed.
func build(c Config, seed uint64) (*world, error) {
	parsed := c.Template
	w := &world{
		scheduler: newScheduler(rand.New(rand.NewPCG(seed, 1))),
		config:    c, template: parsed, seed: seed, began: time.Now(), closed: make(chan struct{}),
		queues: map[string]*model.Queue{}, of: map[string]held{}, functions: map[string]*function{},
		newer: map[order.Ref]bool{}, seen: map[string]int{}, holding: map[string]bool{}, released: make(chan struct{}),
	}
	w.faults = drawFaults(w.rng)
	for f := range faults {
		if c.Calm || slices.Contains(c.Without, f) {
			w.faults.of[f] = 0
		}
	}
	w.hooks = w.rng.IntN(3) == 0 && !c.Embedded
	w.strike = w.struck
	w.before = w.look
	w.gateway = w.newGateway()
	if err := w.open(); err != nil {
		return nil, err
	}
	w.checks = newChecks(w)
	w.history = &reference.History{}
	s := w.services()
	for _, f := range parsed.Functions {
		start := starter(f, s)
		if start != nil {
			w.functions[f.LogicalID] = &function{world: w, Function: f, start: start}
		}
	}
	return w, nil
}

// handle is a function's handler, whatever it is invoked with.
type handle func(context.Context, emulator.Event) (emulator.Result, error)

// adapt returns a handler of events of one type as a handle.
func adapt[E, R any](handler func(context.Context, E) (R, error), err error) (handle, error) {
	return func(ctx context.Context, e emulator.Event) (emulator.Result, error) {
		event, ok := e.Typed().(*E)
		if !ok {
			return emulator.Result{}, fmt.Errorf("not a %T", event)
		}
		if batch, ok := any(event).(*events.SQSEvent); ok {
			seen := inwardEvent(ctx, *batch)
			event, _ = any(&seen).(*E)
		}
		response, err := handler(ctx, *event)
		return emulator.Result{Value: &response}, err
	}, err
}

// adaptRaw is adapt for the handler of many kinds of events.
func adaptRaw(handler handlers.ReconcileHandler, err error) (handle, error) {
	return func(ctx context.Context, e emulator.Event) (emulator.Result, error) {
		event, err := e.JSON()
		if err != nil {
			return emulator.Result{}, err
		}
		response, err := handler(ctx, event)
		if batch, ok := response.(events.SQSEventResponse); ok {
			response = &batch
		}
		return emulator.Result{Value: response}, err
	}, err
}

// starter returns what starts an environment of a function; nil if the run does not need it.
func starter(f template.Function, s handlers.Services) func() (handle, error) {
	switch f.LogicalID {
	case "Api":
		return func() (handle, error) { return adapt(handlers.API(f.Environment, s)) }
	case "Payment":
		return func() (handle, error) { return adapt(handlers.Payment(f.Environment, s)) }
	case "DeadLetter":
		return func() (handle, error) { return adapt(handlers.DeadLetter(f.Environment, s)) }
	case "Fanout":
		return func() (handle, error) { return adapt(handlers.Fanout(f.Environment, s)) }
	case "Webhook":
		return func() (handle, error) { return adapt(handlers.Webhook(f.Environment, s)) }
	case "Reconcile":
		return func() (handle, error) { return adaptRaw(handlers.Reconcile(f.Environment, s)) }
	}
	return nil
}

// open makes the table and the queues.
func (w *world) open() error {
	if w.config.Embedded {
		w.machine = &machine{world: w, fs: vfs.NewCrashableMem(), queues: map[string]*pebblestore.Queue{}}
		w.inner = kept{w.machine}
		for _, q := range w.template.Queues {
			w.of[q.LogicalID] = keptQueue{machine: w.machine, id: q.LogicalID}
		}
		return w.machine.open()
	}
	w.table = model.NewTable(time.Now)
	w.inner = w.table
	pick := func(n int) int {
		if d := w.dice(); w.faults.hits(d, reordered) {
			return d.IntN(n)
		}
		return 0
	}
	var open func(q template.Queue) *model.Queue
	open = func(q template.Queue) *model.Queue {
		if made := w.queues[q.LogicalID]; made != nil {
			return made
		}
		c := model.QueueConfig{
			Name: q.Name, ARN: q.ARN, Visibility: q.VisibilityTimeout, Retention: q.Retention, Delay: q.Delay,
			MaxMessageBytes: q.MaxMessageBytes, Now: time.Now, Pick: pick,
		}
		if dead, ok := w.template.Queue(q.DeadLetterQueue); ok {
			c.DeadLetters, c.MaxReceives = open(dead), q.MaxReceiveCount
		}
		made := model.NewQueue(c)
		w.queues[q.LogicalID], w.of[q.LogicalID] = made, made
		return made
	}
	for _, q := range w.template.Queues {
		open(q)
	}
	return nil
}

// poll starts the event source mappings.
func (w *world) poll(ctx context.Context) error {
	for _, m := range w.template.Mappings {
		f := w.functions[m.Function]
		if f == nil {
			continue
		}
		q, _ := w.template.Queue(m.Queue)
		poller, err := eventsource.New(eventsource.Config{
			Mapping: m, Queue: q, Function: f.Function, Invoker: f, Logger: slog.New(slog.DiscardHandler),
			Source: messages{world: w, name: m.Queue, inner: w.of[m.Queue]},
		})
		if err != nil {
			return err
		}
		f.limit = m.MaxConcurrency
		w.pollers.Go(func() { poller.Run(named(ctx, "mapping "+m.LogicalID)) })
	}
	return nil
}

// struck decides whether an environment is struck.
func (w *world) struck(e *environment) {
	switch d := w.dice(); {
	case w.faults.hits(d, crashes):
		e.crash()
	case w.faults.hits(d, freezes):
		e.frozen = time.Now().Add(time.Duration(1+d.IntN(400)) * time.Second)
	}
}

// garble changes a function's result without telling more of it than it says.
func (f *function) garble(ctx context.Context, r emulator.Result) emulator.Result {
	response, ok := r.Value.(*events.SQSEventResponse)
	d := f.dice()
	if !ok || !f.faults.hits(d, garbledResult) {
		return r
	}
	failures := response.BatchItemFailures
	switch n := d.IntN(4); {
	case n == 0: // the whole batch fails
		f.tell(ctx, "the result names an unknown record")
		return emulator.PayloadResult([]byte(`{"batchItemFailures": [{"itemIdentifier": "unknown"}]}`))
	case n == 1 && len(failures) == 0: // a success
		return emulator.PayloadResult([]byte(`{"batchItemFailures": null}`))
	case n == 2 && len(failures) == 0:
		return emulator.PayloadResult([]byte(`null`))
	case n == 3:
		f.tell(ctx, "the result is not one")
		return emulator.PayloadResult([]byte(`{"batchItemFailures": [{"itemIdentifier": ""}]}`))
	}
	twice := events.SQSEventResponse{BatchItemFailures: append(failures[:len(failures):len(failures)], failures...)}
	return emulator.Result{Value: &twice}
}
