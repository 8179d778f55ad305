package apigateway

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator/internal/id"
	"paylane/shared/emulator/internal/text"
)

// Limits of a request ("Quotas for configuring and running an HTTP API").
const (
	maxHeaderBytes = 10_240
	maxBodyBytes   = 10 << 20
)

// A body over largeBodyBytes is read to its end only while fewer than maxLargeBodies
// others are: however many clients send slowly, they hold no more memory than that.
const (
	largeBodyBytes = 64 << 10
	maxLargeBodies = 16
)

// headerBytes is the size of the request line and the headers, as they were sent.
func headerBytes(r *http.Request) int {
	const blanks = 4 // ": " and the end of the line
	size := len(r.Method) + len(r.RequestURI) + len(r.Proto) + blanks
	if r.Host != "" {
		size += len("Host") + len(r.Host) + blanks
	}
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + blanks
		}
	}
	return size
}

// decodedPath is the path with its escapes undone, cut at a question mark that was
// escaped: so has it been seen on AWS, before routes are looked at.
func decodedPath(r *http.Request) string {
	path, _, _ := strings.Cut(r.URL.Path, "?")
	return text.Valid(path)
}

// readBody reads a request's body. It answers the request itself when that fails.
func (g *Gateway) readBody(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	switch {
	case r.ContentLength == 0:
		return nil, true
	case r.ContentLength > maxBodyBytes:
		fail(w, http.StatusRequestEntityTooLarge)
		return nil, false
	}
	var body []byte
	var err error
	if r.ContentLength > 0 && r.ContentLength <= largeBodyBytes {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = g.readLarge(r.Context(), http.MaxBytesReader(w, r.Body, maxBodyBytes))
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		fail(w, http.StatusRequestEntityTooLarge)
		return nil, false
	case errors.Is(err, os.ErrDeadlineExceeded):
		fail(w, bodyTooSlowStatus)
		return nil, false
	case err != nil: // cut off, or wrongly chunked
		fail(w, http.StatusBadRequest)
		return nil, false
	}
	return body, true
}

// readLarge reads a body that is large or of unknown length. Of what is only announced
// nothing is reserved. One that waits for its turn does so while its time runs.
func (g *Gateway) readLarge(ctx context.Context, from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, largeBodyBytes))
	if err != nil || len(body) < largeBodyBytes {
		return body, err
	}
	select {
	case g.largeBodies <- struct{}{}:
		defer func() { <-g.largeBodies }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	rest, err := io.ReadAll(from)
	return append(body, rest...), err
}

// request is what is known of a request when its event is made.
type request struct {
	route      *route
	path       string // decoded, with the stage
	parameters map[string]string
	body       []byte
	caller     *AuthorizerContext
	id         string
}

// newEvent makes the event of payload format 2.0 ("Create AWS Lambda proxy
// integrations for HTTP APIs"), as it is seen on AWS.
func (g *Gateway) newEvent(r *http.Request, q request) *httpEvent {
	now := g.options.Now()
	headers, cookies := eventHeaders(r, len(q.body))
	ip := peer(r)
	addForwarded(headers, r, ip)
	if headers["x-amzn-trace-id"] == "" {
		headers["x-amzn-trace-id"] = id.Trace(g.options.Random, now)
	}
	body, encoded := eventBody(headers, q.body)
	rawQuery := text.Valid(r.URL.RawQuery)
	return &httpEvent{events.APIGatewayV2HTTPRequest{
		Version:               "2.0",
		RouteKey:              q.route.Key,
		RawPath:               q.path,
		RawQueryString:        rawQuery,
		Cookies:               cookies,
		Headers:               headers,
		QueryStringParameters: queryParameters(rawQuery),
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

// eventHeaders gives the headers with their names in lower case and their values
// joined, and the cookies, which are not among them. The gateway has read the whole
// body, so there is always a length.
func eventHeaders(r *http.Request, bodyBytes int) (headers map[string]string, cookies []string) {
	const added = 6
	headers = make(map[string]string, len(r.Header)+added)
	for name, values := range r.Header {
		lower := lowerName(name)
		switch {
		case lower == "cookie":
			cookies = splitCookies(values)
		case !hopByHop[lower]:
			headers[lower] = text.Valid(strings.Join(values, ","))
		}
	}
	headers["host"] = r.Host
	headers["content-length"] = strconv.Itoa(bodyBytes)
	return headers, cookies
}

// lowerNames spares the common names a conversion.
//
//nolint:gochecknoglobals // a table, never written
var lowerNames = func() map[string]string {
	names := map[string]string{}
	for _, name := range []string{
		"Accept", "Accept-Encoding", "Accept-Language", "Authorization", "Cache-Control", "Connection", "Content-Length",
		"Content-Type", "Cookie", "Idempotency-Key", "If-Match", "If-None-Match", "Origin", "Prefer", "Referer", "User-Agent",
		"X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Request-Id",
	} {
		names[name] = strings.ToLower(name)
	}
	return names
}()

func lowerName(name string) string {
	if lower, ok := lowerNames[name]; ok {
		return lower
	}
	return strings.ToLower(name)
}

func splitCookies(values []string) []string {
	var cookies []string
	for _, value := range values {
		for cookie := range strings.SplitSeq(value, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				cookies = append(cookies, text.Valid(cookie))
			}
		}
	}
	return cookies
}

// peer is the client's address without its port.
func peer(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// addForwarded says how the request came in. On AWS that is always https and 443;
// here it is what the client really used, so that addresses made of it work.
func addForwarded(headers map[string]string, r *http.Request, ip string) {
	if earlier := headers["x-forwarded-for"]; earlier != "" {
		ip = earlier + ", " + ip
	}
	headers["x-forwarded-for"] = ip
	proto, port := "http", "80"
	if r.TLS != nil {
		proto, port = "https", "443"
	}
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		port = strconv.Itoa(local.Port)
	}
	headers["x-forwarded-proto"], headers["x-forwarded-port"] = proto, port
}

// eventBody gives the body as text where its type says so, else as base64.
func eventBody(headers map[string]string, body []byte) (content string, encoded bool) {
	if len(body) == 0 {
		return "", false
	}
	mediaType, _, _ := strings.Cut(headers["content-type"], ";")
	if isText(strings.ToLower(strings.TrimSpace(mediaType))) && headers["content-encoding"] == "" {
		return text.Valid(string(body)), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

// queryParameters decodes a query; repeated names are joined with commas, in the
// order of arrival.
func queryParameters(raw string) map[string]string {
	if raw == "" {
		return nil
	}
	parameters := make(map[string]string, strings.Count(raw, "&")+1)
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		name, value = unescape(name), unescape(value)
		if earlier, ok := parameters[name]; ok {
			value = earlier + "," + value
		}
		parameters[name] = value
	}
	if len(parameters) == 0 {
		return nil
	}
	return parameters
}

// unescape decodes a part of a query. One with an escape that is none stays as it is.
func unescape(part string) string {
	if decoded, err := url.QueryUnescape(part); err == nil {
		return text.Valid(decoded)
	}
	return part
}
