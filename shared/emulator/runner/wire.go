package runner

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
	"paylane/shared/emulator/streamsource"
	"paylane/shared/emulator/template"
)

// poller polls a queue or a stream until its context ends.
type poller interface{ Run(ctx context.Context) }

// app is a template wired to a platform.
type app struct {
	template *template.Template
	platform Platform
	handler  http.Handler // of everything that is served over HTTP; nil without anything
	// endStreams ends the streams that are open.
	endStreams context.CancelFunc
	pollers    []poller
	async      map[string]*asyncinvoke.Invoker // of functions with schedules, by logical id
	schedule   *schedule.Scheduler
	longest    time.Duration // the longest timeout of a function
	log        *slog.Logger
}

// wire connects the template's functions, API, URLs, mappings and schedules.
func (c Config) wire(t *template.Template, p Platform) (*app, error) {
	a := &app{template: t, platform: p, async: make(map[string]*asyncinvoke.Invoker), log: c.Logger}
	problems := problems{file: c.Template}
	invokers := make(map[string]emulator.Invoker)
	for _, f := range t.Functions {
		if !IsInvoked(t, f.LogicalID) {
			continue
		}
		invoker, err := p.Invoker(f)
		if err != nil {
			problems.add(f.Line, f.LogicalID, "%v", err)
		}
		invokers[f.LogicalID] = invoker
		a.longest = max(a.longest, f.Timeout)
	}
	if err := problems.err(); err != nil {
		return nil, err
	}
	if err := a.addHTTP(c, invokers); err != nil {
		return nil, err
	}
	for _, m := range t.Mappings {
		queue, _ := t.Queue(m.Queue)
		function, _ := t.Function(m.Function)
		source, receivers := p.Queue(queue)
		poller, err := eventsource.New(eventsource.Config{
			Mapping: m, Queue: queue, Function: function,
			Source: source, Receivers: receivers, Invoker: invokers[m.Function], Logger: c.Logger,
		})
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", c.Template, m.Line, err)
		}
		a.pollers = append(a.pollers, poller)
	}
	if err := a.addStreams(c, invokers); err != nil {
		return nil, err
	}
	if err := a.addSchedules(invokers); err != nil {
		return nil, fmt.Errorf("%s: %w", c.Template, err)
	}
	return a, nil
}

// addHTTP wires the HTTP API and the function URLs.
func (a *app) addHTTP(c Config, invokers map[string]emulator.Invoker) error {
	var gateway http.Handler
	for _, api := range a.template.APIs { // one at most
		var err error
		if gateway, err = c.gateway(api, invokers); err != nil {
			return fmt.Errorf("%s:%d: HTTP API %s: %w", c.Template, api.Line, api.LogicalID, err)
		}
	}
	front, err := newFront(c, a.template, invokers, gateway)
	if err != nil {
		return err
	}
	a.endStreams = front.end
	if a.handler = front; len(front.urls) == 0 {
		a.handler = gateway
	}
	if a.handler == nil {
		return nil
	}
	if c.Wrap != nil {
		a.handler = c.Wrap(a.handler)
	}
	a.handler = c.guardHost(a.handler)
	return nil
}

func (c Config) gateway(api template.HTTPAPI, invokers map[string]emulator.Invoker) (http.Handler, error) {
	o := apigateway.Options{
		Functions: invokers, Open: c.Tokens == nil, Identity: c.Identity, Logger: c.Logger, Now: c.Now,
	}
	if c.Tokens != nil {
		trusted, err := c.Tokens.trust(api)
		if err != nil {
			return nil, err
		}
		trusted.Now, trusted.Log = c.Now, c.Logger
		tokens, err := apigateway.NewJWT(api, trusted)
		if err != nil {
			return nil, err
		}
		o.Authorizer = tokens
	}
	served, err := apigateway.New(api, o)
	if err != nil {
		return nil, err
	}
	return c.guardOrigin(api.CORS, served), nil
}

// trust makes the API's authorizers accept the tokens, and returns what they have in
// common.
func (t *Tokens) trust(api template.HTTPAPI) (accesstoken.Config, error) {
	c := accesstoken.Config{Client: t.Client}
	if t.StandIn {
		c.Issuer, c.Audience = t.Issuer, t.Audience
		return c, nil
	}
	var first *template.JWTAuthorizer
	for _, r := range api.Routes {
		a := r.Authorizer
		if a == nil || t.Issuer == "" {
			continue
		}
		if first == nil {
			first = new(*a)
		}
		if a.Name != first.Name && (a.Issuer != first.Issuer || !slices.Equal(a.Audience, first.Audience)) {
			return c, fmt.Errorf("its authorizers %s and %s accept tokens of different issuers or audiences, which one issuer can't replace",
				first.Name, a.Name)
		}
	}
	for _, r := range api.Routes {
		if r.Authorizer != nil && t.Issuer != "" {
			r.Authorizer.Issuer, r.Authorizer.Audience = t.Issuer, t.Audience
		}
	}
	return c, nil
}

// addStreams wires the mappings from tables' streams.
func (a *app) addStreams(c Config, invokers map[string]emulator.Invoker) error {
	for _, m := range a.template.StreamMappings {
		table, _ := a.template.Table(m.Table)
		function, _ := a.template.Function(m.Function)
		stream, err := a.platform.Stream(table)
		if err != nil {
			return fmt.Errorf("%s:%d: mapping %s: %w", c.Template, m.Line, m.LogicalID, err)
		}
		poller, err := streamsource.New(streamsource.Config{
			Mapping: m, Table: table, Function: function,
			Stream: stream, Invoker: invokers[m.Function], OnFailure: a.send(m.OnFailure), Now: c.Now, Logger: c.Logger,
		})
		if err != nil {
			return fmt.Errorf("%s:%d: %w", c.Template, m.Line, err)
		}
		a.pollers = append(a.pollers, poller)
	}
	return nil
}

// send returns what sends to a destination; nil for none.
func (a *app) send(logicalID string) func(ctx context.Context, body string) error {
	described, ok := a.template.Queue(logicalID)
	if !ok {
		return nil
	}
	queue, _ := a.platform.Queue(described)
	return func(ctx context.Context, body string) error {
		_, err := queue.Send(ctx, body, 0)
		return err
	}
}

// addSchedules wires the schedules, which invoke asynchronously.
func (a *app) addSchedules(invokers map[string]emulator.Invoker) (err error) {
	for _, s := range a.template.Schedules {
		if a.async[s.Function] != nil {
			continue
		}
		f, _ := a.template.Function(s.Function)
		a.async[s.Function] = asyncinvoke.New(asyncinvoke.Config{
			Function: f, Invoker: invokers[s.Function], Logger: a.log,
			OnSuccess: a.send(f.Async.OnSuccess), OnFailure: a.send(f.Async.OnFailure),
		})
	}
	a.schedule, err = schedule.New(schedule.Config{Template: a.template, Functions: a.async, Logger: a.log})
	return err
}

// IsInvoked reports whether anything in the template invokes a function here. Those that
// only AWS calls, such as a hook of a deployment, need not run.
func IsInvoked(t *template.Template, logicalID string) bool {
	if f, _ := t.Function(logicalID); f.URL != nil {
		return true
	}
	for _, api := range t.APIs {
		if slices.ContainsFunc(api.Routes, func(r template.Route) bool { return r.Function == logicalID }) {
			return true
		}
	}
	return slices.ContainsFunc(t.Mappings, func(m template.Mapping) bool { return m.Function == logicalID }) ||
		slices.ContainsFunc(t.StreamMappings, func(m template.StreamMapping) bool { return m.Function == logicalID }) ||
		slices.ContainsFunc(t.Schedules, func(s template.Schedule) bool { return s.Function == logicalID })
}
