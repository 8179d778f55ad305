package handlers

import (
	"context"
	"errors"
	"net/http"

	"paylane/shared/console"
	"paylane/shared/handlers/internal/environ"
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
	return console.New(console.Config{
		API: api, Open: console.Session{Tenant: LocalTenant, Read: true, Operate: true},
		Dashboard: e.Dashboard, Local: local, Now: s.Now, Log: s.Log,
	})
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
