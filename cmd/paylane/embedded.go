package main

import (
	"context"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"paylane/cmd/paylane/internal/figures"
	"paylane/cmd/paylane/internal/weather"
	"paylane/shared/console"
	"paylane/shared/dynamostore"
	"paylane/shared/emulator"
	"paylane/shared/emulator/template"
	"paylane/shared/feed"
	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/handlers"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
	"paylane/shared/telemetry"
	"paylane/shared/webhook/outbound"
)

// embedded is the platform in this process: paylane's own handlers, known by their
// folders, on one database.
type embedded struct {
	config
	db        *pebblestore.DB
	queues    map[string]*pebblestore.Queue // by URL, which is how functions know them
	functions []*emulator.InProcess
	console   http.Handler
	figures   *figures.Figures
	tenants   sync.Map // see listened
	// background runs what the console has going on, until stop is called.
	background func(func(context.Context))
	stop       func()
	// weather is the simulated gateway; nil if another may be in use.
	weather *weather.Gateway
}

// newEmbedded opens the platform. Fatal is called if the database fails later.
func newEmbedded(ctx context.Context, c config, t *template.Template, fatal func(error)) (*embedded, error) {
	p := &embedded{config: c, queues: make(map[string]*pebblestore.Queue)}
	o := pebblestore.Options{Dir: c.Data, FS: c.FS, Now: c.Now, Logger: c.Log, Fatal: fatal, Count: true}
	if len(t.StreamMappings) > 0 {
		o.Feed = func(tenant string, before, after order.Status) bool {
			return p.store().keeps(context.WithoutCancel(ctx), tenant, before, after)
		}
	}
	db, err := pebblestore.Open(o)
	if err != nil {
		return nil, dataError(c.Data, err)
	}
	p.db = db
	p.background, p.stop = inBackground(ctx)
	if err := p.openWeather(ctx); err != nil {
		_ = db.Close() // what went wrong before matters more
		return nil, err
	}
	for _, q := range t.Queues {
		if err := p.open(t, q); err != nil {
			_ = db.Close() // as above
			return nil, err
		}
	}
	p.figures = figures.New(figures.Sources{Orders: db.Counts, Queues: func(now time.Time) []console.QueueFigures {
		return p.queueFigures(t, now)
	}, Now: c.Now})
	if p.console, err = p.newConsole(t); err != nil {
		_ = db.Close() // as above
		return nil, err
	}
	// When the program is told to end, so do the console's streams, which would hold it up.
	p.background(p.figures.Run)
	return p, nil
}

func (p *embedded) store() listened { return listened{Store: p.db.Store(), tenants: &p.tenants} }

// openWeather puts the console's panel before the simulator, if that is the gateway.
func (p *embedded) openWeather(ctx context.Context) error {
	simulated := p.Gateway
	if simulated == nil {
		simulated = simulator.New(p.Now)
	}
	if _, ok := simulated.(*simulator.Simulator); !ok {
		return nil
	}
	var err error
	p.weather, err = weather.Open(ctx, simulated, p.db.Store(), p.Now)
	return err
}

// open opens a queue. A dead-letter queue comes before the queues that lead to it.
func (p *embedded) open(t *template.Template, q template.Queue) error {
	if p.queues[q.URL] != nil {
		return nil
	}
	c := pebblestore.QueueConfig{
		Name: q.Name, ARN: q.ARN, VisibilityTimeout: q.VisibilityTimeout, Retention: q.Retention,
		Delay: q.Delay, MaxMessageBytes: q.MaxMessageBytes,
	}
	if q.DeadLetterQueue != "" {
		dead, _ := t.Queue(q.DeadLetterQueue)
		if err := p.open(t, dead); err != nil {
			return err
		}
		c.DeadLetterQueue, c.MaxReceiveCount = dead.Name, q.MaxReceiveCount
	}
	opened, err := p.db.Queue(c)
	p.queues[q.URL] = opened
	return err
}

// Invoker implements [runner.Platform].
func (p *embedded) Invoker(f template.Function) (emulator.Invoker, error) {
	handler, err := p.handler(f)
	if err != nil {
		return nil, err
	}
	options := emulator.Config{
		ARN: f.ARN, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, Logger: p.Log,
	}
	if p.Verbose {
		options.Log, options.Name, options.MemoryMB = p.Out, f.Name, f.MemoryMB
	}
	function := emulator.NewInProcess(handler, options)
	p.functions = append(p.functions, function)
	return function, nil
}

// handler returns the handler of a function of paylane's own.
func (p *embedded) handler(f template.Function) (any, error) {
	services := p.services()
	switch folder := path.Clean(f.CodeURI); folder {
	case "functions/api":
		return handlers.API(f.Environment, services)
	case "functions/console":
		return handlers.Console(f.Environment, services)
	case "functions/payment":
		return handlers.Payment(f.Environment, services)
	case "functions/deadletter":
		return handlers.DeadLetter(f.Environment, services)
	case "functions/reconcile":
		return handlers.Reconcile(f.Environment, services)
	case "functions/fanout":
		return handlers.Fanout(f.Environment, services)
	case "functions/webhook":
		return handlers.Webhook(f.Environment, services)
	case "functions/stream":
		return handlers.Stream(f.Environment, services)
	default:
		return nil, fmt.Errorf("its code in %s is not part of this program, which runs paylane's own functions only; with --endpoint it is built and run", folder)
	}
}

// services are what functions are made of here.
func (p *embedded) services() handlers.Services {
	webhooks := p.webhookPolicy()
	var patience func(time.Time) time.Duration
	if p.weather != nil {
		patience = p.weather.Patience
	}
	return handlers.Services{
		Store:        func(string) handlers.Store { return p.store() },
		Queue:        p.queue,
		Image:        dynamostore.FromImage,
		CheckWebhook: webhooks.CheckURL, Webhooks: outbound.New(webhooks, p.Now),
		Gateway: func(name string) (gateway.Provider, error) {
			switch {
			case p.Gateway == nil && name != gatewaySimulator:
				return nil, fmt.Errorf("the parameter Gateway is %s: here the flag --gateway chooses it", name)
			case p.weather != nil:
				return p.weather, nil
			}
			return p.Gateway, nil
		},
		Telemetry: telemetry.NewTallies(p.figures.Take), Patience: patience,
		Now: p.Now, Jitter: p.Jitter, Log: p.Log, Traces: p.Traces, OneOrigin: true, PlainHTTP: true, Caller: emulator.Caller, Client: p.Access.Client,
	}
}

// newConsole returns the web console; nil if the template has none.
func (p *embedded) newConsole(t *template.Template) (http.Handler, error) {
	for _, f := range t.Functions {
		if path.Clean(f.CodeURI) != "functions/console" {
			continue
		}
		served, err := handlers.NewConsole(f.Environment, p.services(), p.local(t))
		if err != nil {
			return nil, fmt.Errorf("%s:%d: Resources.%s: %w", p.Template, f.Line, f.LogicalID, err)
		}
		return served, nil
	}
	return nil, nil //nolint:nilnil // there is none
}

// local is what the console shows of this process.
func (p *embedded) local(t *template.Template) console.Local {
	l := console.Local{Board: p.figures, Queues: consoleQueues{t, p.queues}, Background: p.background}
	if p.weather != nil {
		l.Simulator = p.weather
	}
	return l
}

// inBackground returns what calls functions in goroutines of their own, until the context ends;
// stop ends it, and waits for them.
func inBackground(ctx context.Context) (run func(func(context.Context)), stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	run = func(f func(context.Context)) { running.Go(func() { f(ctx) }) }
	return run, func() {
		cancel()
		running.Wait()
	}
}

// withConsole serves the console before next.
func (p *embedded) withConsole(next http.Handler) http.Handler {
	if p.console == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == console.Root || strings.HasPrefix(r.URL.Path, console.Root+"/") {
			p.console.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// queueFigures looks at the queues of the template, in its order.
func (p *embedded) queueFigures(t *template.Template, now time.Time) []console.QueueFigures {
	all := make([]console.QueueFigures, 0, len(t.Queues))
	for _, q := range t.Queues {
		s := p.queues[q.URL].Stats()
		f := console.QueueFigures{
			Name: q.LogicalID, Visible: s.Visible, InFlight: s.InFlight, Delayed: s.Delayed,
			DeadLetters: slices.ContainsFunc(t.Queues, func(of template.Queue) bool { return of.DeadLetterQueue == q.LogicalID }) ||
				!slices.ContainsFunc(t.Mappings, func(m template.Mapping) bool { return m.Queue == q.LogicalID }),
		}
		if !s.Oldest.IsZero() {
			f.Oldest = max(now.Sub(s.Oldest), 0)
		}
		all = append(all, f)
	}
	return all
}

// queue returns the queue at a URL.
func (p *embedded) queue(url string) (handlers.Queue, error) {
	queue, ok := p.queues[url]
	if !ok {
		return nil, fmt.Errorf("%q is not a queue of the template", url)
	}
	return queue, nil
}

// Queue implements [runner.Platform].
func (p *embedded) Queue(q template.Queue) (queue.Queue, int) { return p.queues[q.URL], 1 }

// Stream implements [runner.Platform]. The stream has only what can be an event that somebody waits
// for, see [listened].
func (p *embedded) Stream(template.Table) (feed.Stream, error) {
	return embeddedStream{p.db.Feed()}, nil
}

// Watch implements [runner.Platform]: this program's own code does not change.
func (p *embedded) Watch(context.Context) {}

// Close implements [runner.Platform]. Invocations end within their timeouts.
func (p *embedded) Close(context.Context) error {
	p.stop()
	for _, f := range p.functions {
		f.Close()
	}
	return p.db.Close()
}
