// Package apiclient calls a running paylane, for the commands that need one.
package apiclient

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

	"paylane/shared/smoke"
)

// Timeout is how long an answer may take. API Gateway gives up after 30 s, too.
const Timeout = 30 * time.Second

// Client calls the API of one paylane.
type Client struct {
	// URL is the API's base, without a slash at the end.
	URL string
	// Local reports whether the API is on this machine.
	Local bool
	HTTP  *http.Client
	token string // an access token, or empty
}

// New returns a client that uses at most that many connections. The API must be on this
// machine unless remote ones are allowed: a test must not hit strangers by mistake.
func New(rawURL, token string, connections int, allowRemote bool) (*Client, error) {
	u, err := url.Parse(rawURL)
	if err != nil {
		return nil, fmt.Errorf("read --url: %w", err)
	}
	if (u.Scheme != "http" && u.Scheme != "https") || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, fmt.Errorf("--url %q must be like http://127.0.0.1:3000", u.Redacted())
	}
	local := IsLoopback(u.Hostname())
	if !allowRemote && !local {
		return nil, fmt.Errorf("%s is not this machine; to use it all the same, add --allow-remote", u.Hostname())
	}
	// HTTP/1.1 only: over HTTP/2 all would share one connection.
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	return &Client{
		URL:   strings.TrimSuffix(u.String(), "/"),
		Local: local,
		token: token,
		HTTP: &http.Client{
			Timeout: Timeout,
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

// IsLoopback reports whether a host is this machine by its name alone: a loopback address,
// or localhost (RFC 6761, section 6.3). Other names are not looked up, since their meaning
// can change between two requests.
func IsLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Unmap().IsLoopback()
}

// Ping returns an error unless a paylane API answers.
func (c *Client) Ping(ctx context.Context) error {
	resp, err := c.Do(ctx, http.MethodGet, "/healthz", nil, nil)
	if err != nil {
		return fmt.Errorf("nothing answers at %s (start it with: make run): %w", c.URL, err)
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s/healthz answers %s: is it a paylane API?", c.URL, resp.Status)
	}
	return nil
}

// Do sends a request. The caller closes the response's body.
func (c *Client) Do(ctx context.Context, method, path string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range header {
		req.Header[name] = values
	}
	if len(body) > 0 {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.token != "" {
		req.Header.Set("Authorization", "Bearer "+c.token)
	}
	return c.HTTP.Do(req)
}

// Ask sends a request and reads the answer.
func (c *Client) Ask(ctx context.Context, method, path string, header http.Header, body []byte) (smoke.Answer, error) {
	resp, err := c.Do(ctx, method, path, header, body)
	if err != nil {
		return smoke.Answer{}, err
	}
	defer func() { _ = resp.Body.Close() }()
	a := smoke.Answer{Status: resp.StatusCode, Header: resp.Header}
	if a.Body, err = io.ReadAll(resp.Body); err != nil {
		return smoke.Answer{}, fmt.Errorf("read the answer to %s %s: %w", method, path, err)
	}
	return a, nil
}

// Refusal is an answer as an error: what a problem document says, or the status.
func Refusal(a smoke.Answer) error {
	var problem struct {
		Detail string
		Errors []struct{ Location, Message string }
	}
	if json.Unmarshal(a.Body, &problem) != nil || problem.Detail == "" {
		return fmt.Errorf("the answer is %d %s", a.Status, http.StatusText(a.Status))
	}
	said := []string{problem.Detail}
	for _, e := range problem.Errors {
		said = append(said, e.Location+": "+e.Message)
	}
	return fmt.Errorf("%d: %s", a.Status, strings.Join(said, " "))
}
