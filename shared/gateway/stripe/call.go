package stripe

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"

	api "github.com/stripe/stripe-go/v85"

	"paylane/shared/gateway"
)

// maxPage is how many objects a list returns at most.
const maxPage = 100

// call makes one request. If Stripe does not know the API key, which is then known to have
// done nothing, the key is read anew, and another is tried once. The error is for [explain].
func call[T any](ctx context.Context, g *Gateway, ask func(context.Context, *api.Client) (T, error)) (T, error) {
	client, err := g.open(ctx, nil)
	if err != nil {
		var none T
		return none, err
	}
	answer, err := send(ctx, client, ask)
	if status(err) != http.StatusUnauthorized || errors.As(err, new(repeatedError)) {
		return answer, err
	}
	other, openErr := g.open(ctx, client)
	switch {
	case openErr != nil:
		return answer, openErr
	case other == client:
		return answer, err
	}
	return send(ctx, other, ask)
}

// notSentError is that of a request that never left.
type notSentError struct{ error }

func (e notSentError) Unwrap() error { return e.error }

// repeatedError is that of a request that net/http sent again by itself, when its connection
// broke: the error is of the last time, and it may have been acted on before.
type repeatedError struct{ error }

func (e repeatedError) Unwrap() error { return e.error }

// send makes a request and finds out how often it can have been sent.
func send[T any](ctx context.Context, client *api.Client, ask func(context.Context, *api.Client) (T, error)) (T, error) {
	var connections atomic.Int64
	answer, err := ask(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(httptrace.GotConnInfo) { connections.Add(1) },
	}), client)
	switch n := connections.Load(); {
	case err == nil:
	case n == 0:
		err = notSentError{err}
	case n > 1:
		err = repeatedError{err}
	}
	return answer, err
}

// open returns a client with the API key. It reads the key if there is no client yet, or if
// the one that there is was refused.
func (g *Gateway) open(ctx context.Context, refused *api.Client) (*api.Client, error) {
	g.mu.Lock()
	client, former := g.client, g.key
	g.mu.Unlock()
	if client != refused {
		return client, nil
	}
	if g.Secret == nil {
		return nil, misconfigured(errors.New("this program has no API key of Stripe"))
	}
	key, err := g.Secret(ctx, refused != nil)
	if err != nil {
		return nil, misconfigured(fmt.Errorf("read the API key of Stripe: %w", err))
	}
	sum := sha256.Sum256([]byte(key))
	if sum == former {
		return client, nil
	}
	if err := CheckKey(key, g.Config.Livemode); err != nil {
		return nil, misconfigured(err)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.key != sum { // nobody else was faster
		g.client, g.key = g.connect(key), sum
	}
	return g.client, nil
}

// CheckKey returns an error for an API key that is none, or of the other mode. It never repeats
// the key.
func CheckKey(key string, livemode bool) error {
	mode := "test"
	if livemode {
		mode = "live"
	}
	for _, kind := range []string{"sk_", "rk_"} {
		if strings.HasPrefix(key, kind+mode+"_") {
			return nil
		}
	}
	return fmt.Errorf("the API key of Stripe must be a secret or restricted key of the %s mode, which begins with sk_%[1]s_ or rk_%[1]s_", mode)
}

func (g *Gateway) connect(key string) *api.Client {
	c := &api.BackendConfig{
		HTTPClient: g.http,
		// Trying again is for the caller, who knows what may be.
		MaxNetworkRetries: api.Int64(0),
		EnableTelemetry:   api.Bool(false),
		LeveledLogger:     &api.LeveledLogger{Level: api.LevelNull},
	}
	if g.URL != "" {
		c.URL = &g.URL
	}
	return api.NewClient(key, api.WithBackends(&api.Backends{API: api.GetBackendWithConfig(api.APIBackend, c)}))
}

func misconfigured(err error) error {
	return fmt.Errorf("%w: %w", gateway.ErrMisconfigured, err)
}
