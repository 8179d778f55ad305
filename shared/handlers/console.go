package handlers

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"paylane/shared/accesstoken"
	"paylane/shared/console"
	"paylane/shared/gateway"
	"paylane/shared/handlers/internal/environ"
	"paylane/shared/httpapi"
	"paylane/shared/order"
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
	signIn, err := s.signIn(e)
	if err != nil {
		return nil, err
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
		API: s.tallied(api), Tokens: consoleTokens(tokens), SignIn: signIn, Open: console.Session{Tenant: LocalTenant, Read: true, Operate: true},
		Dashboard: e.Dashboard, Local: local, Now: s.Now, Log: s.Log,
	})
}

// signIn returns how people sign in to the console; nil if nobody needs to.
func (s Services) signIn(e consoleEnvironment) (*console.SignIn, error) {
	required, err := e.API.Auth.Required()
	switch {
	case err != nil:
		return nil, err
	case !required:
		return nil, nil //nolint:nilnil // nobody signs in
	case e.ClientID == "":
		return &console.SignIn{}, nil
	}
	if err := e.Issuer.Check(); err != nil {
		return nil, err
	}
	verifier := accesstoken.New(accesstoken.Config{
		Issuer: e.Issuer.URL, Audience: e.Issuer.Audience, Client: s.Client, Now: s.Now, Log: s.Log,
	})
	return &console.SignIn{
		Issuer: e.Issuer.URL, ClientID: e.ClientID, Scopes: []string{httpapi.ScopeRead, httpapi.ScopeOperate}, Client: s.Client, Secure: !s.PlainHTTP,
		Verify: func(ctx context.Context, accessToken string) (console.Session, time.Time, error) {
			claims, err := verifier.Verify(ctx, accessToken)
			var keys *accesstoken.KeysError
			switch {
			case errors.As(err, &keys):
				return console.Session{}, time.Time{}, fmt.Errorf("%w: %w", order.ErrUnavailable, err)
			case err != nil:
				return console.Session{}, time.Time{}, err
			}
			return sessionOf(claims, cmp.Or(e.Tenant, claims.Text(e.API.Claim.Name))), claims.Expires(), nil
		},
	}, nil
}

// sessionOf returns the session of an access token's claims.
func sessionOf(claims accesstoken.Claims, tenant string) console.Session {
	session := console.Session{
		Tenant: tenant, Name: cmp.Or(claims.Text("username"), claims.Text("email"), claims.Text("sub")),
		Read: slices.Contains(claims.Scopes(), httpapi.ScopeRead), Operate: slices.Contains(claims.Scopes(), httpapi.ScopeOperate),
	}
	session.Every = session.Tenant == httpapi.EveryTenant && session.Operate
	return session
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
	if session.Every {
		return httpapi.EveryTenant, ok // requests name the one that was chosen
	}
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
