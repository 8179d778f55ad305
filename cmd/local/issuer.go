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
	"flag"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// What the development issuer's tokens are like.
const (
	devAudience = "paylane"
	devLifetime = time.Hour
	devKeyFile  = "issuer.pem" // in the folder of -data
	devKeyBits  = 2048
)

// devIssuer is an issuer of access tokens for whoever has none at hand. Its key is a
// file, so whoever can read that can be any tenant: it is for development. The runner
// publishes the key at its own origin; the command token makes tokens.
type devIssuer struct {
	url string
	key *rsa.PrivateKey
	kid string
}

// issuerURL is where the runner at an address is reached; it names the development issuer.
func issuerURL(addr string) (string, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "", fmt.Errorf("-addr %q is not host:port: %w", addr, err)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1" // all addresses are served, this one for certain
	}
	return "http://" + net.JoinHostPort(host, port), nil
}

// openIssuer reads the key in the folder, and makes it if there is none.
func openIssuer(folder, addr string) (*devIssuer, error) {
	url, err := issuerURL(addr)
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
		return nil, fmt.Errorf("the development issuer's key: %w", err)
	}
	block, _ := pem.Decode(text)
	if block == nil {
		return nil, fmt.Errorf("the development issuer's key in %s is no PEM: delete it to get another", path)
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	key, ok := parsed.(*rsa.PrivateKey)
	if err != nil || !ok {
		return nil, fmt.Errorf("the development issuer's key in %s is no RSA key: delete it to get another", path)
	}
	sum := sha256.Sum256(key.N.Bytes())
	return &devIssuer{url: url, key: key, kid: base64.RawURLEncoding.EncodeToString(sum[:12])}, nil
}

// makeKey makes the file, whole or not at all; one that another process made at the
// same time stays.
func makeKey(path string) error {
	key, err := rsa.GenerateKey(rand.Reader, devKeyBits)
	if err != nil {
		return fmt.Errorf("make it: %w", err)
	}
	bytes, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode it: %w", err)
	}
	folder := filepath.Dir(path)
	if err := os.MkdirAll(folder, 0o750); err != nil {
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

// documents publish the key, by their paths (OpenID Connect Discovery 1.0, section 4;
// RFC 7517).
func (i *devIssuer) documents() map[string]any {
	const document, keys = "/.well-known/openid-configuration", "/.well-known/jwks.json"
	encode := base64.RawURLEncoding.EncodeToString
	return map[string]any{
		document: map[string]string{"issuer": i.url, "jwks_uri": i.url + keys},
		keys: map[string]any{"keys": []map[string]string{{
			"kty": "RSA", "use": "sig", "alg": "RS256", "kid": i.kid,
			"n": encode(i.key.N.Bytes()), "e": encode(big.NewInt(int64(i.key.E)).Bytes()),
		}}},
	}
}

// RoundTrip implements [http.RoundTripper]: the runner fetches its own documents without a
// connection to itself, as its callers may hold all that it accepts.
func (i *devIssuer) RoundTrip(r *http.Request) (*http.Response, error) {
	status := http.StatusOK
	document, ok := i.documents()[r.URL.Path]
	if !ok {
		status = http.StatusNotFound
	}
	body, err := json.Marshal(document)
	return &http.Response{StatusCode: status, Body: io.NopCloser(bytes.NewReader(body)), Request: r}, err
}

// handler serves the documents beside what else is served.
func (i *devIssuer) handler(next http.Handler) http.Handler {
	answers := i.documents()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok || r.Method != http.MethodGet {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer) // the caller has gone if this fails
	})
}

// token makes an access token as RFC 9068 has it for a client that acts for itself.
func (i *devIssuer) token(tenant, scope string, now time.Time) (string, error) {
	token := jwt.NewWithClaims(jwt.SigningMethodRS256, jwt.MapClaims{
		"iss": i.url, "aud": devAudience, "sub": tenant, "client_id": tenant, "scope": scope,
		"iat": now.Unix(), "exp": now.Add(devLifetime).Unix(),
	})
	token.Header["kid"] = i.kid
	return token.SignedString(i.key)
}

// tokenCommand is "local token": it prints one token.
func tokenCommand(args []string, out, problems io.Writer, now func() time.Time) int {
	flags := flag.NewFlagSet("local token", flag.ContinueOnError)
	flags.SetOutput(problems)
	tenant := flags.String("tenant", "", "whose token it is: the `name` that becomes its client_id")
	scope := flags.String("scope", "orders/read orders/write", "what it allows: `scopes` with blanks between, of orders/read, orders/write and orders/operate")
	addr := flags.String("addr", defaultAddr, "the runner's `address`, as its own -addr")
	data := flags.String("data", defaultData, "the runner's `folder`, as its own -data; the key is there")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case *tenant == "" || flags.NArg() > 0:
		fmt.Fprintln(problems, "local token: give -tenant, and flags only; see -help")
		return 2
	}
	issuer, err := openIssuer(*data, *addr)
	var token string
	if err == nil {
		token, err = issuer.token(*tenant, *scope, now())
	}
	if err == nil {
		_, err = fmt.Fprintln(out, token)
	}
	if err != nil {
		fmt.Fprintf(problems, "local token: %v\n", err)
		return 1
	}
	return 0
}

// example is how to get a token, for the start page.
func (i *devIssuer) example(c config) string {
	text := `go run ./cmd/local token -tenant a -scope "orders/read orders/write"`
	if c.Addr != defaultAddr {
		text += " -addr " + strings.TrimPrefix(i.url, "http://")
	}
	if c.Data != defaultData {
		text += " -data " + c.Data
	}
	return text
}
