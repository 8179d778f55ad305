package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"paylane/shared/accesstoken/tokentest"
)

// TestShutdownFinishesRequests: a request that is waiting for the issuer when the runner is
// told to stop is answered as at any other time.
func TestShutdownFinishesRequests(t *testing.T) {
	asked, stopping := make(chan struct{}), make(chan struct{})
	issuer := tokentest.New(t, "")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/keys") {
			close(asked)
			<-stopping
		}
		issuer.ServeHTTP(w, r)
	}))
	defer server.Close()
	issuer.URL = server.URL
	c := testConfig(t)
	c.Access = access{Tokens: true, Issuer: issuer.URL, Audience: tokentest.Audience}
	url, stop := runRunner(t, c)
	ended := make(chan struct{})
	go func() {
		<-asked
		go func() {
			stop()
			close(ended)
		}()
		for { // until no connection is accepted
			connection, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
			if err != nil {
				break
			}
			_ = connection.Close()
		}
		close(stopping)
	}()
	token := issuer.Token(t, issuer.Claims(time.Now(), map[string]any{"client_id": "a", "scope": "orders/read"}))
	if got := (target{url: url}).do(t, http.MethodGet, "/orders", "Bearer "+token, ""); got.status != http.StatusOK {
		t.Errorf("%d %s, want 200", got.status, got.body)
	}
	<-ended
}
