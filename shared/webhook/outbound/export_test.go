package outbound

import (
	"net"
	"net/http"
)

// Resolve has the client look up names with a resolver, in place of the system's.
func (c *Client) Resolve(r *net.Resolver) {
	dialer := &net.Dialer{ControlContext: c.control, Resolver: r}
	c.http.Transport.(*http.Transport).DialContext = dialer.DialContext
}

// Trust has the client trust a test server.
func (c *Client) Trust(server *http.Client) {
	c.http.Transport.(*http.Transport).TLSClientConfig = server.Transport.(*http.Transport).TLSClientConfig
}
