package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/apigateway"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/queuesource"
	"paylane/shared/emulator/template"
	"paylane/shared/pebblestore"
)

// app is a template brought to life in this process.
type app struct {
	template  *template.Template
	handler   http.Handler
	functions map[string]*emulator.InProcess // by logical id
	pollers   []*eventsource.Poller
	longest   time.Duration // the longest timeout of a function
	log       *slog.Logger
}

// newApp wires the template's queues, functions, API and mappings. What this process
// can't host it refuses by name.
func newApp(c config, t *template.Template, db *pebblestore.DB) (*app, error) {
	if len(t.APIs) != 1 {
		return nil, fmt.Errorf("%s has %d HTTP APIs; the runner serves exactly one", c.Template, len(t.APIs))
	}
	queues, err := openQueues(t, db)
	if err != nil {
		return nil, err
	}
	a := &app{template: t, functions: make(map[string]*emulator.InProcess), log: c.Log}
	invokers := make(map[string]emulator.Invoker)
	h := host{config: c, store: db.Store(), queues: queues}
	for _, f := range t.Functions {
		handler, err := h.handler(f)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: function %s: %w", c.Template, f.Line, f.LogicalID, err)
		}
		a.functions[f.LogicalID] = emulator.NewInProcess(handler, emulator.Config{
			ARN: f.ARN, Timeout: f.Timeout, ReservedConcurrency: f.ReservedConcurrency, Logger: c.Log,
		})
		invokers[f.LogicalID] = a.functions[f.LogicalID]
		a.longest = max(a.longest, f.Timeout)
	}
	a.handler, err = apigateway.New(t.APIs[0], apigateway.Options{Functions: invokers, Open: true, Logger: c.Log, Now: c.Now})
	if err != nil {
		return nil, fmt.Errorf("serve the HTTP API %s: %w", t.APIs[0].LogicalID, err)
	}
	for _, m := range t.Mappings {
		queue, _ := t.Queue(m.Queue)
		function, _ := t.Function(m.Function)
		poller, err := eventsource.New(eventsource.Config{
			Mapping: m, Queue: queue, Function: function,
			Source: queuesource.New(queues[queue.URL]), Invoker: invokers[m.Function], Logger: c.Log,
		})
		if err != nil {
			return nil, err
		}
		a.pollers = append(a.pollers, poller)
	}
	return a, nil
}

// openQueues opens the template's queues, by their URLs, which is how functions know
// them. A dead-letter queue comes before the queues that lead to it.
func openQueues(t *template.Template, db *pebblestore.DB) (map[string]*pebblestore.Queue, error) {
	queues := make(map[string]*pebblestore.Queue)
	var open func(q template.Queue) error
	open = func(q template.Queue) error {
		if queues[q.URL] != nil {
			return nil
		}
		c := pebblestore.QueueConfig{
			Name: q.Name, ARN: q.ARN, VisibilityTimeout: q.VisibilityTimeout, Retention: q.Retention,
			Delay: q.Delay, MaxMessageBytes: q.MaxMessageBytes,
		}
		if q.DeadLetterQueue != "" {
			dlq, _ := t.Queue(q.DeadLetterQueue)
			if err := open(dlq); err != nil {
				return err
			}
			c.DeadLetterQueue, c.MaxReceiveCount = dlq.Name, q.MaxReceiveCount
		}
		opened, err := db.Queue(c)
		queues[q.URL] = opened
		return err
	}
	for _, q := range t.Queues {
		if err := open(q); err != nil {
			return nil, err
		}
	}
	return queues, nil
}
