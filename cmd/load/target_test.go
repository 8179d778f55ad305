package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost":            true,
		"LocalHost":            true,
		"127.0.0.1":            true,
		"127.0.0.2":            true,
		"127.255.255.254":      true,
		"[::1]":                true,
		"[::ffff:127.0.0.1]":   true,
		"0.0.0.0":              false,
		"[::]":                 false,
		"126.255.255.255":      false,
		"128.0.0.1":            false,
		"10.0.0.1":             false,
		"192.168.0.1":          false,
		"[fe80::1]":            false,
		"[::ffff:10.0.0.1]":    false,
		"example.com":          false,
		"localhost.evil.test":  false,
		"127.0.0.1.evil.test":  false,
		"my-machine":           false,
		"127.1":                false, // what it means is up to the resolver
		"2130706433":           false, // the same
		"a.localhost.evil.com": false,
	} {
		for _, port := range []string{"", ":3000"} {
			_, err := newTarget("http://"+host+port, "", 1, false)
			if (err == nil) != want {
				t.Errorf("%s%s: error %v, want one: %v", host, port, err, !want)
			}
			if _, err := newTarget("http://"+host+port, "", 1, true); err != nil {
				t.Errorf("%s%s, remote allowed: %v", host, port, err)
			}
		}
	}
}

func TestKindsOfErrors(t *testing.T) {
	t.Parallel()
	answer := func(f http.HandlerFunc) string {
		server := httptest.NewServer(f)
		t.Cleanup(server.Close)
		return server.URL
	}
	// A port that nobody serves. (That of a server which was closed may be given to
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
		{"with a Location that is no order's", order("/orders/7", floorAnswer), "answer"},
		{"with a body that is no order", order(id, "hello"), "answer"},
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
			target, err := newTarget(tt.url, "", 1, true)
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "timeout" {
				target.client.Timeout = 20 * time.Millisecond
			}
			w := worker{load: &load{target: target}, loaded: loaded{errors: failures{}}}
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
		target, err := newTarget(answer(func(_ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}), "", 1, true)
		if err != nil {
			t.Fatal(err)
		}
		w := worker{load: &load{target: target}, loaded: loaded{errors: failures{}}}
		if _, err = w.post(ctx, 0); !errors.Is(err, context.Canceled) || kindOf(err) != "canceled" {
			t.Errorf("the error is %v", err)
		}
	})
}
