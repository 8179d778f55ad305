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

// How often tokens can make the keys be fetched. Whoever sends random kids must not
// cause a request each; nor must everybody while the issuer is down. Each process that
// verifies has these bounds of its own.
const (
	betweenUnknown  = time.Minute
	betweenFailures = time.Second
)

// KeysError says that the issuer's keys could not be had, so that nothing is known of
// the token.
type KeysError struct {
	// Description is what API Gateway says in such a case.
	Description string
	// Err is why.
	Err error
}

func (e *KeysError) Error() string { return e.Description + ": " + e.Err.Error() }

// Unwrap gives the reason.
func (e *KeysError) Unwrap() error { return e.Err }

// keys are an issuer's public keys. They are fetched when a token needs them, by one
// caller for all that wait.
type keys struct {
	issuer string
	client *http.Client
	now    func() time.Time
	log    *slog.Logger
	flight singleflight.Group

	mu      sync.Mutex // guards what follows; nothing is fetched under it
	byID    map[string]*rsa.PublicKey
	fetched time.Time // when byID was; zero is never
	refetch time.Time // for an unknown kid not before then
	retry   time.Time // after a failure not before then
	failure error
}

// find gives the key of a kid.
func (k *keys) find(ctx context.Context, kid string) (*rsa.PublicKey, error) {
	fetched := false
	for {
		key, due, err := k.look(kid)
		switch {
		case !due:
			return key, err
		case fetched: // it is not among those that were fetched just now
			return nil, unknownKey()
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

// refresh fetches the keys for a kid. It says false where it had not to: another fetch had
// just ended, which brought this kid, but perhaps not that of another caller who waits.
func (k *keys) refresh(ctx context.Context, kid string) (fetched bool, err error) {
	if _, due, _ := k.look(kid); !due {
		return false, nil
	}
	// It is for everybody, so it does not end with one caller.
	byID, err := k.fetch(context.WithoutCancel(ctx))
	if err != nil {
		k.log.ErrorContext(ctx, "no token can be verified", "issuer", k.issuer, "error", err)
	}
	k.keep(byID, err)
	return true, err
}

// look says what is known of a kid, or that the keys are due to be fetched.
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

// keep takes what a fetch brought.
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

// fetch gets the keys from where the issuer says that they are (OpenID Connect
// Discovery 1.0, section 4).
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
		return fmt.Errorf("ask for %s: %w", url, err)
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

// jwk is a public key as RFC 7517 and, for RSA, RFC 7518, section 6.3.1 have it.
type jwk struct {
	Kty string `json:"kty"`
	Use string `json:"use"`
	Kid string `json:"kid"`
	N   string `json:"n"`
	E   string `json:"e"`
}

// rsa gives the key if signatures can be checked with it. Others in the set are
// nobody's fault.
func (j jwk) rsa() (*rsa.PublicKey, bool) {
	n, errN := base64.RawURLEncoding.DecodeString(j.N)
	e, errE := base64.RawURLEncoding.DecodeString(j.E)
	exponent := new(big.Int).SetBytes(e)
	ok := j.Kty == "RSA" && (j.Use == "" || j.Use == "sig") && j.Kid != "" &&
		errN == nil && errE == nil && len(n) > 0 && exponent.BitLen() > 1 && exponent.BitLen() <= 31
	return &rsa.PublicKey{N: new(big.Int).SetBytes(n), E: int(exponent.Int64())}, ok
}
