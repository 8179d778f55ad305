package functionurl

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/internal/payload"
)

// event is a function URL's event: payload format 2.0 with a few differences from an HTTP
// API's ("Request and response payloads" of function URLs; the rest as seen on AWS).
type event struct {
	events.LambdaFunctionURLRequest
}

// Typed implements [emulator.Event].
func (e *event) Typed() any { return &e.LambdaFunctionURLRequest }

// JSON implements [emulator.Event]. aws-lambda-go's type lacks three fields that AWS
// sends; otherwise it encodes as AWS does.
func (e *event) JSON() ([]byte, error) {
	type inner struct {
		events.LambdaFunctionURLRequestContext
		RouteKey string `json:"routeKey"`
		Stage    string `json:"stage"`
	}
	encoded, err := aws.JSON(struct {
		events.LambdaFunctionURLRequest
		RouteKey       string `json:"routeKey"`
		RequestContext inner  `json:"requestContext"`
	}{e.LambdaFunctionURLRequest, "$default", inner{e.RequestContext, "$default", "$default"}})
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	return encoded, nil
}

func (u *URL) newEvent(r *http.Request, requestBody []byte, requestID string) *event {
	now := u.options.Now()
	headers, cookies := payload.Headers(r, len(requestBody))
	if len(cookies) > 0 { // unlike in an HTTP API's event
		headers["cookie"] = strings.Join(cookies, "; ")
	}
	ip := payload.Peer(r)
	payload.AddForwarded(headers, r, ip)
	if headers["x-amzn-trace-id"] == "" {
		headers["x-amzn-trace-id"] = aws.TraceID(u.options.Random, now)
	}
	body, encoded := payload.Body(headers, requestBody)
	rawQuery := aws.ValidText(r.URL.RawQuery)
	rawPath := cmp.Or(r.URL.EscapedPath(), "/")
	path, err := url.PathUnescape(rawPath)
	if err != nil {
		path = rawPath
	}
	return &event{events.LambdaFunctionURLRequest{
		Version:               "2.0",
		RawPath:               rawPath,
		RawQueryString:        rawQuery,
		Cookies:               cookies,
		Headers:               headers,
		QueryStringParameters: payload.Query(rawQuery),
		Body:                  body,
		IsBase64Encoded:       encoded,
		RequestContext: events.LambdaFunctionURLRequestContext{
			AccountID:    account,
			RequestID:    requestID,
			APIID:        u.url.ID,
			DomainName:   u.url.DomainName,
			DomainPrefix: u.url.ID,
			Time:         now.UTC().Format("02/Jan/2006:15:04:05 -0700"),
			TimeEpoch:    now.UnixMilli(),
			HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{
				Method: r.Method, Path: aws.ValidText(path), Protocol: "HTTP/1.1", SourceIP: ip,
				UserAgent: headers["user-agent"],
			},
		},
	}}
}
