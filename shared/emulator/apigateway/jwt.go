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
// with JWT authorizers"). It is safe for concurrent use.
type JWT struct {
	byName  map[string]*tokens
	standIn string // the issuer whose own tokens all of them accept; empty for none
}

// authorizerContext is what an authorizer adds to an event, as
// requestContext.authorizer.
type authorizerContext = events.APIGatewayV2HTTPRequestContextAuthorizerDescription

// jwtContext is the part of it that a JWT authorizer adds.
type jwtContext = events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription

// refusal is the error for a caller who is not let in.
type refusal struct {
	status    int    // 401 or 403
	challenge string // the WWW-Authenticate header; empty if there is none
}

func (r *refusal) Error() string { return http.StatusText(r.status) }

// tokens are those that one authorizer accepts.
type tokens struct {
	find     func(*http.Request) []string
	verifier *accesstoken.Verifier
	// standIn verifies the own tokens of the issuer that stands in for the authorizer's;
	// nil without one.
	standIn *accesstoken.Verifier
}

// NewJWT returns the authorizers of an API. An identity source must be a header or a query
// parameter. The API says which issuer and audiences each of them accepts; c holds the rest
// of the configuration. If c names an issuer, it stands in for theirs: it signs the tokens
// of each, as well as tokens of its own that all of them accept; and c's audiences are
// accepted besides theirs.
func NewJWT(api template.HTTPAPI, c accesstoken.Config) (*JWT, error) {
	j := &JWT{byName: make(map[string]*tokens), standIn: c.Issuer}
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
		j.byName[a.Name] = j.tokens(*a, c, find)
	}
	return j, nil
}

func (j *JWT) tokens(a template.JWTAuthorizer, c accesstoken.Config, find func(*http.Request) []string) *tokens {
	accepted := &tokens{find: find}
	c.Audience = slices.Concat(a.Audience, c.Audience)
	if c.Issuer != "" && c.Issuer != a.Issuer {
		accepted.standIn = accesstoken.New(c)
	}
	c.Issuer, c.Signer = a.Issuer, c.Issuer
	accepted.verifier = accesstoken.New(c)
	return accepted
}

// identitySource returns a function that finds the token in a request.
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

// authorize returns what is known about the caller. Scopes are the route's. The error is a
// [*refusal], or another that makes the response a 500.
func (j *JWT) authorize(r *http.Request, a *template.JWTAuthorizer, scopes []string) (*authorizerContext, error) {
	accepted := j.byName[a.Name]
	if accepted == nil {
		return nil, fmt.Errorf("authorizer %s is not configured", a.Name)
	}
	token := accesstoken.Bearer(accepted.find(r)...)
	if token == "" {
		return nil, &refusal{http.StatusUnauthorized, "Bearer"}
	}
	verifier := accepted.verifier
	if accepted.standIn != nil && accesstoken.Issuer(token) == j.standIn {
		verifier = accepted.standIn
	}
	claims, err := verifier.Verify(r.Context(), token)
	var invalid *accesstoken.InvalidError
	var keys *accesstoken.KeysError
	switch {
	case errors.As(err, &invalid):
		return nil, &refusal{http.StatusUnauthorized, challenge(invalid.Description)}
	case errors.As(err, &keys):
		return nil, &refusal{noKeysStatus, challenge(keys.Description)}
	case err != nil:
		return nil, err
	}
	granted := claims.Scopes()
	if len(scopes) == 0 {
		granted = nil
	} else if !slices.ContainsFunc(granted, func(s string) bool { return slices.Contains(scopes, s) }) {
		return nil, &refusal{status: http.StatusForbidden}
	}
	return &authorizerContext{JWT: &jwtContext{
		Claims: claims.Strings(), Scopes: granted,
	}}, nil
}

// challenge is a WWW-Authenticate header in API Gateway's own form, without commas.
func challenge(description string) string {
	return `Bearer scope="" error="invalid_token" error_description="` + description + `"`
}
