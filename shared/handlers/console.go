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
	"paylane/shared/handlers/internal/environ"
	"paylane/shared/httpapi"
	"paylane/shared/order"
)

type consoleEnvironment struct {
	API    apiEnvironment
	Issuer environ.Issuer
	// ClientID is the console's at the issuer; empty closes the console.
	ClientID string `env:"CONSOLE_CLIENT_ID"`
}

// NewConsole returns the handler of the web console; local is what only one process that runs
// everything knows. The console calls the API in its own process, which reads the same environment
// as [API].
func NewConsole(environment map[string]string, s Services, local console.Local) (http.Handler, error) {
	e, err := environ.Parse[consoleEnvironment](environment)
	if err != nil {
		return nil, err
	}
	s = s.measured()
	signIn, err := s.signIn(e)
	if err != nil {
		return nil, err
	}
	api, err := s.api(e.API, tenantOfSession, operatorSession)
	if err != nil {
		return nil, err
	}
	return console.New(console.Config{
		API: api, SignIn: signIn, Open: console.Session{Tenant: LocalTenant, Read: true, Operate: true},
		Local: local, Now: s.Now, Log: s.Log,
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
			return sessionOf(claims, e.API.Claim), claims.Expires(), nil
		},
	}, nil
}

// sessionOf returns the session of an access token's claims.
func sessionOf(claims accesstoken.Claims, claim environ.TenantClaim) console.Session {
	session := console.Session{
		Tenant: claims.Text(claim.Name), Name: cmp.Or(claims.Text("username"), claims.Text("email"), claims.Text("sub")),
		Read: slices.Contains(claims.Scopes(), httpapi.ScopeRead), Operate: slices.Contains(claims.Scopes(), httpapi.ScopeOperate),
	}
	session.Every = session.Tenant == httpapi.EveryTenant && session.Operate
	return session
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
