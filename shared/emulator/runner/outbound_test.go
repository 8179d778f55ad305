package runner_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/runner"
)

// reporting starts functions that answer with their variables, each with variables of its
// own, and returns those of each.
func reporting(t *testing.T, c runner.Config, functions map[string]string) (r *runner.Runner, variables map[string]map[string]string) {
	t.Helper()
	folder, err := filepath.Abs("testdata/reporter")
	if err != nil {
		t.Fatal(err)
	}
	resources := ""
	for id, own := range functions {
		resources += "  " + id + ":\n    Type: AWS::Serverless::Function\n    Properties: {CodeUri: " + folder +
			", Handler: bootstrap, Runtime: provided.al2023, FunctionUrlConfig: {AuthType: NONE}, Environment: {Variables: {" + own + "}}}\n"
	}
	c.Template = inTemplate(t, resources)
	r = start(t, c)
	variables = make(map[string]map[string]string)
	for id := range functions {
		var seen map[string]string
		if _, body := get(t, r.URL()+"/_url/"+id+"/", ""); json.Unmarshal([]byte(body), &seen) != nil {
			t.Fatal(body)
		}
		variables[id] = seen
	}
	return r, variables
}

// client returns a client that calls as a function with these variables does, loopback
// addresses as well.
func client(t *testing.T, proxy string) *http.Client {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{Proxy: http.ProxyURL(u)}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// call returns an answer's status and body, or the error's text.
func call(t *testing.T, c *http.Client, url string) (status int, text string) {
	t.Helper()
	response, err := c.Get(url)
	if err != nil {
		return 0, err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(body)
}

// TestGiven: what the variables of a function are that lead its clients.
func TestGiven(t *testing.T) {
	t.Parallel()
	const this = "localhost,127.0.0.1,::1"
	for _, tt := range []struct {
		name     string
		config   runner.Config
		own      string
		want     map[string]string // PROXY stands for the runner's
		reported string
	}{
		{
			"by default", runner.Config{}, "OWN: b",
			map[string]string{
				"HTTP_PROXY": "PROXY", "http_proxy": "PROXY", "HTTPS_PROXY": "PROXY", "https_proxy": "PROXY", "NO_PROXY": this, "no_proxy": this,
				"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_CONFIG_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
				"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "OWN": "b",
			}, "",
		},
		{
			"an endpoint elsewhere, and files of its own", runner.Config{Endpoint: "http://stack.internal:4566"},
			"NO_PROXY: .amazonaws.com, no_proxy: '*', AWS_CONFIG_FILE: aws.ini, AWS_ENDPOINT_URL: 'https://sqs.eu-west-1.amazonaws.com'",
			map[string]string{
				"HTTP_PROXY": "PROXY", "http_proxy": "PROXY", "HTTPS_PROXY": "PROXY", "https_proxy": "PROXY",
				"NO_PROXY": this + ",stack.internal", "no_proxy": this + ",stack.internal",
				"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_CONFIG_FILE": "aws.ini", "AWS_EC2_METADATA_DISABLED": "true",
				"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "", "AWS_ENDPOINT_URL": "http://stack.internal:4566",
			}, "",
		},
		{
			"a proxy of its own", runner.Config{}, "https_proxy: 'http://proxy.test:3128', NO_PROXY: internal.test",
			map[string]string{
				"https_proxy": "http://proxy.test:3128", "NO_PROXY": "internal.test",
				"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_CONFIG_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
				"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "",
			}, "Fun has a proxy of its own, so its calls to AWS are not refused\n",
		},
		{
			"an empty proxy", runner.Config{}, "HTTPS_PROXY: ''",
			map[string]string{
				"HTTP_PROXY": "PROXY", "http_proxy": "PROXY", "HTTPS_PROXY": "PROXY", "https_proxy": "PROXY", "NO_PROXY": this, "no_proxy": this,
				"AWS_SHARED_CREDENTIALS_FILE": os.DevNull, "AWS_CONFIG_FILE": os.DevNull, "AWS_EC2_METADATA_DISABLED": "true",
				"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_SESSION_TOKEN": "",
			}, "",
		},
		{
			"AWS is allowed",
			runner.Config{AllowAWS: true, Credentials: runner.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "secret", SessionToken: "token"}},
			"https_proxy: 'http://proxy.test:3128'",
			map[string]string{
				"https_proxy": "http://proxy.test:3128", "AWS_ACCESS_KEY_ID": "AKIA", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
			}, "",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			out := &output{}
			tt.config.Output = out
			_, variables := reporting(t, tt.config, map[string]string{"Fun": tt.own})
			got := variables["Fun"]
			for name, value := range got {
				if u, err := url.Parse(value); err == nil && u.User.Username() == "Fun" && u.Hostname() == "127.0.0.1" {
					got[name] = "PROXY"
				}
			}
			for name := range got {
				if strings.HasPrefix(name, "AWS_LAMBDA_") || strings.HasPrefix(name, "AWS_XRAY_") || strings.Contains(name, "REGION") ||
					strings.HasPrefix(name, "_") || strings.HasPrefix(name, "LAMBDA_") || strings.HasPrefix(name, "L") ||
					name == "PATH" || name == "TZ" {
					delete(got, name) // Lambda's
				}
			}
			if d := cmp.Diff(tt.want, got); d != "" {
				t.Errorf("variables (-want +got):\n%s", d)
			}
			if strings.Contains(out.String(), "proxy of its own") != (tt.reported != "") || !strings.Contains(out.String(), tt.reported) {
				t.Errorf("the output is\n%s", out)
			}
		})
	}
}

// TestAWSIsRefused: neither with TLS nor without does a call reach AWS. The caller is told
// why, and the output once for each function and host.
func TestAWSIsRefused(t *testing.T) {
	t.Parallel()
	out := &output{}
	_, variables := reporting(t, runner.Config{Output: out}, map[string]string{"One": "", "Two": ""})
	for _, id := range []string{"One", "Two"} {
		c := client(t, variables[id]["HTTPS_PROXY"])
		for _, host := range []string{"sqs.eu-west-1.amazonaws.com", "Bucket.S3.AmazonAWS.com.:8443", "x.on.aws", "169.254.169.254", "[::ffff:169.254.170.2]"} {
			for _, scheme := range []string{"https://", "http://", "https://"} {
				status, text := call(t, c, scheme+host+"/latest?a=b")
				named := strings.TrimSuffix(strings.ToLower(strings.TrimSuffix(host, ":8443")), ".")
				if named == "[::ffff:169.254.170.2]" {
					named = "169.254.170.2"
				}
				want := fmt.Sprintf("%s was kept from calling AWS at %s. Name an endpoint that stands in for AWS, or let functions call AWS", id, named)
				if !strings.Contains(text, want) || scheme == "http://" && status != http.StatusForbidden {
					t.Errorf("%s%s: %d %s", scheme, host, status, text)
				}
				if got := strings.Count(out.String(), want); got != 1 {
					t.Errorf("%q is reported %d times:\n%s", want, got, out)
				}
			}
		}
	}
}

// TestOthersAreCalled: a call to anybody else is what it would be without the proxy.
func TestOthersAreCalled(t *testing.T) {
	t.Parallel()
	out := &output{}
	_, variables := reporting(t, runner.Config{Output: out}, map[string]string{"Fun": ""})
	c := client(t, variables["Fun"]["HTTP_PROXY"])
	const rest = "more\n"
	more := make(chan struct{})
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		text := fmt.Sprintf("%s %s %s %q\n", r.Method, r.URL, body, r.Header)
		w.Header().Set("Content-Length", strconv.Itoa(len(text)+len(rest)))
		_, _ = io.WriteString(w, text)
		if r.URL.Path == "/stream" {
			_ = http.NewResponseController(w).Flush()
			<-more
		}
		_, _ = io.WriteString(w, rest)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	c.Transport.(*http.Transport).TLSClientConfig = secure.Client().Transport.(*http.Transport).TLSClientConfig
	for _, server := range []*httptest.Server{plain, secure} {
		for _, path := range []string{"/pay?a=1;b&c", "/stream"} {
			var answers []string
			for _, way := range []*http.Client{server.Client(), c} {
				way.Transport.(*http.Transport).DisableCompression = true
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+path, strings.NewReader("card"))
				if err != nil {
					t.Fatal(err)
				}
				request.Header = http.Header{"X-Forwarded-For": {"10.0.0.1"}, "Forwarded": {"for=a"}, "X-Forwarded-Host": {"shop"}}
				response, err := way.Do(request)
				if err != nil {
					t.Fatal(err)
				}
				lines := bufio.NewReader(response.Body)
				first, err := lines.ReadString('\n')
				if err != nil {
					t.Fatal(err)
				}
				if path == "/stream" {
					more <- struct{}{} // the first line has come before the second is written
				}
				second, err := io.ReadAll(lines)
				if err != nil {
					t.Fatal(err)
				}
				answers = append(answers, first+string(second))
				_ = response.Body.Close()
			}
			if answers[0] != answers[1] {
				t.Errorf("%s answers\n%sand through the proxy\n%s", server.URL+path, answers[0], answers[1])
			}
		}
	}

	nobody := httptest.NewServer(handler)
	nobody.Close()
	for range 2 { // an error of the client, as without the proxy, and not an answer of nobody's
		if status, text := call(t, c, nobody.URL); status != 0 {
			t.Errorf("where nobody listens: %d %s", status, text)
		}
	}
	if got := strings.Count(out.String(), "Fun could not call "+nobody.Listener.Addr().String()+": "); got != 1 || !strings.Contains(out.String(), "connection refused") {
		t.Errorf("where nobody listens: the reason is reported %d times:\n%s", got, out)
	}
	if _, text := call(t, c, strings.Replace(nobody.URL, "http:", "https:", 1)); !strings.Contains(text, "connection refused") {
		t.Errorf("where nobody listens, with TLS: %s", text)
	}
}

// TestForFunctionsOnly: no other program can use the proxy.
func TestForFunctionsOnly(t *testing.T) {
	t.Parallel()
	out := &output{}
	_, variables := reporting(t, runner.Config{Output: out}, map[string]string{"Fun": ""})
	proxy, err := url.Parse(variables["Fun"]["HTTP_PROXY"])
	if err != nil {
		t.Fatal(err)
	}
	reached := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was let through") }))
	t.Cleanup(reached.Close)
	for name, user := range map[string]*url.Userinfo{"nobody": nil, "no secret": url.User("Fun"), "another secret": url.UserPassword("Fun", "guessed")} {
		proxy.User = user
		c := client(t, proxy.String())
		for _, u := range []string{reached.URL, "http://sqs.eu-west-1.amazonaws.com"} {
			if status, text := call(t, c, u); status != http.StatusProxyAuthRequired {
				t.Errorf("%s, %s: %d %s", name, u, status, text)
			}
			if _, text := call(t, c, strings.Replace(u, "http:", "https:", 1)); !strings.Contains(text, "Proxy Authentication Required") {
				t.Errorf("%s, %s with TLS: %s", name, u, text)
			}
		}
	}
	if strings.Contains(out.String(), "AWS") {
		t.Errorf("the output is\n%s", out)
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+proxy.Host+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Proxy-Authorization", basic(t, variables["Fun"]["HTTP_PROXY"]))
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusBadRequest {
		t.Errorf("a request that is not for a proxy: %s", response.Status)
	}
}

// basic returns the header by which a client passes on the credentials of a URL.
func basic(t *testing.T, proxy string) string {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	secret, _ := u.User.Password()
	request := http.Request{Header: http.Header{}}
	request.SetBasicAuth(u.User.Username(), secret)
	return request.Header.Get("Authorization")
}

// tunnel opens a tunnel through the proxy to a listener, and returns both of its ends.
func tunnel(t *testing.T, proxy string, listener net.Listener) (near, far *net.TCPConn) {
	t.Helper()
	u, err := url.Parse(proxy)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	// What the client sends early is part of what goes through.
	_, _ = fmt.Fprintf(conn, "CONNECT %s HTTP/1.1\r\nHost: x\r\nProxy-Authorization: %s\r\n\r\nearly ", listener.Addr(), basic(t, proxy))
	accepted, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = accepted.Close() })
	const established = "HTTP/1.1 200 Connection established\r\n\r\n"
	said := make([]byte, len(established))
	if _, err := io.ReadFull(conn, said); err != nil || string(said) != established {
		t.Fatalf("%q, %v", said, err)
	}
	return conn.(*net.TCPConn), accepted.(*net.TCPConn)
}

// TestTunnels: each side of a tunnel ends by itself, and the runner's end ends what is open,
// as it does a response that goes on.
func TestTunnels(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	r, variables := reporting(t, runner.Config{}, map[string]string{"Fun": ""})
	proxy := variables["Fun"]["HTTPS_PROXY"]

	near, far := tunnel(t, proxy, listener)
	_, _ = io.WriteString(near, "and late")
	_ = near.CloseWrite()
	if got, err := io.ReadAll(far); err != nil || string(got) != "early and late" {
		t.Errorf("%q, %v", got, err)
	}
	_, _ = io.WriteString(far, "answer")
	_ = far.CloseWrite()
	if got, err := io.ReadAll(near); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}

	near, far = tunnel(t, proxy, listener)
	_ = far.SetLinger(0)
	_ = far.Close() // with a reset
	if _, err := io.ReadAll(near); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}

	near, far = tunnel(t, proxy, listener)
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	}))
	t.Cleanup(endless.Close)
	response, err := client(t, proxy).Get(endless.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if err := r.Close(); err != nil {
		t.Error(err)
	}
	if got, err := io.ReadAll(response.Body); err == nil {
		t.Errorf("the response ended as if it were complete, with %q", got)
	}
	for name, conn := range map[string]net.Conn{"near": near, "far": far} {
		got, err := io.ReadAll(conn)
		if name == "near" && len(got) > 0 || name == "far" && string(got) != "early " || err != nil && !strings.Contains(err.Error(), "reset") {
			t.Errorf("at the %s end: %q, %v", name, got, err)
		}
	}
	if _, err := new(net.Dialer).DialContext(context.Background(), "tcp", strings.Split(proxy, "@")[1]); err == nil {
		t.Error("the proxy still listens")
	}
}
