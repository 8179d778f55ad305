package load

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"paylane/cmd/paylane/internal/apiclient"
)

func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	answer := func(f http.HandlerFunc) string {
		server := httptest.NewServer(f)
		t.Cleanup(server.Close)
		return server.URL
	}
	// A port that nobody serves. (The port of a server that was closed may be given to
	// another test's server.)
	const gone = "http://127.0.0.1:1"
	order := func(location, body string) string {
		return answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", location)
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(body))
		})
	}
	const id = "/orders/0190d6a0-1a2b-7c3d-8e4f-5a6b7c8d9e0f"
	for _, tt := range []struct {
		name string
		url  string
		want string
	}{
		{"accepted", order(id, floorAnswer), ""},
		{"without a Location", order("", floorAnswer), "answer"},
		{"with a Location that is not an order's", order("/orders/7", floorAnswer), "answer"},
		{"with a body that is not an order", order(id, "hello"), "answer"},
		{"too many requests", answer(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTooManyRequests) }), "http_429"},
		{"a redirect", answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, id, http.StatusSeeOther) }), "http_303"},
		{"closed without an answer", answer(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), "closed"},
		{"closed within an answer", answer(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			w.WriteHeader(http.StatusCreated)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}), "closed"},
		{"no answer", answer(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }), "timeout"},
		{"no server", gone, "refused"},
		{"no such host", "http://nowhere.invalid", "transport"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			to, err := apiclient.New(tt.url, "", 1, true)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "timeout" {
				to.HTTP.Timeout = 20 * time.Millisecond
			}
			w := worker{load: &load{target: to}, loaded: loaded{errors: failures{}}}
			_, err = w.post(t.Context(), 0)
			if (err == nil) != (tt.want == "") {
				t.Fatalf("the error is %v", err)
			}
			if err != nil && kindOf(err) != tt.want {
				t.Errorf("%v is of kind %s, want %s", err, kindOf(err), tt.want)
			}
		})
	}
	t.Run("broken off", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		to, err := apiclient.New(answer(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}), "", 1, true)
		if err != nil {
			t.Fatal(err)
		}
		w := worker{load: &load{target: to}, loaded: loaded{errors: failures{}}}
		if _, err = w.post(ctx, 0); !errors.Is(err, context.Canceled) || kindOf(err) != "canceled" {
			t.Errorf("the error is %v", err)
		}
	})
}
