// Package listen takes the webhooks of a running paylane at an endpoint of its own, prints a
// line for each, and forwards them to a server under development.
package listen

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"paylane/cmd/paylane/internal/apiclient"
)

// Config is everything that listening depends on.
type Config struct {
	Target *apiclient.Client
	// Listener gets the deliveries. Run closes it.
	Listener net.Listener
	// URL is where the API reaches the listener.
	URL string
	// Events are the types to deliver; empty is all.
	Events []string
	// ForwardTo is where the deliveries go on to; nil is nowhere.
	ForwardTo *url.URL
	// Ready is called once deliveries are taken.
	Ready func(Endpoint)
	// Out gets a line for each delivery, of JSON if JSON is set.
	Out  io.Writer
	JSON bool
	Now  func() time.Time
}

// Endpoint is the endpoint as the API made it.
type Endpoint struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

// Run registers the endpoint, takes deliveries until stop is closed, and deletes the endpoint.
// The error says so if the endpoint is left.
func Run(ctx context.Context, stop <-chan struct{}, c Config) error {
	defer func() { _ = c.Listener.Close() }() // it is, if it was served
	endpoint, err := c.register(ctx)
	if endpoint.ID == "" {
		return err
	}
	server := &http.Server{
		ReadTimeout: apiclient.Timeout,
		ErrorLog:    slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // each delivery has its line
		BaseContext: func(net.Listener) context.Context { return ctx },
	}
	if err == nil {
		err = c.serve(ctx, stop, server, endpoint)
	}
	// First the endpoint, so that nothing comes to a closed door, then what is under way.
	err = errors.Join(err, c.unregister(ctx, endpoint.ID))
	_ = server.Shutdown(ctx)
	return err
}

// register returns an endpoint with an id if there is one to be deleted, even with an error.
func (c Config) register(ctx context.Context) (e Endpoint, err error) {
	body, err := json.Marshal(struct {
		URL    string   `json:"url"`
		Events []string `json:"events,omitempty"`
	}{c.URL, c.Events})
	if err != nil {
		return e, fmt.Errorf("encode the endpoint: %w", err)
	}
	answer, err := c.Target.Ask(ctx, http.MethodPost, "/webhooks", nil, body)
	switch {
	case err != nil:
	case answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden:
		err = fmt.Errorf("%w: --token must be an access token with the scope orders/write", apiclient.Refusal(answer))
	case answer.Status != http.StatusCreated:
		err = apiclient.Refusal(answer)
	default:
		if err = json.Unmarshal(answer.Body, &e); err == nil && (e.ID == "" || e.Secret == "") {
			err = errors.New("the answer has no id, or no secret")
		}
	}
	if err != nil {
		err = fmt.Errorf("register the endpoint: %w", err)
	}
	return e, err
}

// serve takes deliveries until it is to stop, and returns why it could not.
func (c Config) serve(ctx context.Context, stop <-chan struct{}, server *http.Server, endpoint Endpoint) error {
	webhook, err := standardwebhooks.NewWebhook(endpoint.Secret)
	if err != nil {
		return fmt.Errorf("read the endpoint's secret: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /", &taker{Config: c, webhook: webhook, transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DisableCompression: true, ResponseHeaderTimeout: apiclient.Timeout,
	}})
	server.Handler = mux
	served := make(chan error, 1)
	// What came since the endpoint was registered waits to be accepted.
	go func() { served <- server.Serve(c.Listener) }()
	c.Ready(endpoint)
	select {
	case <-stop:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case err := <-served:
		return fmt.Errorf("take deliveries: %w", err)
	}
}

func (c Config) unregister(ctx context.Context, id string) error {
	answer, err := c.Target.Ask(ctx, http.MethodDelete, "/webhooks/"+url.PathEscape(id), nil, nil)
	switch {
	case err == nil && (answer.Status == http.StatusNoContent || answer.Status == http.StatusNotFound):
		return nil
	case err == nil:
		err = apiclient.Refusal(answer)
	}
	return fmt.Errorf("delete the endpoint %s, which is left: %w", id, err)
}
