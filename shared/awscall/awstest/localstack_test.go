package awstest_test

import (
	"fmt"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"paylane/shared/awscall/awstest"
)

// verdict is a test that keeps how it was failed.
type verdict struct {
	testing.TB
	failure string
}

func (v *verdict) Fatal(args ...any) { v.Fatalf("%s", fmt.Sprint(args...)) }

func (v *verdict) Fatalf(format string, args ...any) {
	v.failure = fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// failure is how a test that needs LocalStack fails.
func failure(t *testing.T) string {
	v := &verdict{TB: t}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		awstest.Config(v)
	}()
	<-ended
	return v.failure
}

// TestWithoutLocalStack: a test that can't run has failed, and says what to do.
func TestWithoutLocalStack(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	for name, test := range map[string]struct{ endpoint, want string }{
		"not set":        {"", "needs LocalStack"},
		"no URL":         {"127.0.0.1:4566", "AWS_ENDPOINT_URL: "},
		"nobody listens": {gone.URL, "nothing answers"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("AWS_ENDPOINT_URL", test.endpoint)
			if got := failure(t); !strings.Contains(got, test.want) || !strings.Contains(got, "make integration") {
				t.Errorf("the failure is %q, want %q and advice", got, test.want)
			}
		})
	}
}

// TestAccounts: each test has its own, which the access key names.
func TestAccounts(t *testing.T) {
	server := httptest.NewServer(nil)
	defer server.Close()
	t.Setenv("AWS_ENDPOINT_URL", server.URL)
	seen := make(map[string]bool)
	for range 10 {
		c, account := awstest.Config(t)
		credentials, err := c.Credentials.Retrieve(t.Context())
		if err != nil || credentials.AccessKeyID != account || len(account) != 12 || *c.BaseEndpoint != server.URL || seen[account] {
			t.Errorf("account %q with the key %q at %s, %v", account, credentials.AccessKeyID, *c.BaseEndpoint, err)
		}
		seen[account] = true
	}
}
