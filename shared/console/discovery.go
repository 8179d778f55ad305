package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// endpoints are what an issuer says of itself (OpenID Connect Discovery 1.0, section 3; RFC 9207,
// section 3; OpenID Connect RP-Initiated Logout 1.0, section 2.1).
type endpoints struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Token         string `json:"token_endpoint"`
	EndSession    string `json:"end_session_endpoint"` // empty if there is none
	NamesItself   bool   `json:"authorization_response_iss_parameter_supported"`

	cognito bool
}

// issuer finds the endpoints of an issuer, once they are needed.
type issuer struct {
	url    string
	client *http.Client
	now    func() time.Time

	mu      sync.Mutex // guards the fields below; it is not held during a fetch
	found   *endpoints
	failure error
	retry   time.Time // after a failure, nothing is fetched before then
}

const (
	discoveryTimeout = 3 * time.Second
	maxDiscovery     = 150_000 // bytes, as API Gateway allows
	// betweenFailures keeps people who try again from being a burden on an issuer that is down.
	betweenFailures = time.Second
)

func newIssuer(c *SignIn, now func() time.Time) *issuer {
	client := http.DefaultClient
	if c.Client != nil {
		client = c.Client
	}
	direct := *client
	// Nobody else is to get a code and its verifier.
	direct.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &issuer{url: c.Issuer, client: &direct, now: now}
}

// endpoints returns the issuer's endpoints. A failure is tried again, once a second.
func (i *issuer) endpoints(ctx context.Context) (*endpoints, error) {
	i.mu.Lock()
	found, err := i.found, i.failure
	if i.now().After(i.retry) {
		err = nil
	}
	i.mu.Unlock()
	if found != nil || err != nil {
		return found, err
	}
	found, err = i.fetch(ctx)
	i.mu.Lock()
	defer i.mu.Unlock()
	switch {
	case err == nil:
		i.found = found
	case ctx.Err() == nil: // one caller who has gone says nothing of the issuer
		i.failure, i.retry = err, i.now().Add(betweenFailures)
	}
	return found, err
}

func (i *issuer) fetch(ctx context.Context) (*endpoints, error) {
	ctx, cancel := context.WithTimeout(ctx, discoveryTimeout)
	defer cancel()
	at := strings.TrimSuffix(i.url, "/") + "/.well-known/openid-configuration"
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at, nil)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", at, err)
	}
	response, err := i.client.Do(request)
	if err != nil {
		return nil, err // it names the URL
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answers %s", at, response.Status)
	}
	var found endpoints
	if err := json.NewDecoder(io.LimitReader(response.Body, maxDiscovery)).Decode(&found); err != nil {
		return nil, fmt.Errorf("read %s: %w", at, err)
	}
	if err := found.check(i.url); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	return &found, nil
}

// check refuses endpoints that are not an issuer's, or less safe to reach than the issuer itself.
func (e *endpoints) check(issuer string) error {
	own, err := url.Parse(issuer)
	if err != nil || e.Issuer != issuer {
		return errors.New("the document names another issuer")
	}
	e.cognito = strings.HasPrefix(own.Hostname(), "cognito-idp.")
	for name, text := range map[string]string{
		"authorization_endpoint": e.Authorization, "token_endpoint": e.Token, "end_session_endpoint": e.EndSession,
	} {
		if text == "" && name == "end_session_endpoint" {
			continue
		}
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "https" && (u.Scheme != "http" || own.Scheme != "http") {
			return fmt.Errorf("its %s is not a URL to use", name)
		}
	}
	if e.cognito { // whether its document has it or not: "The managed login sign-out endpoint"
		u, _ := url.Parse(e.Authorization)
		e.EndSession = (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/logout"}).String()
	}
	return nil
}

// signOut returns the URL that ends the issuer's own session, and leads back.
func (e *endpoints) signOut(client, back string) string {
	query := url.Values{"client_id": {client}, "post_logout_redirect_uri": {back}}
	if e.cognito {
		query = url.Values{"client_id": {client}, "logout_uri": {back}}
	}
	separator := "?"
	if strings.Contains(e.EndSession, "?") {
		separator = "&"
	}
	return e.EndSession + separator + query.Encode()
}
