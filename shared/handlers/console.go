package handlers

import (
	"context"
	"errors"
	"net/http"

	"paylane/shared/console"
	"paylane/shared/handlers/internal/environ"
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
	return console.New(console.Config{
		API: api, Open: console.Session{Tenant: LocalTenant, Read: true, Operate: true}, Local: local, Now: s.Now, Log: s.Log,
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
