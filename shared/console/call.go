package console

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// answer is what the API answered to one request.
type answer struct {
	// Method and Path are the request's, for whoever reads the answer.
	Method, Path string
	Status       int
	Header       http.Header
	Body         []byte
}

// OK reports whether the API did what was asked.
func (a answer) OK() bool { return a.Status >= 200 && a.Status <= 299 }

// Text is the status in words.
func (a answer) Text() string { return http.StatusText(a.Status) }

// problem is what a refusal of the API says (RFC 9457).
type problem struct {
	Title  string
	Detail string
	Errors []struct{ Location, Message string }
}

// Problem returns what the API says about a refusal; nil if it did what was asked.
func (a answer) Problem() *problem {
	if a.OK() {
		return nil
	}
	p := &problem{Title: a.Text()}
	_ = json.Unmarshal(a.Body, p) // what is not a problem has only its status
	return p
}

// JSON is the body, indented.
func (a answer) JSON() string {
	var text bytes.Buffer
	if json.Indent(&text, a.Body, "", "  ") != nil {
		return string(a.Body)
	}
	return strings.TrimSpace(text.String())
}

// pathOf returns a path of the API of segments, whatever they contain.
func pathOf(segments ...string) string {
	var path strings.Builder
	for _, segment := range segments {
		path.WriteString("/" + url.PathEscape(segment))
	}
	return path.String()
}

// call sends a request to the API in the session of r. The path is as in a URL; body is the
// request's JSON, or empty; header are pairs of name and value, of which empty ones are left out. A
// session of every tenant names the one that it is about.
func (s *console) call(r *http.Request, method, path string, query url.Values, body string, header ...string) answer {
	if session, _ := SessionOf(r.Context()); session.Every {
		query = maps.Clone(query)
		if query == nil {
			query = make(url.Values)
		}
		query.Set("tenant", session.Tenant)
	}
	a := answer{Method: method, Path: path}
	if len(query) > 0 {
		a.Path += "?" + query.Encode()
	}
	request, err := http.NewRequestWithContext(r.Context(), method, a.Path, strings.NewReader(body))
	if err != nil {
		a.Status = http.StatusBadRequest
		return a
	}
	request.Host, request.RemoteAddr, request.TLS = r.Host, r.RemoteAddr, r.TLS
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	for pair := range slices.Chunk(header, 2) {
		if name, value := pair[0], pair[len(pair)-1]; value != "" {
			request.Header.Set(name, value)
		}
	}
	w := recorder{header: make(http.Header)}
	s.API.ServeHTTP(&w, request)
	a.Status, a.Header, a.Body = w.status, w.header, w.body.Bytes()
	return a
}

// recorder keeps an answer.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (w *recorder) Header() http.Header { return w.header }

func (w *recorder) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
}

func (w *recorder) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.body.Write(p)
}
