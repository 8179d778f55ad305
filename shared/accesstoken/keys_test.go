package accesstoken_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"paylane/shared/accesstoken"
	"paylane/shared/accesstoken/tokentest"
)

func jsonNumber(text string) json.Number { return json.Number(text) }

// handler answers requests without a network.
type handler http.HandlerFunc

func (h handler) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	h(w, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return w.Result(), nil
}

// verdict returns what became of a token: "good", "bad" or "no keys".
func verdict(t *testing.T, v *accesstoken.Verifier, token string) string {
	t.Helper()
	_, err := v.Verify(t.Context(), token)
	var invalid *accesstoken.InvalidError
	var keys *accesstoken.KeysError
	switch {
	case err == nil:
		return "good"
	case errors.As(err, &invalid):
		return "bad"
	case errors.As(err, &keys):
		return "no keys"
	}
	t.Fatal(err)
	return ""
}

// step is a step of a test through time: it checks what becomes of a token, and how often
// the keys have been fetched since the test began.
func step(t *testing.T, v *accesstoken.Verifier, issuer *tokentest.Issuer, token, want string, fetches int) {
	t.Helper()
	if got := verdict(t, v, token); got != want {
		t.Errorf("the token is %s, want %s", got, want)
	}
	if got := issuer.Fetches(); got != fetches {
		t.Errorf("the keys were fetched %d times, want %d", got, fetches)
	}
}

// TestRotation: a new key is found at once, and the old one no longer. Unknown kids cause
// at most one fetch a minute, however many there are.
func TestRotation(t *testing.T) {
	issuer, client := served(t)
	synctest.Test(t, func(t *testing.T) {
		token := func() string { return issuer.Token(t, issuer.Claims(time.Now(), nil)) }
		v := verifier(client, nil)
		first := token()
		step(t, v, issuer, first, "good", 1)
		issuer.Rotate(t)
		step(t, v, issuer, token(), "good", 2)
		step(t, v, issuer, first, "bad", 2) // its kid is unknown now, within the minute
		stranger := tokentest.New(t, issuerURL)
		for range 9 { // until its kids differ from the issuer's
			stranger.Rotate(t)
		}
		for range 100 {
			step(t, v, issuer, stranger.Token(t, stranger.Claims(time.Now(), nil)), "bad", 2)
		}
		issuer.Rotate(t)
		step(t, v, issuer, token(), "bad", 2)
		time.Sleep(time.Minute - 1)
		step(t, v, issuer, token(), "bad", 2)
		time.Sleep(time.Nanosecond)
		step(t, v, issuer, token(), "good", 3)
	})
}

// TestAge: the keys are used for two hours.
func TestAge(t *testing.T) {
	issuer, client := served(t)
	synctest.Test(t, func(t *testing.T) {
		v := verifier(client, nil)
		token := issuer.Token(t, issuer.Claims(time.Now(), map[string]any{"exp": time.Now().Add(24 * time.Hour).Unix()}))
		step(t, v, issuer, token, "good", 1)
		time.Sleep(2*time.Hour - 1)
		step(t, v, issuer, token, "good", 1)
		time.Sleep(time.Nanosecond)
		step(t, v, issuer, token, "good", 2)
		issuer.Rotate(t)
		time.Sleep(2 * time.Hour)
		step(t, v, issuer, token, "bad", 3) // what has just been fetched is not fetched again
	})
}

// TestNoFetch: a token that can't be valid under any key causes no fetch.
func TestNoFetch(t *testing.T) {
	issuer, client := served(t)
	v := verifier(client, noon)
	for name, token := range issuer.Bad(t, noon(), nil) {
		switch name {
		case "alg none", "HS256 with the public key", "ES256", "PS256", "no kid", "a critical extension", "no token at all":
			step(t, v, issuer, token, "bad", 0)
		}
	}
}

// TestFailures: if the issuer misbehaves, nothing is known about a token, and not every
// token causes another request.
func TestFailures(t *testing.T) {
	issuer := tokentest.New(t, issuerURL)
	answers := func(status int, body string) handler {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	discovered := `{"issuer":"` + issuerURL + `","jwks_uri":"https://keys.test/"}`
	then := func(keys handler) handler {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Host == "keys.test" {
				keys(w, r)
			} else {
				answers(200, discovered)(w, r)
			}
		}
	}
	hangs := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	padding := strings.Repeat(" ", 150_000-len(discovered))
	for _, tt := range []struct {
		name   string
		issuer handler
		why    string
		took   time.Duration
	}{
		{"no document", answers(404, ""), "OIDC discovery endpoint communication error: https://issuer.test/pool/.well-known/openid-configuration answers 404", 0},
		{"not JSON", answers(200, "<html>"), "OIDC discovery endpoint", 0},
		{"another issuer", answers(200, `{"issuer":"https://issuer.test/","jwks_uri":"https://keys.test/"}`), "names another issuer", 0},
		{"too large a document", answers(200, discovered+padding+" "), "more than 150000 bytes", 0},
		{"the largest document that is accepted", func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Host == "issuer.test" {
				answers(200, discovered+padding)(w, r)
			} else {
				answers(404, "")(w, r)
			}
		}, "JWKS communication error", 0},
		{"no answer", hangs, "OIDC discovery endpoint communication error", 1500 * time.Millisecond},
		{"no keys", then(answers(500, "")), "JWKS communication error: https://keys.test/ answers 500", 0},
		{"too many keys", then(answers(200, `{"keys":[`+strings.Repeat(" ", 150_000)+`]}`)), "JWKS communication error: https://keys.test/ has more", 0},
		{"keys that never come", then(hangs), "JWKS communication error", 1500 * time.Millisecond},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asked := 0
				v := verifier(&http.Client{Transport: handler(func(w http.ResponseWriter, r *http.Request) {
					asked++
					tt.issuer(w, r)
				})}, nil)
				token := issuer.Token(t, issuer.Claims(time.Now(), nil))
				began := time.Now()
				_, err := v.Verify(t.Context(), token)
				var keys *accesstoken.KeysError
				if !errors.As(err, &keys) || !strings.Contains(err.Error(), tt.why) || strings.Contains(err.Error(), token) {
					t.Fatal(err)
				}
				if took := time.Since(began); took != tt.took {
					t.Errorf("it took %v, want %v", took, tt.took)
				}
				once := asked
				for range 100 {
					if got := verdict(t, v, token); got != "no keys" || asked != once {
						t.Fatalf("again at once: %s, asked %d times", got, asked)
					}
				}
				time.Sleep(time.Second)
				if got := verdict(t, v, token); got != "no keys" || asked != 2*once {
					t.Errorf("after a second: %s, asked %d times", got, asked)
				}
			})
		})
	}
}

// endless is a body without an end.
type endless struct{ read *int }

func (e endless) Read(p []byte) (int, error) {
	*e.read += len(p)
	if *e.read > 1<<20 {
		return 0, io.ErrUnexpectedEOF
	}
	return len(p), nil
}

func (endless) Close() error { return nil }

type transport func(*http.Request) (*http.Response, error)

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) { return t(r) }

// TestEndless: a document without an end is not read forever.
func TestEndless(t *testing.T) {
	issuer, read := tokentest.New(t, issuerURL), 0
	v := verifier(&http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: endless{&read}}, nil
	})}, noon)
	if got := verdict(t, v, issuer.Token(t, issuer.Claims(noon(), nil))); got != "no keys" || read > 1<<19 {
		t.Errorf("%s, %d bytes were read", got, read)
	}
}

// TestRecovery: a failure does not outlive its cause.
func TestRecovery(t *testing.T) {
	issuer, client := served(t)
	synctest.Test(t, func(t *testing.T) {
		down := true
		v := verifier(&http.Client{Transport: handler(func(w http.ResponseWriter, r *http.Request) {
			if down {
				w.WriteHeader(http.StatusServiceUnavailable)
				return
			}
			client.Transport.(handler)(w, r)
		})}, nil)
		token := issuer.Token(t, issuer.Claims(time.Now(), nil))
		step(t, v, issuer, token, "no keys", 0)
		down = false
		time.Sleep(time.Second)
		step(t, v, issuer, token, "good", 1)
		// While the issuer is down, known keys are still used, and an unknown kid is not refused.
		down = true
		step(t, v, issuer, token, "good", 1)
		issuer.Rotate(t)
		step(t, v, issuer, issuer.Token(t, issuer.Claims(time.Now(), nil)), "no keys", 1)
		step(t, v, issuer, token, "good", 1)
	})
}

// TestShared: all callers that wait for the keys share one fetch, and one that gives up
// does not end it.
func TestShared(t *testing.T) {
	issuer, client := served(t)
	synctest.Test(t, func(t *testing.T) {
		slow := handler(func(w http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			client.Transport.(handler)(w, r)
		})
		v := verifier(&http.Client{Transport: slow}, nil)
		token := issuer.Token(t, issuer.Claims(time.Now(), nil))
		began := time.Now()
		hasty, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() {
			_, err := v.Verify(hasty, token)
			if !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 500*time.Millisecond {
				t.Errorf("the one that gives up: %v after %v", err, time.Since(began))
			}
		})
		synctest.Wait() // the fetch has begun
		for range 100 {
			wg.Go(func() { _ = verdict(t, v, token) })
		}
		wg.Wait()
		if took := time.Since(began); took != 2*time.Second || issuer.Fetches() != 1 {
			t.Errorf("%v, %d fetches", took, issuer.Fetches())
		}
		step(t, v, issuer, token, "good", 1)
	})
}

// TestKeySet: keys for other purposes, and broken ones, are ignored; the others are used.
func TestKeySet(t *testing.T) {
	issuer := tokentest.New(t, issuerURL)
	key := issuer.JWK()
	sets := map[string]func(map[string]string){
		"as it is":           func(map[string]string) {},
		"without use or alg": func(k map[string]string) { delete(k, "use"); delete(k, "alg") },
		"for encryption":     func(k map[string]string) { k["use"] = "enc" },
		"of another type":    func(k map[string]string) { k["kty"] = "EC" },
		"broken modulus":     func(k map[string]string) { k["n"] = "*" },
		"no modulus":         func(k map[string]string) { k["n"] = "" },
		"broken exponent":    func(k map[string]string) { k["e"] = "*" },
		"no exponent":        func(k map[string]string) { k["e"] = "" },
		"exponent of one":    func(k map[string]string) { k["e"] = "AQ" },
		"huge exponent":      func(k map[string]string) { k["e"] = "AQAAAAE" },
	}
	for name, change := range sets {
		t.Run(name, func(t *testing.T) {
			changed := maps.Clone(key)
			change(changed)
			v := verifier(&http.Client{Transport: handler(func(w http.ResponseWriter, _ *http.Request) {
				_ = json.NewEncoder(w).Encode(map[string]any{
					"issuer": issuerURL, "jwks_uri": issuerURL, "keys": []map[string]string{{"kty": "oct", "kid": "k"}, changed},
				})
			})}, noon)
			want := "bad"
			if name == "as it is" || name == "without use or alg" {
				want = "good"
			}
			if got := verdict(t, v, issuer.Token(t, issuer.Claims(noon(), nil))); got != want {
				t.Errorf("the token is %s, want %s", got, want)
			}
			none := tokentest.Sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, map[string]any{"kid": "k"}, issuer.Claims(noon(), nil))
			if got := verdict(t, v, none); got != "bad" {
				t.Errorf("none: %s", got)
			}
		})
	}
}
