package apigateway

import (
	"cmp"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// Limits bounds how long a slow client can hold a connection, its goroutine and its
// memory. Zero fields take their defaults. A slow client does not hold a function of the
// API: the function is invoked once the whole request has arrived, and has returned its
// whole result before the client gets any of it. One that reads a stream slowly does hold
// the function, up to the deadline of each write.
//
// They suit a runner on one machine and are not a defence: one peer can hold all
// connections.
type Limits struct {
	// Header is the time for a request's line and headers: 10 s.
	Header time.Duration
	// Request is the time for the whole request, from its beginning: 30 s. One whose
	// body takes longer gets 408.
	Request time.Duration
	// Response is the time from the end of the headers until the client has taken the
	// response: 90 s, of which the body may take 30 and the function 30. A handler that
	// responds for longer moves the deadline with [http.ResponseController].
	Response time.Duration
	// Idle is how long a connection may wait for its next request: 75 s.
	Idle time.Duration
	// Connections is how many can be open at a time: 4,096. That leaves room for 1,000
	// event streams and stays below the number of files a process may usually open.
	// Further clients wait to be accepted.
	Connections int
}

// Listener returns a listener that accepts no connection while as many as the limit
// allows are open. Clients that come then wait in the system's backlog.
func (l Limits) Listener(inner net.Listener) net.Listener {
	return netutil.LimitListener(inner, cmp.Or(l.Connections, 4096))
}

// Server returns an HTTP server that leaves every request to the handler, a gateway. The
// logger receives net/http's complaints about clients, at level debug. It must serve a
// listener made by [Limits.Listener].
func Server(handler http.Handler, logger *slog.Logger, l Limits) *http.Server {
	return &http.Server{
		Handler: handler,
		// net/http adds 4,096 bytes to this; the gateway measures exactly.
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: cmp.Or(l.Header, 10*time.Second),
		ReadTimeout:       cmp.Or(l.Request, 30*time.Second),
		WriteTimeout:      cmp.Or(l.Response, 90*time.Second),
		IdleTimeout:       cmp.Or(l.Idle, 75*time.Second),
		// The gateway answers "OPTIONS *" too.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
