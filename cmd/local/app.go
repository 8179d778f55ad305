package main

import (
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/apigateway"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
)

// app is a template brought to life on a platform.
type app struct {
	template *template.Template
	platform platform
	handler  http.Handler // of the HTTP API; nil without one
	pollers  []*eventsource.Poller
	longest  time.Duration // the longest timeout of a function
	log      *slog.Logger
}

// newApp wires the template's functions, API and mappings. What can't be run it refuses
// by name.
func newApp(c config, t *template.Template, p platform) (*app, error) {
	a := &app{template: t, platform: p, log: c.Log}
	invokers := make(map[string]emulator.Invoker)
	for _, f := range t.Functions {
		invoker, err := p.invoker(f)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: function %s: %w", c.Template, f.Line, f.LogicalID, err)
		}
		invokers[f.LogicalID] = invoker
		a.longest = max(a.longest, f.Timeout)
	}
	if len(t.APIs) > 0 {
		api := t.APIs[0]
		handler, err := apigateway.New(api, apigateway.Options{Functions: invokers, Open: true, Logger: c.Log, Now: c.Now})
		if err != nil {
			return nil, fmt.Errorf("%s:%d: HTTP API %s: %w", c.Template, api.Line, api.LogicalID, err)
		}
		a.handler = handler
	}
	for _, m := range t.Mappings {
		queue, _ := t.Queue(m.Queue)
		function, _ := t.Function(m.Function)
		source, receivers := p.source(queue)
		poller, err := eventsource.New(eventsource.Config{
			Mapping: m, Queue: queue, Function: function,
			Source: source, Receivers: receivers, Invoker: invokers[m.Function], Logger: c.Log,
		})
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", c.Template, m.Line, err)
		}
		a.pollers = append(a.pollers, poller)
	}
	return a, nil
}
