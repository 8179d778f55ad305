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

// consoleEnvironment is that of the API, which the console calls in its own process, and what
// signing in takes.
type consoleEnvironment struct {
	API    apiEnvironment
	Issuer environ.Issuer
	// ClientID is the client by which people sign in; empty if they can't.
	ClientID string `env:"CONSOLE_CLIENT_ID"`
	// Tenant is whose orders everybody sees who signs in; empty leaves it to the tenant claim.
	Tenant string `env:"CONSOLE_TENANT"`
	// Dashboard is the URL of the stack's dashboard; empty if there is none.
	Dashboard string `env:"DASHBOARD_URL"`
}

// NewConsole returns the handler of the web console; local is what only one process that runs
// everything knows. The console calls the API in its own process.
func NewConsole(environment map[string]string, s Services, local console.Local) (http.Handler, error) {
	e, err := environ.Parse[consoleEnvironment](environment)
	if err != nil {
		return nil, err
	}
	return s.measured().console(e, local)
}

func (s Services) console(e consoleEnvironment, local console.Local) (http.Handler, error) {
	required, err := e.API.Auth.Required()
	if err != nil {
		return nil, err
	}
	if required {
		return nil, errors.New("nobody can sign in to the console yet")
	}
	api, err := s.api(e.API, tenantOfSession, operatorSession)
	if err != nil {
		return nil, err
	}
	tokens, err := s.Gateway(e.API.Gateway.Name)
	if err != nil {
		return nil, err
	}
	return console.New(console.Config{
		API: s.tallied(api), Tokens: consoleTokens(tokens), Open: console.Session{Tenant: LocalTenant, Read: true, Operate: true},
		Dashboard: e.Dashboard, Local: local, Now: s.Now, Log: s.Log,
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
