package apigateway

import (
	"cmp"
	"net"
	"sync"
)

// Listener makes a listener keep to the limit of connections: it accepts none while as
// many are open. Those that come then wait in the system's backlog.
func (l Limits) Listener(inner net.Listener) net.Listener {
	return &limitedListener{
		Listener: inner,
		open:     make(chan struct{}, cmp.Or(l.Connections, 4096)),
		closed:   make(chan struct{}),
	}
}

type limitedListener struct {
	net.Listener
	open      chan struct{} // has an item for each open connection
	closed    chan struct{}
	closeOnce sync.Once
}

// Accept implements [net.Listener].
func (l *limitedListener) Accept() (net.Conn, error) {
	select {
	case l.open <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	accepted, err := l.Listener.Accept()
	if err != nil {
		<-l.open
		return nil, err
	}
	return &limitedConn{Conn: accepted, release: sync.OnceFunc(func() { <-l.open })}, nil
}

// Close implements [net.Listener].
func (l *limitedListener) Close() error {
	l.closeOnce.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close implements [net.Conn].
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
