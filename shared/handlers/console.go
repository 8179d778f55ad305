package handlers

import (
	"context"
	"errors"
	"net/http"

	"paylane/shared/console"
	"paylane/shared/gateway"
	"paylane/shared/handlers/internal/environ"
	"paylane/shared/telemetry"
)

// NewConsole returns the handler of the web console; local is what only one process that runs
// everything knows. The console calls the API in its own process, which reads the same environment
// as [API].
func NewConsole(environment map[string]string, s Services, local console.Local) (http.Handler, error) {
	e, err := environ.Parse[apiEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	required, err := e.Auth.Required()
	if err != nil {
		return nil, err
	}
	if required {
		return nil, errors.New("the console needs AUTH_MODE none")
	}
	api, err := s.api(e, tenantOfSession, operatorSession)
	if err != nil {
		return nil, err
	}
	tokens, err := s.Gateway(e.Gateway.Name)
	if err != nil {
		return nil, err
	}
	return console.New(console.Config{
		API: s.tallied(api), Tokens: consoleTokens(tokens), Open: console.Session{Tenant: LocalTenant, Read: true, Operate: true}, Local: local, Now: s.Now, Log: s.Log,
	})
}

// tallied counts the orders that come by the console, whose requests are no invocations of the api
// function. Within an invocation they count there.
func (s Services) tallied(api http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, end := r.Context(), func() {}
		if telemetry.From(ctx) == nil {
			ctx, end = s.Telemetry.Begin(ctx)
		}
		defer end()
		answer := &placing{ResponseWriter: w}
		api.ServeHTTP(answer, r.WithContext(ctx))
		if answer.placed {
			telemetry.From(ctx).Count(telemetry.Accepted)
		}
	})
}

// placing notes whether an answer is that of an order that was placed.
type placing struct {
	http.ResponseWriter
	placed bool
}

func (w *placing) WriteHeader(status int) {
	h := w.Header()
	w.placed = placedOrder(status, h.Get("Location"), h.Get("Idempotency-Replayed"))
	w.ResponseWriter.WriteHeader(status)
}

// tenantOfSession returns the tenant whose orders a session of the console shows.
func tenantOfSession(ctx context.Context) (string, bool) {
	session, ok := console.SessionOf(ctx)
	return session.Tenant, ok && session.Tenant != ""
}

// operatorSession reports whether a session of the console is an operator's.
func operatorSession(ctx context.Context) bool {
	session, _ := console.SessionOf(ctx)
	return session.Operate
}

// consoleTokens returns what the console says of a gateway's tokens.
func consoleTokens(g gateway.Provider) console.Tokens {
	d := g.Describe()
	tokens := console.Tokens{Default: string(d.Default), Doc: d.Doc, Livemode: g.Livemode()}
	for _, e := range d.Examples {
		tokens.Examples = append(tokens.Examples, console.TokenExample{Token: string(e.Token), Doc: e.Doc})
	}
	if len(tokens.Examples) > 0 {
		return tokens
	}
	for _, e := range []console.TokenExample{{Token: string(d.Approved), Doc: "is approved"}, {Token: string(d.Declined), Doc: "is declined"}} {
		if e.Token != "" {
			tokens.Examples = append(tokens.Examples, e)
		}
	}
	return tokens
}
