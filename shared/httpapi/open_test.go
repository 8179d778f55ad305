package httpapi_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/gateway/simulator"
	"paylane/shared/httpapi"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/pipeline"
)

// TestOpenAtOnce: a process that serves many requests at a time keeps 2,000 waits and 2,000 streams
// of a tenant open. One more is refused, without touching what others may do; once one has ended
// there is room again.
func TestOpenAtOnce(t *testing.T) {
	const most = 2000
	for _, kind := range []struct{ name, path, prefer string }{
		{"waits", "", "wait=20"},
		{"streams", "/events", ""},
	} {
		t.Run(kind.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, queue := pebbletest.Open(t, time.Minute)
				var paths []string
				for _, tenant := range []string{"greedy", "modest"} {
					o := pending()
					o.Tenant = tenant
					if err := store.Create(t.Context(), o); err != nil {
						t.Fatal(err)
					}
					paths = append(paths, "/orders/"+followedID+kind.path+"?tenant="+tenant)
				}
				log := slog.New(slog.DiscardHandler)
				tokens := simulator.New(time.Now)
				api := httpapi.New(httpapi.Config{
					Checkout: pipeline.NewCheckout(pipeline.CheckoutConfig{Store: store, Queue: queue, Tokens: tokens, Now: time.Now}),
					Tokens:   tokens.Describe(), Log: log,
					Tenant:   func(context.Context) (string, bool) { return "*", true },
					Operator: func(context.Context) bool { return true },
				})
				events := httpapi.NewEvents(httpapi.EventsConfig{
					Orders: pipeline.NewReader(store), Lifetime: 20 * time.Second, Log: log,
					Authenticate: func(*http.Request) (httpapi.Identity, error) {
						return httpapi.Identity{Tenant: "*", Operator: true}, nil
					},
				})
				ask := func(path, prefer string) *httptest.ResponseRecorder {
					w := httptest.NewRecorder()
					r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
					r.Header.Set("Prefer", prefer)
					handler := api
					if kind.path != "" {
						handler = events
					}
					handler.ServeHTTP(w, r)
					return w
				}
				var open sync.WaitGroup
				for range most {
					open.Go(func() {
						if w := ask(paths[0], kind.prefer); w.Code != http.StatusOK {
							t.Errorf("one of the first is answered with %d", w.Code)
						}
					})
				}
				synctest.Wait() // all of them wait
				began := time.Now()
				w := ask(paths[0], kind.prefer)
				var problem struct{ Type string }
				if err := json.Unmarshal(w.Body.Bytes(), &problem); err != nil || w.Code != http.StatusTooManyRequests || problem.Type != "/docs#too-many-open" ||
					w.Header().Get("Retry-After") != "5" || w.Header().Get("Content-Type") != "application/problem+json" || time.Since(began) != 0 {
					t.Errorf("one more: %d, %v, %s after %v", w.Code, w.Header(), w.Body, time.Since(began))
				}
				if kind.prefer != "" {
					if w := ask(paths[0], ""); w.Code != http.StatusOK {
						t.Errorf("one that does not wait: %d", w.Code)
					}
				}
				open.Go(func() {
					if w := ask(paths[1], kind.prefer); w.Code != http.StatusOK {
						t.Errorf("another tenant's: %d", w.Code)
					}
				})
				open.Wait()
				if w := ask(paths[0], kind.prefer); w.Code != http.StatusOK {
					t.Errorf("afterwards: %d", w.Code)
				}
			})
		})
	}
}
