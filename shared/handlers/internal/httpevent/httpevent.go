// Package httpevent serves an http.Handler behind an API Gateway HTTP API (payload
// format 2.0), through httpadapter of aws-lambda-go-api-proxy. It mends what that
// adapter and the event's format get wrong between them; see [Handler].
package httpevent

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"
	"github.com/awslabs/aws-lambda-go-api-proxy/core"
	"github.com/awslabs/aws-lambda-go-api-proxy/httpadapter"
)

// Handler returns the Lambda handler of an HTTP API from an http.Handler.
//
// Differences from the bare adapter:
//   - rawPath comes percent-decoded from API Gateway, despite its name; it is escaped
//     again, so that a stray % or a blank in it can't make the conversion fail.
//   - the adapter splits header values at commas and trims the parts, so that "a, b"
//     and "a,b" become the same; headers are put back as the event has them.
//   - an event that is not an HTTP request (a body that isn't base64, a method that is not a
//     token) is answered 400, not with an error and a 504.
func Handler(h http.Handler) func(context.Context, events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
	adapter := httpadapter.NewV2(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if headers, ok := r.Context().Value(headersKey{}).(map[string]string); ok {
			for name, value := range headers {
				r.Header[textproto.CanonicalMIMEHeaderKey(name)] = []string{value}
			}
		}
		h.ServeHTTP(w, r)
	}))
	return func(ctx context.Context, event events.APIGatewayV2HTTPRequest) (events.APIGatewayV2HTTPResponse, error) {
		if !convertible(&event) {
			return badRequest(), nil
		}
		event.RawPath = (&url.URL{Path: event.RawPath}).EscapedPath()
		event.RawQueryString = escapeControls(event.RawQueryString)
		return adapter.ProxyWithContext(context.WithValue(ctx, headersKey{}, event.Headers), event)
	}
}

type headersKey struct{}

// Claim returns a claim of the token that API Gateway's JWT authorizer verified for
// the request whose context this is; ok is false if there is none.
func Claim(ctx context.Context, name string) (value string, ok bool) {
	value, ok = token(ctx).Claims[name]
	return value, ok
}

// Scopes returns all scopes of that token if the request's route requires one of them, and
// none otherwise.
func Scopes(ctx context.Context) []string { return token(ctx).Scopes }

func token(ctx context.Context) events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription {
	gateway, _ := core.GetAPIGatewayV2ContextFromContext(ctx)
	if gateway.Authorizer == nil || gateway.Authorizer.JWT == nil {
		return events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{}
	}
	return *gateway.Authorizer.JWT
}

// convertible checks what the adapter would fail on.
func convertible(event *events.APIGatewayV2HTTPRequest) bool {
	if event.IsBase64Encoded {
		if _, err := base64.StdEncoding.DecodeString(event.Body); err != nil {
			return false
		}
	}
	if _, err := url.Parse("https://" + event.RequestContext.DomainName); err != nil {
		return false
	}
	return isToken(event.RequestContext.HTTP.Method)
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		alphanumeric := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alphanumeric && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return s != ""
}

// escapeControls escapes what url.Parse refuses in a query.
func escapeControls(query string) string {
	bad := func(r rune) bool { return r <= ' ' || r == 0x7f }
	if strings.IndexFunc(query, bad) < 0 {
		return query
	}
	var b strings.Builder
	for i := range len(query) {
		if bad(rune(query[i])) {
			const hex = "0123456789ABCDEF"
			b.Write([]byte{'%', hex[query[i]>>4], hex[query[i]&15]})
		} else {
			b.WriteByte(query[i])
		}
	}
	return b.String()
}

func badRequest() events.APIGatewayV2HTTPResponse {
	return events.APIGatewayV2HTTPResponse{
		StatusCode: http.StatusBadRequest,
		Headers:    map[string]string{"content-type": "application/problem+json", "cache-control": "private, no-store"},
		Body:       `{"type":"about:blank","title":"Bad Request","status":400,"detail":"The event is not an HTTP request."}`,
	}
}
