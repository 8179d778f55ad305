package main

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"paylane/shared/emulator/runner"
)

// Properties of the development issuer and its tokens.
const (
	devAudience = "paylane"
	devLifetime = time.Hour
	devKeyFile  = "issuer.pem" // in the folder of --data
	devKeyBits  = 2048
)

// devIssuer is an issuer of access tokens for development: its key is a file, and whoever
// can read that can be any tenant. The runner publishes the public key at its own origin;
// the command token makes tokens.
type devIssuer struct {
	url string
	key *rsa.PrivateKey
	kid string
	// people sign in to the console with it; nil if there is none.
	people *devSignIn
}

// openIssuer reads the key in the folder, and makes one if there is none. The issuer's URL
// is that of a runner at addr.
func openIssuer(folder, addr string) (*devIssuer, error) {
	url, err := runner.URL(addr)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(folder, devKeyFile)
	text, err := os.ReadFile(path) //nolint:gosec // the folder is the user's choice
	if errors.Is(err, fs.ErrNotExist) {
		if err = makeKey(path); err == nil {
			text, err = os.ReadFile(path) //nolint:gosec // as above
		}
	}
	if err != nil {
		return nil, dataError(folder, fmt.Errorf("the development issuer's key: %w", err))
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("the development issuer's key in %s is not PEM: delete the file to get another", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("the development issuer's key in %s is not an RSA key: delete the file to get another", path)
	}
	sum := sha256.Sum256(key.N.Bytes())
	return &devIssuer{url: url, key: key, kid: base64.RawURLEncoding.EncodeToString(sum[:12])}, nil
}

// makeKey writes a new key, whole or not at all. A key that another process wrote at the
// same time stays.
func makeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, devKeyBits)
	if err != nil {
		return fmt.Errorf("generate it: %w", err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode it: %w", err)
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(folder, devKeyFile+".*") // with mode 0600
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file.Name()) }() // the link stays
	err = pem.Encode(file, &pem.Block{Type: "PRIVATE KEY", Bytes: bytes})
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// documents returns what publishes the key, by path (OpenID Connect Discovery 1.0,
// section 4; RFC 7517).
func (i *devIssuer) documents() map[string]any {
	const document, keys = "/.well-known/openid-configuration", "/.well-known/jwks.json"
	encode := base64.RawURLEncoding.EncodeToString
	about := map[string]any{"issuer": i.url, "jwks_uri": i.url + keys}
	if i.people != nil {
		maps.Copy(about, i.people.metadata())
	}
	return map[string]any{
		document: about,
		keys: map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": i.kid,
			"n": encode(i.key.N.Bytes()), "e": encode(big.NewInt(int64(i.key.E)).Bytes()),
		}}},
	}
}

// RoundTrip implements [http.RoundTripper]. The runner reads its own documents, and gets tokens for
// codes, without a connection to itself, because callers may hold all the connections that it
// accepts.
func (i *devIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil {
		defer func() { _ = r.Body.Close() }()
	}
	status := http.StatusOK
	document, ok := i.documents()[r.URL.Path]
	switch {
	case r.URL.Path == devTokenPath && i.people != nil:
		status, document = i.people.exchange(r.Clone(r.Context()))
	case !ok:
		status = http.StatusNotFound
	}
	body, err := json.Marshal(document)
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status,
		Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, err
}

// handler serves the documents and the pages, and leaves everything else to next.
func (i *devIssuer) handler(next http.Handler) http.Handler {
	answers := i.documents()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		switch {
		case i.people != nil && r.URL.Path == devAuthorizePath:
			i.people.ServeHTTP(w, r)
			return
		case i.people != nil && r.URL.Path == devTokenPath:
			i.people.serveToken(w, r)
			return
		case !ok || r.Method != http.MethodGet:
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // it fails if the caller has gone
	})
}

// token makes an access token for a client that acts for itself (RFC 9068), with claims
// that are added or replaced.
func (i *devIssuer) token(tenant, scope string, more claims, now time.Time) (string, error) {
	all := jwt.MapClaims{
		"iss": i.url, "aud": devAudience, "sub": tenant, "client_id": tenant, "scope": scope,
		"iat": now.Unix(), "exp": now.Add(devLifetime).Unix(),
	}
	maps.Copy(all, more)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, all)
	token.Header["kid"] = i.kid
	return token.SignedString(i.key)
}

// example returns the command that makes a token, for the start page.
func (i *devIssuer) example(c config, scope string, more ...string) string {
	args := append([]string{"go", "run", "./cmd/paylane", "token", "--tenant", "a", "--scope", scope}, more...)
	if c.Addr != defaultAddr {
		args = append(args, "--addr", strings.TrimPrefix(i.url, "http://"))
	}
	if c.Data != defaultData {
		args = append(args, "--data", c.Data)
	}
	for n, arg := range args {
		if arg == "" || strings.Trim(arg, plainLetters) != "" {
			args[n] = "'" + strings.ReplaceAll(arg, "'", `'\''`) + "'"
		}
	}
	return strings.Join(args, " ")
}

// plainLetters are those that a shell takes as they are, anywhere.
const plainLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_./:=,@%+"
