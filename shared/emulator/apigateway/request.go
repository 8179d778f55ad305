package apigateway

import (
	"maps"
	"net/http"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/internal/payload"
)

// Limits of a request ("Quotas for configuring and running an HTTP API").
const (
	maxHeaderBytes = 10_240
	maxBodyBytes   = 10 << 20
)

// decodedPath returns the path with its escapes undone, cut at an escaped question mark.
// AWS has been seen to do so before it chooses the route.
func decodedPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.URL.Path, "?")
	return aws.ValidText(path)
}

// request holds what is known about a request when its event is made.
type request struct {
	route      *route
	path       string // decoded, with the stage
	parameters map[string]string
	body       []byte
	caller     *authorizerContext
	id         string
}

// newEvent returns the event of payload format 2.0 ("Create AWS Lambda proxy
// integrations for HTTP APIs"), as it has been seen on AWS.
func (g *Gateway) newEvent(r *http.Request, q request) *httpEvent {
	now := g.options.Now()
	headers, cookies := payload.Headers(r, len(q.body))
	ip := payload.Peer(r)
	payload.AddForwarded(headers, r, ip)
	if headers["x-amzn-trace-id"] == "" {
		headers["x-amzn-trace-id"] = aws.TraceID(g.options.Random, now)
	}
	body, encoded := payload.Body(headers, q.body)
	rawQuery := aws.ValidText(r.URL.RawQuery)
	return &httpEvent{events.APIGatewayV2HTTPRequest{
		Version:               "2.0",
		RouteKey:              q.route.Key,
		RawPath:               q.path,
		RawQueryString:        rawQuery,
		Cookies:               cookies,
		Headers:               headers,
		QueryStringParameters: payload.Query(rawQuery),
		PathParameters:        q.parameters,
		StageVariables:        maps.Clone(g.stageVariables),
		Body:                  body,
		IsBase64Encoded:       encoded,
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey:     q.route.Key,
			AccountID:    g.api.AccountID,
			Stage:        g.api.Stage,
			RequestID:    q.id,
			Authorizer:   q.caller,
			APIID:        g.api.ID,
			DomainName:   g.api.DomainName,
			DomainPrefix: g.api.ID,
			Time:         now.UTC().Format("02/Jan/2006:15:04:05 -0700"),
			TimeEpoch:    now.UnixMilli(),
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: r.Method, Path: q.path, Protocol: "HTTP/1.1", SourceIP: ip,
				UserAgent: headers["user-agent"],
			},
		},
	}}
}
