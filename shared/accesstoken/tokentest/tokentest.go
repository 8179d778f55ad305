// Package tokentest is an issuer of access tokens for tests: it issues valid and invalid
// tokens, serves its keys, and counts how often they are fetched.
package tokentest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// Audience is the audience of the tokens.
const Audience = "paylane"

// Issuer issues tokens. It is safe for concurrent use.
type Issuer struct {
	URL string

	mu      sync.Mutex
	key     *rsa.PrivateKey
	number  int // of the key
	fetches int
}

// New returns an issuer with this URL, where a server may serve it; see also
// [Issuer.Client].
func New(t testing.TB, url string) *Issuer {
	t.Helper()
	i := &Issuer{URL: url}
	i.Rotate(t)
	return i
}

// Rotate replaces the key.
func (i *Issuer) Rotate(t testing.TB) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.key, i.number = key, i.number+1
}

// Fetches returns how often the keys were fetched.
func (i *Issuer) Fetches() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.fetches
}

// ServeHTTP serves the discovery document and the keys.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	i.mu.Lock()
	defer i.mu.Unlock()
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		write(w, map[string]string{"issuer": i.URL, "jwks_uri": i.URL + "/keys"})
	case "/keys":
		i.fetches++
		write(w, map[string]any{"keys": []map[string]string{
			{"kty": "EC", "kid": "elliptic", "crv": "P-256", "x": "AA", "y": "AA"}, i.jwk(),
		}})
	default:
		http.NotFound(w, r)
	}
}

// JWK returns the key as the issuer publishes it.
func (i *Issuer) JWK() map[string]string {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.jwk()
}

func (i *Issuer) jwk() map[string]string {
	n, e := i.key.N.Bytes(), big.NewInt(int64(i.key.E)).Bytes()
	return map[string]string{"kty": "RSA", "kid": i.kid(), "use": "sig", "alg": "RS256", "n": encode(n), "e": encode(e)}
}

func write(w http.ResponseWriter, document any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(document) // fails only if the client has gone
}

func (i *Issuer) kid() string { return "key-" + strconv.Itoa(i.number) }

// Client returns a client that reaches the issuer without a network.
func (i *Issuer) Client() *http.Client { return &http.Client{Transport: transport{i}} }

type transport struct{ handler http.Handler }

func (t transport) RoundTrip(r *http.Request) (*http.Response, error) {
	w := httptest.NewRecorder()
	t.handler.ServeHTTP(w, r)
	return w.Result(), r.Context().Err()
}

// Claims returns the claims of a token that is valid for an hour from now, changed and
// completed by other; a nil claim is left out.
func (i *Issuer) Claims(now time.Time, other map[string]any) map[string]any {
	claims := map[string]any{
		"iss": i.URL, "aud": Audience, "iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	}
	maps.Copy(claims, other)
	maps.DeleteFunc(claims, func(_ string, value any) bool { return value == nil })
	return claims
}

// Token signs claims, which are anything that encodes to JSON.
func (i *Issuer) Token(t testing.TB, claims any) string {
	t.Helper()
	return i.TokenBy(t, jwt.SigningMethodRS256, claims)
}

// TokenBy signs claims with another RSA method.
func (i *Issuer) TokenBy(t testing.TB, method jwt.SigningMethod, claims any) string {
	t.Helper()
	i.mu.Lock()
	defer i.mu.Unlock()
	return Sign(t, method, i.key, map[string]any{"kid": i.kid()}, claims)
}

// Sign returns a token of any kind.
func Sign(t testing.TB, method jwt.SigningMethod, key any, header map[string]any, claims any) string {
	t.Helper()
	head := map[string]any{"typ": "JWT", "alg": method.Alg()}
	maps.Copy(head, header)
	first, err := json.Marshal(head)
	if err != nil {
		t.Fatal(err)
	}
	body, ok := claims.([]byte) // used unchanged; anything else becomes JSON
	if !ok {
		if body, err = json.Marshal(claims); err != nil {
			t.Fatal(err)
		}
	}
	text := encode(first) + "." + encode(body)
	signature, err := method.Sign(text, key)
	if err != nil {
		t.Fatal(err)
	}
	return text + "." + encode(signature)
}

// Bad returns tokens that must be refused, by what is wrong with them. Each would be valid
// but for that; other are further claims.
func (i *Issuer) Bad(t testing.TB, now time.Time, other map[string]any) map[string]string {
	t.Helper()
	claims := func(name string, value any) map[string]any {
		changed := i.Claims(now, other)
		changed[name] = value
		return i.Claims(now, changed)
	}
	good := claims("aud", Audience)
	i.mu.Lock()
	kid, key := map[string]any{"kid": i.kid()}, i.key
	i.mu.Unlock()
	elliptic, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	stranger, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	pemText := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: public})
	whole := i.Token(t, good)
	return map[string]string{
		"expired":                           i.Token(t, claims("exp", now.Unix())),
		"without exp":                       i.Token(t, claims("exp", nil)),
		"not yet valid":                     i.Token(t, claims("nbf", now.Unix()+1)),
		"issued in the future":              i.Token(t, claims("iat", now.Unix()+1)),
		"wrong issuer":                      i.Token(t, claims("iss", i.URL+"/")),
		"without issuer":                    i.Token(t, claims("iss", nil)),
		"wrong audience":                    i.Token(t, claims("aud", "other")),
		"wrong audiences":                   i.Token(t, claims("aud", []string{"other", "another"})),
		"wrong audience, right client_id":   i.Token(t, i.Claims(now, map[string]any{"aud": "other", "client_id": Audience})),
		"null audience, right client_id":    i.Token(t, map[string]any{"iss": i.URL, "exp": now.Unix() + 60, "aud": nil, "client_id": Audience}),
		"unknown kid":                       Sign(t, jwt.SigningMethodRS256, stranger, map[string]any{"kid": "stranger"}, good),
		"no kid":                            Sign(t, jwt.SigningMethodRS256, key, nil, good),
		"another key under the kid":         Sign(t, jwt.SigningMethodRS256, stranger, kid, good),
		"alg none":                          Sign(t, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, kid, good),
		"HS256 with the public key":         Sign(t, jwt.SigningMethodHS256, pemText, kid, good),
		"HS256 with the modulus":            Sign(t, jwt.SigningMethodHS256, key.N.Bytes(), kid, good),
		"ES256":                             Sign(t, jwt.SigningMethodES256, elliptic, kid, good),
		"ES256 under an elliptic key's kid": Sign(t, jwt.SigningMethodES256, elliptic, map[string]any{"kid": "elliptic"}, good),
		"PS256":                             Sign(t, jwt.SigningMethodPS256, key, kid, good),
		"a critical extension":              Sign(t, jwt.SigningMethodRS256, key, map[string]any{"kid": kid["kid"], "crit": []string{"exp"}}, good),
		"truncated":                         whole[:len(whole)-8],
		"without signature":                 whole[:len(whole)-len(encode(make([]byte, 256)))],
		"no token at all":                   "nonsense",
		"claims that are not JSON":          i.Token(t, []byte("nonsense")),
	}
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
