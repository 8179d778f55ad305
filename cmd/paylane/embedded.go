package main

import (
	"cmp"
	"context"
	"fmt"
	"path"
	"strconv"
	"time"

	"paylane/shared/accesstoken"
	"paylane/shared/emulator"
	"paylane/shared/emulator/queuesource"
	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
	"paylane/shared/handlers"
	"paylane/shared/pebblestore"
)

// embedded is the platform in this process: paylane's own handlers, known by their
// folders, on one database.
type embedded struct {
	config
	db        *pebblestore.DB
	queues    map[string]*pebblestore.Queue // by URL, which is how functions know them
	functions []*emulator.InProcess
}

func newEmbedded(c config, t *template.Template) (*embedded, error) {
	db, err := pebblestore.Open(pebblestore.Options{Dir: c.Data, Now: c.Now, Logger: c.Log})
	if err != nil {
		return nil, err
	}
	p := &embedded{config: c, db: db, queues: make(map[string]*pebblestore.Queue)}
	for _, q := range t.Queues {
		if err := p.open(t, q); err != nil {
			_ = db.Close() // what went wrong before matters more
			return nil, err
		}
	}
	return p, nil
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
	function := emulator.NewInProcess(handler, emulator.Config{
		ARN: f.ARN, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, Logger: p.Log,
	})
	p.functions = append(p.functions, function)
	return function, nil
}

// handler makes a function's handler. As on AWS, the function's environment names its
// queue.
func (p *embedded) handler(f template.Function) (any, error) {
	switch folder := path.Clean(f.CodeURI); folder {
	case "functions/api":
		queue, err := p.queue(f, "PAYMENT_QUEUE_URL")
		if err != nil {
			return nil, err
		}
		tenant, err := handlers.TenantBy(authMode(f), tenantClaim(f))
		if err != nil {
			return nil, err
		}
		return handlers.API(handlers.APIConfig{
			Store: p.db.Store(), Payments: queue, Tokens: p.Gateway, Tenant: tenant, Now: p.Now, Log: p.Log,
		}), nil
	case "functions/payment":
		worker, err := p.worker(f, "PAYMENT_QUEUE_URL")
		return handlers.Payment(worker), err
	case "functions/deadletter":
		worker, err := p.worker(f, "DEAD_LETTER_QUEUE_URL")
		return handlers.DeadLetter(worker), err
	case "functions/reconcile":
		queue, err := p.queue(f, "RECONCILE_QUEUE_URL")
		if err != nil {
			return nil, err
		}
		days, err := number(f, "RECONCILE_DAYS")
		if err != nil {
			return nil, err
		}
		rate, err := number(f, "RECONCILE_RATE")
		if err != nil {
			return nil, err
		}
		stuckAfter, err := time.ParseDuration(f.Environment["RECONCILE_STUCK_AFTER"])
		if err != nil {
			return nil, fmt.Errorf("its variable RECONCILE_STUCK_AFTER: %w", err)
		}
		return handlers.Reconcile(handlers.ReconcileConfig{
			Store: p.db.Store(), Queue: queue, Gateway: p.Gateway, Now: p.Now,
			Days: days, Rate: rate, StuckAfter: stuckAfter, Log: p.Log,
		}), nil
	case "functions/stream":
		tenant, err := handlers.RequestTenantBy(authMode(f), tenantClaim(f), accesstoken.Config{
			Issuer: f.Environment["ISSUER"], Audience: splitList(f.Environment["AUDIENCE"]),
			Client: p.Access.Client, Now: p.Now, Log: p.Log,
		})
		if err != nil {
			return nil, err
		}
		return handlers.Stream(handlers.StreamConfig{Store: p.db.Store(), Tenant: tenant, Log: p.Log}), nil
	default:
		return nil, fmt.Errorf("its code in %s is not part of this program, which runs paylane's own functions only; with --endpoint it is built and run", folder)
	}
}

// authMode and tenantClaim return environment variables, with the functions' defaults.
func authMode(f template.Function) string { return cmp.Or(f.Environment["AUTH_MODE"], "jwt") }

func tenantClaim(f template.Function) string {
	return cmp.Or(f.Environment["TENANT_CLAIM"], "client_id")
}

func (p *embedded) worker(f template.Function, variable string) (handlers.WorkerConfig, error) {
	queue, err := p.queue(f, variable)
	return handlers.WorkerConfig{
		Store: p.db.Store(), Queue: queue, Gateway: p.Gateway, Now: p.Now, Jitter: p.Jitter, Log: p.Log,
	}, err
}

// queue returns the queue whose URL is the value of an environment variable.
func (p *embedded) queue(f template.Function, variable string) (*pebblestore.Queue, error) {
	url, ok := f.Environment[variable]
	if !ok {
		return nil, fmt.Errorf("its environment lacks %s", variable)
	}
	queue, ok := p.queues[url]
	if !ok {
		return nil, fmt.Errorf("its variable %s is %q, which is not a queue of the template", variable, url)
	}
	return queue, nil
}

// number returns an environment variable that is a number.
func number(f template.Function, variable string) (int, error) {
	n, err := strconv.Atoi(f.Environment[variable])
	if err != nil {
		return 0, fmt.Errorf("its variable %s: %w", variable, err)
	}
	return n, nil
}

// Queue implements [runner.Platform].
func (p *embedded) Queue(q template.Queue) (runner.Queue, int) {
	queue := p.queues[q.URL]
	return embeddedQueue{queuesource.New(queue), queue}, 1
}

// embeddedQueue is a queue of the database as an event source.
type embeddedQueue struct {
	queuesource.Source
	queue *pebblestore.Queue
}

func (q embeddedQueue) Send(ctx context.Context, body string, delay time.Duration) (messageID string, err error) {
	return q.queue.Send(ctx, body, delay)
}

// Watch implements [runner.Platform]: this program's own code does not change.
func (p *embedded) Watch(context.Context) {}

// Close implements [runner.Platform]. Invocations end within their timeouts.
func (p *embedded) Close(context.Context) error {
	for _, f := range p.functions {
		f.Close()
	}
	return p.db.Close()
}
