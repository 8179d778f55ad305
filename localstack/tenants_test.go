//go:build integration

package localstack_test

import (
	"io"
	"net/http"
	"os/exec"
	"path"
	"strings"
	"testing"
	"time"
)

// TestTenants runs the built functions behind the gateway's authorizer, with tokens of the
// runner's own issuer. Another tenant's order can't be found: not by id, not in the list,
// not by its key.
func TestTenants(t *testing.T) {
	s := newStack(t)
	data := t.TempDir()
	r := s.start(t, repository, "--auth", "jwt", "--data", data)
	call := func(tenant, method, path, body string, status int) (location, answer string) {
		t.Helper()
		request, err := http.NewRequestWithContext(t.Context(), method, r.url+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/json")
		request.Header.Set("Idempotency-Key", "the-same")
		if tenant != "" {
			token, err := exec.CommandContext(t.Context(), runnerProgram, "token", "--tenant", tenant,
				"--addr", strings.TrimPrefix(r.url, "http://"), "--data", data).Output()
			if err != nil {
				t.Fatal(err)
			}
			request.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = response.Body.Close() }()
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != status {
			t.Errorf("%s %s for %q: %d %s, %v", method, path, tenant, response.StatusCode, text, err)
		}
		return response.Header.Get("Location"), string(text)
	}
	mine, _ := call("mine", http.MethodPost, "/orders", `{"amount": 1}`, http.StatusCreated)
	theirs, _ := call("theirs", http.MethodPost, "/orders", `{"amount": 2}`, http.StatusCreated)
	if mine == "" || mine == theirs {
		t.Fatalf("the same key of two tenants made %q and %q", mine, theirs)
	}
	call("mine", http.MethodGet, mine, "", http.StatusOK)
	call("theirs", http.MethodGet, mine, "", http.StatusNotFound)
	call("theirs", http.MethodPost, mine+"/cancel", "", http.StatusNotFound)
	call("theirs", http.MethodPost, mine+"/retry", "", http.StatusForbidden) // for operators only
	call("", http.MethodGet, mine, "", http.StatusUnauthorized)
	eventually(t, 10*time.Second, func() string {
		_, list := call("theirs", http.MethodGet, "/orders?limit=10", "", http.StatusOK)
		if strings.Contains(list, path.Base(mine)) || strings.Count(list, `"id"`) != 1 {
			return "the list is " + list
		}
		return ""
	})
}
