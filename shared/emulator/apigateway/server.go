package apigateway

import (
	"log/slog"
	"net/http"
	"time"
)

// Server makes an HTTP server for a gateway: one that leaves every request to it. The
// logger gets net/http's complaints about clients, at level debug.
func Server(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler,
		// net/http adds 4,096 bytes to this; the gateway measures exactly.
		MaxHeaderBytes:    maxHeaderBytes,
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       75 * time.Second,
		// "OPTIONS *" is the gateway's to answer too.
		DisableGeneralOptionsHandler: true,
		ErrorLog:                     slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}
