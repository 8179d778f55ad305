package apigateway

import (
	"cmp"
	"log/slog"
	"net/http"
	"time"
)

// Limits are what a server bears of slow clients, so that none holds a connection, its
// goroutine or its memory for long. What is zero has its default. A slow client does not
// hold a function of the API: that is invoked when the whole request is there, and its
// result is whole before the client gets any of it. One that reads a stream slowly does
// hold the function, up to the deadline of each write.
//
// They are for the runner of one machine, and no defence: one peer can hold all
// connections.
type Limits struct {
	// Header is the time for a request's line and headers: 10 s.
	Header time.Duration
	// Request is the time for the whole request, from its beginning: 30 s. One whose
	// body takes longer gets 408.
	Request time.Duration
	// Response is the time from the end of the headers until the client has taken the
	// answer: 90 s, of which the body may take 30 and the function 30. A handler that
	// answers for longer moves it on, by [http.ResponseController].
	Response time.Duration
	// Idle is how long a connection may wait for its next request: 75 s.
	Idle time.Duration
	// Connections is how many can be open at one time: 4,096. That has room for 1,000
	// event streams, and stays below what systems let one process open. More clients
	// wait to be accepted.
	Connections int
}

// Server makes an HTTP server for a gateway: one that leaves every request to it. The
// logger gets net/http's complaints about clients, at level debug. It must serve a
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
		// "OPTIONS *" is the gateway's to answer too.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
