// Package outbound posts to URLs that strangers have chosen, and cannot be made to reach what they
// could not (server-side request forgery): other services of this machine or network, a cloud's
// metadata. [Policy.CheckURL] refuses what can be refused when a URL is registered. Each time that
// it posts, a [Client] checks the address that a name has just led to in the moment before it
// connects to that very address, so that a name that leads elsewhere by then helps nobody.
// Redirects are not followed, no proxy is asked, and of an answer only its status and Retry-After
// are used.
package outbound

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"paylane/shared/webhook"
)

// maxAnswer is how much of an answer's body is read, to keep the connection, and then dropped.
const maxAnswer = 64 << 10

// Policy says where requests may go.
type Policy struct {
	// Loopback allows this machine, also without TLS.
	Loopback bool
}

// Client makes requests. It implements [webhook.Poster], and may be used concurrently.
type Client struct {
	policy    Policy
	now       func() time.Time
	dialer    *net.Dialer
	transport *http.Transport
}

// New returns a client.
func New(p Policy, now func() time.Time) *Client {
	c := &Client{policy: p, now: now}
	c.dialer = &net.Dialer{Timeout: 5 * time.Second, ControlContext: c.control}
	c.transport = &http.Transport{
		DialContext:            c.dialer.DialContext,
		ForceAttemptHTTP2:      true,
		TLSHandshakeTimeout:    5 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConns:           100,
		MaxIdleConnsPerHost:    5,
		IdleConnTimeout:        30 * time.Second,
		DisableCompression:     true, // a small answer must stay small
	}
	return c
}

// control refuses a connection to an address to which none may be made. It is called between the
// resolution of a name and the connection, with the address of the connection.
func (c *Client) control(_ context.Context, _, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !allowed(at.Addr(), c.policy) {
		return webhook.ErrForbidden
	}
	return nil
}

// Post implements [webhook.Poster]. It takes as long as ctx allows, if the server wants it to. Its
// errors don't repeat the URL, which may hold a secret.
func (c *Client) Post(ctx context.Context, to string, header map[string]string, body []byte) (webhook.Answer, error) {
	if err := c.policy.CheckURL(to); err != nil {
		return webhook.Answer{}, fmt.Errorf("%w: it %w", webhook.ErrForbidden, err)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return webhook.Answer{}, errors.New("post: not a URL") // err repeats it
	}
	for name, value := range header {
		r.Header.Set(name, value)
	}
	// An http.Client would look at where a redirect leads, and fail if that is not a URL.
	answer, err := c.transport.RoundTrip(r)
	if err != nil {
		return webhook.Answer{}, fmt.Errorf("post: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	// A connection that switches protocols is the caller's: reads of it don't end with ctx.
	if answer.StatusCode != http.StatusSwitchingProtocols {
		// The status says it all: what goes wrong with the body only costs the connection.
		_, _ = io.CopyN(io.Discard, answer.Body, maxAnswer)
	}
	return webhook.Answer{Status: answer.StatusCode, RetryAfter: c.retryAfter(answer.Header.Get("Retry-After"))}, nil
}

// retryAfter returns how long a Retry-After asks to wait: RFC 9110, section 10.2.3, seconds or a
// date. What can't be read asks for nothing.
func (c *Client) retryAfter(value string) time.Duration {
	value = strings.TrimSpace(value)
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(c.now()))
	}
	return 0
}
