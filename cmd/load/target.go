package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"paylane/shared/order"
)

// requestTimeout is how long an answer may take. API Gateway gives up after 30 s, too.
const requestTimeout = 30 * time.Second

// target is the API that is driven.
type target struct {
	base   string // without a slash at the end
	bearer string
	client *http.Client
}

// orderView is what the driver reads of an order.
type orderView struct {
	ID        uuid.UUID    `json:"id"`
	Status    order.Status `json:"status"`
	CreatedAt time.Time    `json:"createdAt"`
	UpdatedAt time.Time    `json:"updatedAt"`
}

// newTarget makes a target that is reached over at most that many connections. It must be on this
// machine unless remote ones are allowed: a load is not to hit strangers by mistake.
func newTarget(rawURL, bearer string, connections int, allowRemote bool) (*target, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("read -url: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("-url %q must be like http://127.0.0.1:3000", u.Redacted())
	}
	if !allowRemote && !isLoopback(u.Hostname()) {
		return nil, fmt.Errorf("%s is not this machine; to drive it all the same, say -allow-remote", u.Hostname())
	}
	// HTTP/1.1 only: over HTTP/2 all would share one connection.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &target{
		base:   strings.TrimSuffix(u.String(), "/"),
		bearer: bearer,
		client: &http.Client{
			Timeout: requestTimeout,
			Transport: &http.Transport{
				Proxy:               http.ProxyFromEnvironment, // never for loopback
				Protocols:           &protocols,
				MaxConnsPerHost:     connections,
				MaxIdleConnsPerHost: connections,
				DisableCompression:  true,
			},
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}, nil
}

// isLoopback tells whether a host is this machine by its very name: a loopback address,
// or localhost (RFC 6761, section 6.3). Other names are not looked up: what they mean
// can change between two requests.
func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// ping tells whether an API of ours answers.
func (t *target) ping(ctx context.Context) error {
	resp, err := t.do(ctx, http.MethodGet, "/healthz", nil, nil)
	if err != nil {
		return fmt.Errorf("nothing answers at %s (start it with: make run): %w", t.base, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/healthz answers %s: is it a paylane API?", t.base, resp.Status)
	}
	return nil
}

// do sends a request. The caller closes the answer's body.
func (t *target) do(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, t.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if t.bearer != "" {
		req.Header.Set("Authorization", "Bearer "+t.bearer)
	}
	return t.client.Do(req)
}

// answer is an answer whose body was read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// ask sends a request and reads the answer.
func (t *target) ask(ctx context.Context, method, path string, header http.Header, body []byte) (answer, error) {
	resp, err := t.do(ctx, method, path, header, body)
	if err != nil {
		return answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := answer{status: resp.StatusCode, header: resp.Header}
	if a.body, err = io.ReadAll(resp.Body); err != nil {
		return answer{}, fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	return a, nil
}

// askFor sends a request and decodes the answer into v, if it has that status; another
// one is a [*statusError].
func (t *target) askFor(ctx context.Context, status int, v any, method, path string, header http.Header, body []byte) (answer, error) {
	a, err := t.ask(ctx, method, path, header, body)
	if err != nil {
		return a, err
	}
	if a.status != status {
		return a, fmt.Errorf("%s %s: %w", method, path, &statusError{status: a.status, body: string(a.body)})
	}
	if err := json.Unmarshal(a.body, v); err != nil {
		return a, fmt.Errorf("decode the answer to %s %s: %w", method, path, err)
	}
	return a, nil
}
