package outbound_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"paylane/shared/webhook"
	"paylane/shared/webhook/outbound"
)

func public() *outbound.Client { return outbound.New(outbound.Policy{}, time.Now) }

func loopback() *outbound.Client { return outbound.New(outbound.Policy{Loopback: true}, time.Now) }

func TestCheckURL(t *testing.T) {
	for name, url := range map[string]string{
		"a host":             "https://shop.example",
		"path and query":     "https://hooks.shop.example/a/b?token=x%20y",
		"a port":             "https://shop.example:8443/",
		"upper case":         "HTTPS://Shop.Example/",
		"a trailing dot":     "https://shop.example./",
		"Punycode":           "https://xn--bcher-kva.example/",
		"a public address":   "https://93.184.215.14/",
		"a public IPv6":      "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/",
		"digits in the name": "https://1.2.3.4.example/",
	} {
		t.Run("takes "+name, func(t *testing.T) {
			if err := public().CheckURL(url); err != nil {
				t.Errorf("%s: %v", url, err)
			}
		})
	}
	for name, url := range map[string]string{
		"nothing":                     "",
		"no scheme":                   "shop.example/hook",
		"http":                        "http://shop.example/hook",
		"another scheme":              "ftp://shop.example/",
		"opaque":                      "https:shop.example",
		"no host":                     "https:///hook",
		"user info":                   "https://user:secret@shop.example/",
		"an empty user":               "https://@shop.example/",
		"user info that looks public": "https://shop.example@127.0.0.1/",
		"a fragment":                  "https://shop.example/#a",
		"an empty fragment":           "https://shop.example/#",
		"port 0":                      "https://shop.example:0/",
		"an empty port":               "https://shop.example:/",
		"a port too large":            "https://shop.example:65536/",
		"a blank":                     "https://shop.example/a b",
		"a line break":                "https://shop.example/a\nb",
		"a host beyond ASCII":         "https://bücher.example/",
		"full-width digits":           "https://１２７.0.0.1/",
		"too long":                    "https://shop.example/" + strings.Repeat("a", 2048),
		"localhost":                   "https://localhost/",
		"localhost with a dot":        "https://localhost./",
		"below localhost":             "https://a.localhost/",
		"a single label":              "https://intranet/",
		"a local name":                "https://printer.local/",
		"metadata by name":            "https://metadata.google.internal/computeMetadata/v1/",
		"an empty label":              "https://shop..example/",
		"a star":                      "https://*.example/",
		"loopback":                    "https://127.0.0.1/",
		"loopback, another":           "https://127.255.255.254/",
		"decimal":                     "https://2130706433/",
		"octal":                       "https://0177.0.0.1/",
		"octal, whole":                "https://017700000001/",
		"hexadecimal":                 "https://0x7f.0.0.1/",
		"hexadecimal, whole":          "https://0x7f000001/",
		"short":                       "https://127.1/",
		"a trailing dot":              "https://127.0.0.1./",
		"unspecified":                 "https://0.0.0.0/",
		"private 10":                  "https://10.0.0.1/",
		"private 172":                 "https://172.31.255.255/",
		"private 192":                 "https://192.168.1.1/",
		"shared":                      "https://100.64.0.1/",
		"link-local, metadata":        "https://169.254.169.254/latest/meta-data/",
		"multicast":                   "https://224.0.0.1/",
		"broadcast":                   "https://255.255.255.255/",
		"benchmarks":                  "https://198.18.0.1/",
		"documentation":               "https://203.0.113.1/",
		"IPv6 loopback":               "https://[::1]/",
		"IPv6 unspecified":            "https://[::]/",
		"IPv6-mapped loopback":        "https://[::ffff:127.0.0.1]/",
		"IPv6-mapped, in hexadecimal": "https://[::ffff:7f00:1]/",
		"IPv6-mapped public":          "https://[::ffff:93.184.215.14]/",
		"IPv4-compatible":             "https://[::127.0.0.1]/",
		"NAT64":                       "https://[64:ff9b::7f00:1]/",
		"NAT64, local":                "https://[64:ff9b:1::7f00:1]/",
		"6to4":                        "https://[2002:7f00:1::]/",
		"Teredo":                      "https://[2001:0:7f00:1::]/",
		"unique local":                "https://[fd00:ec2::254]/latest/meta-data/",
		"IPv6 link-local":             "https://[fe80::1]/",
		"a zone":                      "https://[fe80::1%25eth0]/",
		"IPv6 multicast":              "https://[ff02::1]/",
		"IPv6 documentation":          "https://[2001:db8::1]/",
	} {
		t.Run("refuses "+name, func(t *testing.T) {
			err := public().CheckURL(url)
			if err == nil {
				t.Fatalf("%s is taken", url)
			}
			if !strings.HasPrefix(err.Error(), "must ") {
				t.Errorf("the reason is %q", err)
			}
			if _, err := public().Post(t.Context(), url, nil, nil); !errors.Is(err, webhook.ErrForbidden) {
				t.Errorf("post: %v", err)
			}
		})
	}
}

func TestCheckURLWithLoopback(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:8080/", "http://localhost:1/", "https://localhost/", "http://[::1]:9/", "http://127.0.0.9/", "https://shop.example/"} {
		if err := loopback().CheckURL(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	for _, url := range []string{"http://shop.example/", "http://10.0.0.1/", "http://[::ffff:127.0.0.1]/", "http://a.localhost/", "http://2130706433/", "http://0.0.0.0/", "http://169.254.169.254/"} {
		if loopback().CheckURL(url) == nil {
			t.Errorf("%s is taken", url)
		}
	}
}

// serve starts a server and counts its requests.
func serve(t *testing.T, handle http.HandlerFunc) (url string, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		handle(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL, requests
}

func TestPost(t *testing.T) {
	got := make(chan string, 1)
	to, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got <- r.Method + " " + r.URL.String() + " " + r.Header.Get("Webhook-Id") + " " + string(body)
		w.Header().Set("Retry-After", "120")
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	answer, err := loopback().Post(t.Context(), to+"/hook?a=b", map[string]string{"webhook-id": "evt_1"}, []byte("{}"))
	if want := (webhook.Answer{Status: 503, RetryAfter: 2 * time.Minute}); err != nil || answer != want {
		t.Errorf("%+v, %v", answer, err)
	}
	if request := <-got; request != "POST /hook?a=b evt_1 {}" {
		t.Errorf("the request was %s", request)
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var value string
	to, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", value)
		w.WriteHeader(http.StatusTooManyRequests)
	})
	client := outbound.New(outbound.Policy{Loopback: true}, func() time.Time { return now })
	for text, want := range map[string]time.Duration{
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "-7": 0, "1.5": 0, "soon": 0, "99999999999999999999": 0,
		"Sun, 01 Mar 2026 12:01:00 GMT": time.Minute, "Sun, 01 Mar 2026 11:59:00 GMT": 0,
		"Sunday, 01-Mar-26 12:00:05 GMT": 5 * time.Second, "Sun Mar  1 12:00:06 2026": 6 * time.Second,
	} {
		value = text
		answer, err := client.Post(t.Context(), to, nil, nil)
		if err != nil || answer.RetryAfter != want {
			t.Errorf("%q: %v, %v; want %v", text, answer.RetryAfter, err, want)
		}
	}
}

func TestRedirectIsAnAnswer(t *testing.T) {
	inside, asked := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, target := range []string{inside, "http://169.254.169.254/latest/meta-data/"} {
		to, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, target, http.StatusTemporaryRedirect)
		})
		if answer, err := loopback().Post(t.Context(), to, nil, nil); err != nil || answer.Status != http.StatusTemporaryRedirect {
			t.Errorf("%+v, %v", answer, err)
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}

func TestNoProxy(t *testing.T) {
	proxy, asked := serve(t, func(http.ResponseWriter, *http.Request) {})
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"} {
		t.Setenv(name, proxy)
	}
	client := public()
	client.Resolve(names(t, func() netip.Addr { return netip.MustParseAddr("127.0.0.1") }))
	if _, err := client.Post(t.Context(), "https://shop.example/", nil, nil); !errors.Is(err, webhook.ErrForbidden) {
		t.Error(err)
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the proxy was asked %d times", n)
	}
}

func TestLongAnswerIsCut(t *testing.T) {
	const long = 64 << 20
	written := make(chan int64, 1)
	to, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		n, _ := io.CopyN(w, endless{}, long)
		written <- n
	})
	if answer, err := loopback().Post(t.Context(), to, nil, nil); err != nil || answer.Status != http.StatusOK {
		t.Fatalf("%+v, %v", answer, err)
	}
	if n := <-written; n == long {
		t.Error("all of it was read")
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestErrorsDoNotRepeatTheURL(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = loopback().Post(t.Context(), "http://"+address+"/hook-4242?token=s3cret", nil, nil)
	if err == nil || strings.Contains(err.Error(), "4242") || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error is %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := loopback().Post(ended, "http://"+address, nil, nil); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestNames: a name that leads to addresses of this machine's, or of its network, is not followed,
// whatever it led to before.
func TestNames(t *testing.T) {
	inside, asked := serve(t, func(http.ResponseWriter, *http.Request) {})
	at, err := url.Parse(inside)
	if err != nil {
		t.Fatal(err)
	}
	to := "https://rebinding.example:" + at.Port() + "/"
	for name, address := range map[string]string{
		"loopback": "127.0.0.1", "private": "10.1.2.3", "metadata": "169.254.169.254", "IPv6 loopback": "::1",
		"IPv6-mapped": "::ffff:127.0.0.1", "NAT64": "64:ff9b::a9fe:a9fe",
	} {
		t.Run(name, func(t *testing.T) {
			var looks atomic.Int64
			client := public()
			client.Resolve(names(t, func() netip.Addr { looks.Add(1); return netip.MustParseAddr(address) }))
			if err := client.CheckURL(to); err != nil {
				t.Fatal(err) // what is known at registration
			}
			if _, err := client.Post(t.Context(), to, nil, nil); !errors.Is(err, webhook.ErrForbidden) {
				t.Error(err)
			}
			if looks.Load() == 0 {
				t.Error("the name was not looked up")
			}
		})
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the server was asked %d times", n)
	}
}

// names returns a resolver that answers every name with the address at that moment.
func names(t *testing.T, address func() netip.Addr) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		buffer := make([]byte, 1500)
		for {
			n, from, err := server.ReadFrom(buffer)
			if err != nil {
				return
			}
			var m dnsmessage.Message
			if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
				continue
			}
			m.Response, m.Authoritative, m.Additionals = true, true, nil
			header := dnsmessage.ResourceHeader{Name: m.Questions[0].Name, Class: dnsmessage.ClassINET}
			switch a, kind := address(), m.Questions[0].Type; {
			case a.Is4() && kind == dnsmessage.TypeA:
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AResource{A: a.As4()}}}
			case !a.Is4() && kind == dnsmessage.TypeAAAA:
				m.Answers = []dnsmessage.Resource{{Header: header, Body: &dnsmessage.AAAAResource{AAAA: a.As16()}}}
			}
			if packed, err := m.Pack(); err == nil {
				_, _ = server.WriteTo(packed, from)
			}
		}
	}()
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", server.LocalAddr().String())
	}}
}

// FuzzCheckURL: a host that CheckURL takes is no address in any of the spellings of inet_aton,
// unless that is a public one in its usual spelling.
func FuzzCheckURL(f *testing.F) {
	for _, text := range []string{"https://shop.example/", "https://127.0.0.1", "https://0x7f.1/", "https://2130706433", "https://[::1]", "https://a.0x1", "https://1.1.1.1", "https://1.1.1.1.", "https://a%2eb/", "https://0x/"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if public().CheckURL(text) != nil {
			return
		}
		u, err := url.Parse(text)
		if err != nil || u.User != nil || u.Scheme != "https" {
			t.Fatalf("%q is taken", text)
		}
		host := strings.TrimSuffix(u.Hostname(), ".")
		if address, err := netip.ParseAddr(host); err == nil {
			if !address.IsGlobalUnicast() || address.IsPrivate() || address.Is4In6() {
				t.Errorf("%q leads to %v", text, address)
			}
			return
		}
		if aton(host) {
			t.Errorf("%q has an address in another spelling", text)
		}
	})
}

// aton reports whether inet_aton takes a text for an address.
func aton(text string) bool {
	parts := strings.Split(strings.ToLower(text), ".")
	for _, part := range parts {
		digits, in := part, "0123456789"
		if hex, ok := strings.CutPrefix(part, "0x"); ok {
			digits, in = hex, "0123456789abcdef"
		}
		if digits == "" || strings.Trim(digits, in) != "" {
			return false
		}
	}
	return len(parts) <= 4
}
