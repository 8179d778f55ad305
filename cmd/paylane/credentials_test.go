package main

import (
	"context"
	"encoding/json"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/runner"
)

// sdkAnswer is what the function in testdata/sdks answers: what listing the queues came to,
// and what it was given.
type sdkAnswer struct {
	URLs               []string
	Error              string
	Key, Secret, Token string
	Credentials        string // its file of credentials
}

// awsStandIn is a server in the place of AWS. It knows one queue.
type awsStandIn struct {
	*httptest.Server
	url string

	mu          sync.Mutex
	connections int
	signedBy    []string // the key of each request
}

func newStandIn(t *testing.T, start func(*httptest.Server)) *awsStandIn {
	t.Helper()
	s := &awsStandIn{}
	s.Server = httptest.NewUnstartedServer(s)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.connections++
		}
	}
	start(s.Server)
	s.url = s.URL + "/queue"
	t.Cleanup(s.Close)
	return s
}

func (s *awsStandIn) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), "Credential=")
	key, _, _ = strings.Cut(key, "/")
	s.mu.Lock()
	s.signedBy = append(s.signedBy, key)
	s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	_ = json.NewEncoder(w).Encode(map[string][]string{"QueueUrls": {s.url}})
}

// seen returns how many connections there have been, and which keys signed the requests.
func (s *awsStandIn) seen() (connections int, signedBy []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connections, s.signedBy
}

// The shell's keys, which look like real ones.
const (
	shellKey    = "AKIAIOSFODNN7EXAMPLE"
	shellSecret = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
	shellToken  = "IQoJb3JpZ2luX2VjEXAMPLE"
)

// TestShellsKeys: a function on version 1 of AWS's SDK, which ignores AWS_ENDPOINT_URL, would
// call AWS with whatever keys it has. It gets those of the shell only with --aws-credentials;
// without, it gets made-up ones, nothing leaves for AWS, and the runner says so. Version 2
// finds the endpoint either way.
func TestShellsKeys(t *testing.T) {
	for _, tt := range []struct {
		name, key, secret, token string
		flags                    []string
		given                    sdkAnswer
		leaves                   bool
		page                     string
	}{
		{
			name: "not told to", key: shellKey, secret: shellSecret, token: shellToken,
			given: sdkAnswer{Key: "test", Secret: "test", Credentials: os.DevNull},
			page:  "the functions have made-up ones, and their calls to AWS are refused; --aws-credentials",
		},
		{
			name: "an account of LocalStack's", key: "123456789012", secret: shellSecret, token: shellToken,
			given: sdkAnswer{Key: "123456789012", Secret: "test", Credentials: os.DevNull},
			page:  "the functions have made-up ones",
		},
		{
			name: "told to", key: shellKey, secret: shellSecret, token: shellToken, flags: []string{"--aws-credentials"},
			given: sdkAnswer{Key: shellKey, Secret: shellSecret, Token: shellToken}, leaves: true,
			page: "the functions have the shell's, and may call AWS",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			endpoint := newStandIn(t, (*httptest.Server).Start)
			internet := newStandIn(t, (*httptest.Server).StartTLS)
			var out, errors strings.Builder
			ctx, stop := context.WithCancel(t.Context())
			page, feed := io.Pipe()
			c := newCLI(io.MultiWriter(feed, &lockedWriter{w: &out}), &errors, false)
			c.getenv = func(name string) string {
				return map[string]string{
					"AWS_ACCESS_KEY_ID": tt.key, "AWS_SECRET_ACCESS_KEY": tt.secret, "AWS_SESSION_TOKEN": tt.token,
					"AWS_REGION": "eu-central-1", "AWS_PROFILE": "prod",
				}[name]
			}
			ended := make(chan int, 1)
			go func() {
				ended <- c.execute(ctx, append(tt.flags, "--addr", "127.0.0.1:0", "--endpoint", endpoint.URL,
					"--template", "testdata/sdks/template.yaml", "--parameter", "Internet="+internet.Listener.Addr().String()))
				_ = feed.Close()
			}()
			url := address(t, page) + "/_url/Both"
			var v1, v2 sdkAnswer
			for _, call := range []struct {
				path   string
				answer *sdkAnswer
			}{{"/v1", &v1}, {"/v1", &v1}, {"/v2", &v2}} {
				if status, body := fetch(t, url+call.path); status != http.StatusOK {
					t.Fatalf("%s: %d %s", call.path, status, body)
				} else if err := json.Unmarshal([]byte(body), call.answer); err != nil {
					t.Fatal(body, err)
				}
			}
			stop()
			if status := <-ended; status != exitOK {
				t.Errorf("status %d, %s", status, &errors)
			}

			refusal := "Both was kept from calling AWS at sqs.eu-central-1.amazonaws.com"
			connections, signedBy := internet.seen()
			if tt.leaves {
				if d := cmp.Diff([]string{shellKey, shellKey}, signedBy); d != "" {
					t.Errorf("keys of the requests that left (-want +got):\n%s", d)
				}
			} else {
				if connections > 0 {
					t.Errorf("%d connections left, with requests signed by %q", connections, signedBy)
				}
				if !strings.Contains(v1.Error, refusal) || !strings.Contains(v1.Error, "set aws.Config.Endpoint from it") {
					t.Errorf("the SDK's error does not say why: %s", v1.Error)
				}
				v1.Error = ""
			}
			wantV1, wantV2 := tt.given, tt.given
			wantV2.URLs = []string{endpoint.url}
			if tt.leaves {
				wantV1.URLs = []string{internet.url}
			}
			if d := cmp.Diff([]sdkAnswer{wantV1, wantV2}, []sdkAnswer{v1, v2}); d != "" {
				t.Errorf("versions 1 and 2 (-want +got):\n%s", d)
			}
			if _, signedBy := endpoint.seen(); !cmp.Equal(signedBy, []string{tt.given.Key}) {
				t.Errorf("the endpoint's requests are signed by %q", signedBy)
			}
			if !strings.Contains(out.String(), tt.page) {
				t.Errorf("%q is not in:\n%s", tt.page, &out)
			}
			if got := strings.Count(out.String(), "\n"+refusal); got != 1 && !tt.leaves || got > 0 && tt.leaves {
				t.Errorf("the refusal is reported %d times:\n%s", got, &out)
			}
			for _, secret := range []string{shellSecret, shellToken} {
				if strings.Contains(out.String()+errors.String(), secret) {
					t.Error("a secret of the shell is in the output")
				}
			}
		})
	}
}

// TestNoKeysToGive: --aws-credentials needs keys in the shell, and functions to give them to.
func TestNoKeysToGive(t *testing.T) {
	for _, tt := range []struct {
		name, key, secret string
		endpoint          string
		want              string
	}{
		{"none", "", "", "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		{"half", shellKey, "", "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		{"the other half", "", shellSecret, "http://127.0.0.1:9", "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"},
		{"no functions", shellKey, shellSecret, "", "--endpoint"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var errors strings.Builder
			c := newCLI(io.Discard, &errors, false)
			c.getenv = func(name string) string {
				return map[string]string{"AWS_ACCESS_KEY_ID": tt.key, "AWS_SECRET_ACCESS_KEY": tt.secret}[name]
			}
			status := c.execute(t.Context(), []string{"run", "--template", filepath.Join(root, "template.yaml"),
				"--aws-credentials", "--endpoint", tt.endpoint, "--addr", "127.0.0.1:0", "--data", t.TempDir()})
			if got := errors.String(); status != exitUsage || !strings.Contains(got, "--aws-credentials") || !strings.Contains(got, tt.want) {
				t.Errorf("status %d, %s", status, got)
			}
		})
	}
}

// TestAccounts: of the shell's variables only an account of LocalStack's is used without a flag.
func TestAccounts(t *testing.T) {
	for key, want := range map[string]string{
		"000000000000": "000000000000", "123456789012": "123456789012",
		"": "", "test": "", shellKey: "", "12345678901": "", "1234567890123": "", "12345678901a": "", "１２３４": "",
	} {
		c := newCLI(io.Discard, io.Discard, false)
		c.getenv = func(name string) string {
			return map[string]string{"AWS_ACCESS_KEY_ID": key, "AWS_SECRET_ACCESS_KEY": shellSecret, "AWS_SESSION_TOKEN": shellToken}[name]
		}
		if got, err := c.credentials(false); err != nil || got != (runner.Credentials{AccessKeyID: want}) {
			t.Errorf("%q: %+v, %v", key, got, err)
		}
	}
}

// lockedWriter can be written by several goroutines.
type lockedWriter struct {
	mu sync.Mutex
	w  io.Writer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}
