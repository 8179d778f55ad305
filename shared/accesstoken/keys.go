package accesstoken

import (
	"context"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// API Gateway's limits ("Quotas for configuring and running an HTTP API").
const (
	fetchTimeout = 1500 * time.Millisecond // of each document
	maxDocument  = 150_000                 // bytes
	maxAge       = 2 * time.Hour           // of the keys
)

// How long the keys are not fetched again after an unknown kid, and after a failure. Random
// kids must not cause a request each, nor must every token while the issuer is down. The
// bounds hold for each process.
const (
	betweenUnknown  = time.Minute
	betweenFailures = time.Second
)

// KeysError reports that the issuer's keys could not be fetched, so that nothing is known
// about the token.
type KeysError struct {
	// Description is API Gateway's text for it.
	Description string
	// Err is the cause.
	Err error
}

func (e *KeysError) Error() string { return e.Description + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *KeysError) Unwrap() error { return e.Err }

// keys caches an issuer's public keys. They are fetched when a token needs them, by one
// caller for all that wait.
type keys struct {
	issuer string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger
	flight singleflight.Group

	mu      sync.Mutex // guards the fields below; it is not held during a fetch
	byID    map[string]*rsa.PublicKey
	fetched time.Time // when byID was fetched; zero means never
	refetch time.Time // an unknown kid causes no fetch before then
	retry   time.Time // after a failure, nothing is fetched before then
	failure error
}

// find returns the key of a kid.
func (k *keys) find(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	fetched := false
	for {
		key, due, err := k.look(kid)
		switch {
		case !due:
			return key, err
		case fetched: // the kid is not among the keys that were just fetched
			return nil, unknownKey()
		case ctx.Err() != nil: // nobody waits, so nothing is fetched
			return nil, fmt.Errorf("wait for the issuer's keys: %w", ctx.Err())
		}
		done := k.flight.DoChan("", func() (any, error) { return k.refresh(ctx, kid) })
		select {
		case result := <-done:
			if result.Err != nil {
				return nil, result.Err
			}
			fetched = result.Val.(bool)
		case <-ctx.Done():
			return nil, fmt.Errorf("wait for the issuer's keys: %w", ctx.Err())
		}
	}
}

// refresh fetches the keys for a kid. It returns false if no fetch was needed because one
// had just completed; that one brought this kid, though perhaps not the one another caller
// waits for.
func (k *keys) refresh(ctx context.Context, kid string) (fetched bool, err error) {
	if _, due, _ := k.look(kid); !due {
		return false, nil
	}
	// The fetch is for everybody who waits, so it does not end with one caller.
	byID, err := k.fetch(context.WithoutCancel(ctx))
	if err != nil {
		k.log.ErrorContext(ctx, "can't fetch the keys that verify tokens", "issuer", k.issuer, "error", err)
	}
	k.keep(byID, err)
	return true, err
}

// look returns what is known about a kid, or reports that a fetch of the keys is due.
func (k *keys) look(kid string) (key *rsa.PublicKey, due bool, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	fresh := k.fresh(now)
	switch key = k.byID[kid]; {
	case fresh && key != nil:
		return key, false, nil
	case fresh && now.Before(k.refetch):
		return nil, false, unknownKey()
	case now.Before(k.retry):
		return nil, false, k.failure
	}
	return nil, true, nil
}

func (k *keys) fresh(now time.Time) bool {
	return !k.fetched.IsZero() && now.Before(k.fetched.Add(maxAge))
}

// keep stores the result of a fetch.
func (k *keys) keep(byID map[string]*rsa.PublicKey, err error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := k.now()
	if err != nil {
		k.retry, k.failure = now.Add(betweenFailures), err
		return
	}
	if k.fresh(now) {
		k.refetch = now.Add(betweenUnknown)
	}
	k.byID, k.fetched = byID, now
}

// fetch gets the keys from the address that the issuer publishes (OpenID Connect Discovery
// 1.0, section 4).
func (k *keys) fetch(ctx context.Context) (map[string]*rsa.PublicKey, error) {
	var discovered struct {
		Issuer  string `json:"issuer"`
		JWKSURI string `json:"jwks_uri"`
	}
	err := k.get(ctx, strings.TrimSuffix(k.issuer, "/")+"/.well-known/openid-configuration", &discovered)
	if err == nil && discovered.Issuer != k.issuer {
		err = fmt.Errorf("the document of %s names another issuer", k.issuer)
	}
	if err != nil {
		return nil, &KeysError{Description: "OIDC discovery endpoint communication error", Err: err}
	}
	var set struct {
		Keys []jwk `json:"keys"`
	}
	if err := k.get(ctx, discovered.JWKSURI, &set); err != nil {
		return nil, &KeysError{Description: "JWKS communication error", Err: err}
	}
	byID := make(map[string]*rsa.PublicKey)
	for _, one := range set.Keys {
		if key, ok := one.rsa(); ok {
			byID[one.Kid] = key
		}
	}
	return byID, nil
}

// get fetches a JSON document.
func (k *keys) get(ctx context.Context, url string, document any) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return fmt.Errorf("request %s: %w", url, err)
	}
	response, err := k.client.Do(request)
	if err != nil {
		return err // it names the URL
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s answers %s", url, response.Status)
	}
	body, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	switch {
	case err != nil:
		return fmt.Errorf("read %s: %w", url, err)
	case len(body) > maxDocument:
		return fmt.Errorf("%s has more than %d bytes", url, maxDocument)
	}
	if err := json.Unmarshal(body, document); err != nil {
		return fmt.Errorf("decode %s: %w", url, err)
	}
	return nil
}

// jwk is a public key (RFC 7517, and for RSA RFC 7518, section 6.3.1).
type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Kid string `json:"kid"`
	N   string `json:"n"`
	E   string `json:"e"`
}

// rsa returns the key, and whether signatures can be verified with it. A set may well
// contain other keys.
func (j jwk) rsa() (*rsa.PublicKey, bool) {
	n, errN := base64.RawURLEncoding.DecodeString(j.N)
	e, errE := base64.RawURLEncoding.DecodeString(j.E)
	exponent := new(big.Int).SetBytes(e)
	ok := j.Kty == "RSA" && (j.Use == "" || j.Use == "sig") && j.Kid != "" &&
		errN == nil && errE == nil && len(n) > 0 && exponent.BitLen() > 1 && exponent.BitLen() <= 31
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, ok
}
