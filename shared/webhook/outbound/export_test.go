package outbound

import (
	"context"
	"net"
	"net/http"
	"syscall"
)

// Resolve has the client look up names with a resolver, in place of the system's.
func (c *Client) Resolve(r *net.Resolver) { c.dialer.Resolver = r }

// Connecting has the client call f before it connects, with the address that it has checked. An
// error ends that.
func (c *Client) Connecting(f func(address string) error) {
	check := c.dialer.ControlContext
	c.dialer.ControlContext = func(ctx context.Context, network, address string, raw syscall.RawConn) error {
		if err := check(ctx, network, address, raw); err != nil {
			return err
		}
		return f(address)
	}
}

// Connect has the client use a connection for all that it sends.
func (c *Client) Connect(conn net.Conn) {
	c.transport.DialContext = func(context.Context, string, string) (net.Conn, error) { return conn, nil }
}

// Trust has the client trust a test server.
func (c *Client) Trust(server *http.Client) {
	c.transport.TLSClientConfig = server.Transport.(*http.Transport).TLSClientConfig
}
