// Package payload is what HTTP APIs and Function URLs have in common: payload format
// 2.0. It turns parts of a request into parts of an event (request.go), a function's
// result into a response (reply.go), and answers cross-origin requests (cors.go). What
// the two do differently stands in packages apigateway and functionurl.
package payload

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"

	"paylane/shared/emulator/internal/aws"
)

// HeaderBytes is the size of the request line and the headers, as they were sent.
func HeaderBytes(r *http.Request) int {
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

// A body over largeBodyBytes is read to its end only while fewer than maxLargeBodies
// others are: however many clients send slowly, they hold no more memory than that.
const (
	largeBodyBytes = 64 << 10
	maxLargeBodies = 16
)

// Bodies reads the bodies of requests.
type Bodies struct {
	limit int64
	// large has an item for each large one that is being read.
	large chan struct{}
}

// NewBodies reads bodies of at most limit bytes.
func NewBodies(limit int64) *Bodies {
	return &Bodies{limit: limit, large: make(chan struct{}, maxLargeBodies)}
}

// Read reads a request's body. Where that fails, failed is the status to answer with; else
// it is 0. Of one that does not come in time that is what RFC 9110 has for it (15.5.9); what
// AWS says then is not known.
func (b *Bodies) Read(w http.ResponseWriter, r *http.Request) (body []byte, failed int) {
	switch {
	case r.ContentLength == 0:
		return nil, 0
	case r.ContentLength > b.limit:
		return nil, http.StatusRequestEntityTooLarge
	}
	var err error
	if r.ContentLength > 0 && r.ContentLength <= largeBodyBytes {
		body = make([]byte, r.ContentLength)
		_, err = io.ReadFull(r.Body, body)
	} else {
		body, err = b.readLarge(r.Context(), http.MaxBytesReader(w, r.Body, b.limit))
	}
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, http.StatusRequestEntityTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, http.StatusRequestTimeout
	case err != nil: // cut off, or wrongly chunked
		return nil, http.StatusBadRequest
	}
	return body, 0
}

// readLarge reads a body that is large or of unknown length. Of what is only announced
// nothing is reserved. One that waits for its turn does so while its time runs.
func (b *Bodies) readLarge(ctx context.Context, from io.Reader) ([]byte, error) {
	body, err := io.ReadAll(io.LimitReader(from, largeBodyBytes))
	if err != nil || len(body) < largeBodyBytes {
		return body, err
	}
	select {
	case b.large <- struct{}{}:
		defer func() { <-b.large }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	rest, err := io.ReadAll(from)
	return append(body, rest...), err
}

// Headers gives the headers with their names in lower case and their values
// joined, and the cookies, which are not among them. The whole body was read, so
// there is always a length.
func Headers(r *http.Request, bodyBytes int) (headers map[string]string, cookies []string) {
	const added = 6
	headers = make(map[string]string, len(r.Header)+added)
	for name, values := range r.Header {
		lower := LowerName(name)
		switch {
		case lower == "cookie":
			cookies = splitCookies(values)
		case !HopByHop(lower):
			headers[lower] = aws.ValidText(strings.Join(values, ","))
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

// LowerName gives the name of a header in lower case.
func LowerName(name string) string {
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
				cookies = append(cookies, aws.ValidText(cookie))
			}
		}
	}
	return cookies
}

// Peer is the client's address without its port.
func Peer(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// AddForwarded says how the request came in. On AWS that is always https and 443;
// here it is what the client really used, so that addresses made of it work.
func AddForwarded(headers map[string]string, r *http.Request, ip string) {
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

// Body gives the body as text where its type says so, else as base64.
func Body(headers map[string]string, body []byte) (content string, encoded bool) {
	if len(body) == 0 {
		return "", false
	}
	mediaType, _, _ := strings.Cut(headers["content-type"], ";")
	if isText(strings.ToLower(strings.TrimSpace(mediaType))) && headers["content-encoding"] == "" {
		return aws.ValidText(string(body)), false
	}
	return base64.StdEncoding.EncodeToString(body), true
}

// Query decodes a query; repeated names are joined with commas, in the
// order of arrival.
func Query(raw string) map[string]string {
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
		return aws.ValidText(decoded)
	}
	return part
}

// isText says whether a body of this media type (in lower case, without parameters)
// goes into the event as text. That other JSON and XML types are not is a choice, as
// it is for any body with a Content-Encoding.
func isText(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return len(mediaType) > 5 && mediaType[:5] == "text/"
}

// HopByHop says whether a header, its name in lower case, belongs to one connection (RFC
// 9110, 7.6.1). Such are taken out of requests, as every gateway does, and out of
// functions' responses, where they would break the framing of this server's own. AWS
// renames some of them in responses of REST APIs.
func HopByHop(lowerName string) bool {
	switch lowerName {
	case "connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}
