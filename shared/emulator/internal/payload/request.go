// Package payload holds what HTTP APIs and function URLs share: payload format 2.0. It
// turns parts of a request into parts of an event (request.go), a function's result into a
// response (reply.go), and answers cross-origin requests (cors.go). What the two do
// differently is in packages apigateway and functionurl.
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

// HeaderBytes returns the size of the request line and the headers, as they were sent.
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

// At most maxLargeBodies bodies over largeBodyBytes are read at a time, which limits the
// memory that slow clients can hold.
const (
	largeBodyBytes = 64 << 10
	maxLargeBodies = 16
)

// Bodies reads the bodies of requests.
type Bodies struct {
	limit int64
	// large has an item for each large body that is being read.
	large chan struct{}
}

// NewBodies returns a Bodies for bodies of at most limit bytes.
func NewBodies(limit int64) *Bodies {
	return &Bodies{limit: limit, large: make(chan struct{}, maxLargeBodies)}
}

// Read reads a request's body. If that fails, failed is the status to respond with;
// otherwise it is 0. For a body that does not arrive in time it is RFC 9110's (15.5.9);
// AWS's is not known.
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

// readLarge reads a body that is large or of unknown length. It reserves no memory for an
// announced length. A body that waits for its turn does so on its own time.
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

// Headers returns the headers, with their names in lower case and their values joined, and
// separately the cookies. The whole body has been read, so there is always a length.
func Headers(r *http.Request, bodyBytes int) (headers map[string]string, cookies []string) {
	const added = 6
	headers = make(map[string]string, len(r.Header)+added)
	for name, values := range r.Header {
		lower := strings.ToLower(name)
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

// Peer returns the client's address without its port.
func Peer(r *http.Request) string {
	if host, _, err := net.SplitHostPort(r.RemoteAddr); err == nil {
		return host
	}
	return r.RemoteAddr
}

// AddForwarded adds the X-Forwarded headers. On AWS they always say https and 443; here
// they say what the client used, so that URLs built from them work.
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

// Body returns the body as text if its type says so, and otherwise as base64.
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

// Query decodes a query; repeated values are joined with commas, in order.
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

// unescape decodes a part of a query. One with an invalid escape is left as it is.
func unescape(part string) string {
	if decoded, err := url.QueryUnescape(part); err == nil {
		return aws.ValidText(decoded)
	}
	return part
}

// isText reports whether a body of this media type (in lower case, without parameters)
// goes into the event as text. That other JSON and XML types don't is a choice, as it is
// for any body with a Content-Encoding.
func isText(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return len(mediaType) > 5 && mediaType[:5] == "text/"
}

// HopByHop reports whether a header, its name in lower case, belongs to one connection
// (RFC 9110, 7.6.1). Such headers are removed from requests, as by every gateway, and from
// functions' responses, where they would break this server's own framing. AWS renames some
// of them in responses of REST APIs.
func HopByHop(lowerName string) bool {
	switch lowerName {
	case "connection", "expect", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade":
		return true
	}
	return false
}
