package apigateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/textproto"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/accesstoken"
	"paylane/shared/emulator/internal/payload"
	"paylane/shared/emulator/template"
)

// JWT checks access tokens for an API's JWT authorizers ("Control access to HTTP APIs
// with JWT authorizers"). It implements [Authorizer].
type JWT struct {
	byName map[string]*tokens
}

// tokens are those that one authorizer accepts.
type tokens struct {
	find     func(*http.Request) []string
	verifier *accesstoken.Verifier
}

// NewJWT makes the authorizers of an API; it refuses an identity source that is no
// header and no parameter of the query. Whose tokens are good stands in the API, the rest
// of the configuration is c.
func NewJWT(api template.HTTPAPI, c accesstoken.Config) (*JWT, error) {
	j := &JWT{byName: make(map[string]*tokens)}
	for _, r := range api.Routes {
		a := r.Authorizer
		if a == nil || j.byName[a.Name] != nil {
			continue
		}
		find, ok := identitySource(a.IdentitySource)
		if !ok {
			return nil, fmt.Errorf("authorizer %s: the identity source %q is neither $request.header.… nor $request.querystring.…",
				a.Name, a.IdentitySource)
		}
		c.Issuer, c.Audience = a.Issuer, a.Audience
		j.byName[a.Name] = &tokens{find, accesstoken.New(c)}
	}
	return j, nil
}

// identitySource gives what finds the token in a request.
func identitySource(source string) (find func(*http.Request) []string, ok bool) {
	if name, ok := strings.CutPrefix(source, "$request.header."); ok && name != "" {
		name = textproto.CanonicalMIMEHeaderKey(name)
		return func(r *http.Request) []string { return r.Header[name] }, true
	}
	if name, ok := strings.CutPrefix(source, "$request.querystring."); ok && name != "" {
		return func(r *http.Request) []string { return []string{payload.Query(r.URL.RawQuery)[name]} }, true
	}
	return nil, false
}

// Authorize implements [Authorizer].
func (j *JWT) Authorize(r *http.Request, a *template.JWTAuthorizer, scopes []string) (*AuthorizerContext, error) {
	of := j.byName[a.Name]
	if of == nil {
		return nil, fmt.Errorf("there is no authorizer %s", a.Name)
	}
	token := accesstoken.Bearer(of.find(r)...)
	if token == "" {
		return nil, &Refusal{Status: http.StatusUnauthorized, Challenge: "Bearer"}
	}
	claims, err := of.verifier.Verify(r.Context(), token)
	var invalid *accesstoken.InvalidError
	var keys *accesstoken.KeysError
	switch {
	case errors.As(err, &invalid):
		return nil, &Refusal{Status: http.StatusUnauthorized, Challenge: challenge(invalid.Description)}
	case errors.As(err, &keys):
		return nil, &Refusal{Status: noKeysStatus, Challenge: challenge(keys.Description)}
	case err != nil:
		return nil, err
	}
	granted := claims.Scopes()
	if len(scopes) == 0 {
		granted = nil
	} else if !slices.ContainsFunc(granted, func(s string) bool { return slices.Contains(scopes, s) }) {
		return nil, &Refusal{Status: http.StatusForbidden}
	}
	return &AuthorizerContext{JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{
		Claims: claims.Strings(), Scopes: granted,
	}}, nil
}

// challenge is a WWW-Authenticate header in API Gateway's own form, without commas.
func challenge(description string) string {
	return `Bearer scope="" error="invalid_token" error_description="` + description + `"`
}
