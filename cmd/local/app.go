package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"paylane/shared/accesstoken"
	"paylane/shared/emulator"
	"paylane/shared/emulator/apigateway"
	"paylane/shared/emulator/asyncinvoke"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/schedule"
	"paylane/shared/emulator/template"
)

// app is a template brought to life on a platform.
type app struct {
	template *template.Template
	platform platform
	handler  http.Handler // of the HTTP API and the function URLs; nil without any
	// endStreams ends the streams that are open.
	endStreams context.CancelFunc
	pollers    []*eventsource.Poller
	async      map[string]*asyncinvoke.Invoker // of functions with schedules, by logical id
	schedule   *schedule.Scheduler
	longest    time.Duration // the longest timeout of a function
	log        *slog.Logger
}

// newApp wires the template's functions, API and mappings. What can't be run it refuses
// by name.
func newApp(c config, t *template.Template, p platform) (*app, error) {
	a := &app{template: t, platform: p, async: make(map[string]*asyncinvoke.Invoker), log: c.Log}
	invokers := make(map[string]emulator.Invoker)
	for _, f := range t.Functions {
		if !invoked(t, f.LogicalID) {
			continue
		}
		invoker, err := p.invoker(f)
		if err != nil {
			return nil, fmt.Errorf("%s:%d: function %s: %w", c.Template, f.Line, f.LogicalID, err)
		}
		invokers[f.LogicalID] = invoker
		a.longest = max(a.longest, f.Timeout)
	}
	if len(t.APIs) > 0 {
		api := t.APIs[0]
		if err := a.open(c, api, invokers); err != nil {
			return nil, fmt.Errorf("%s:%d: HTTP API %s: %w", c.Template, api.Line, api.LogicalID, err)
		}
	}
	streams, endStreams := context.WithCancel(context.Background())
	a.endStreams = endStreams
	handler, err := newFront(streams, c, t, invokers, a.handler)
	if err != nil {
		return nil, err
	}
	a.handler = handler
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
	if err := a.addSchedules(invokers); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Template, err)
	}
	return a, nil
}

// open makes the gateway of the HTTP API.
func (a *app) open(c config, api template.HTTPAPI, invokers map[string]emulator.Invoker) error {
	o := apigateway.Options{Functions: invokers, Open: !c.Access.Tokens, Logger: c.Log, Now: c.Now}
	if c.Access.Tokens {
		c.Access.apply(api)
		tokens, err := apigateway.NewJWT(api, accesstoken.Config{Client: c.Access.Client, Now: c.Now, Log: c.Log})
		if err != nil {
			return err
		}
		o.Authorizer = tokens
	}
	gateway, err := apigateway.New(api, o)
	a.handler = gateway
	return err
}

// addSchedules wires the schedules, which invoke asynchronously.
func (a *app) addSchedules(invokers map[string]emulator.Invoker) (err error) {
	send := func(queue string) asyncinvoke.Send {
		q, ok := a.template.Queue(queue)
		if !ok {
			return nil
		}
		return a.platform.sender(q)
	}
	for _, s := range a.template.Schedules {
		if a.async[s.Function] != nil {
			continue
		}
		f, _ := a.template.Function(s.Function)
		a.async[s.Function] = asyncinvoke.New(asyncinvoke.Config{
			Function: f, Invoker: invokers[s.Function], Logger: a.log,
			OnSuccess: send(f.Async.OnSuccess), OnFailure: send(f.Async.OnFailure),
		})
	}
	a.schedule, err = schedule.New(schedule.Config{Template: a.template, Functions: a.async, Logger: a.log})
	return err
}

// invoked tells whether anything here ever invokes a function. What only AWS calls, as a
// hook of a deployment, need not run.
func invoked(t *template.Template, function string) bool {
	if f, _ := t.Function(function); f.URL != nil {
		return true
	}
	for _, api := range t.APIs {
		if slices.ContainsFunc(api.Routes, func(r template.Route) bool { return r.Function == function }) {
			return true
		}
	}
	return slices.ContainsFunc(t.Mappings, func(m template.Mapping) bool { return m.Function == function }) ||
		slices.ContainsFunc(t.Schedules, func(s template.Schedule) bool { return s.Function == function })
}
