package outbound_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"paylane/shared/webhook"
	"paylane/shared/webhook/outbound"
)

// TestMain names a proxy in the environment that takes no connection, before anything reads it:
// http.ProxyFromEnvironment reads it once.
func TestMain(m *testing.M) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"} {
		if err := os.Setenv(name, "http://127.0.0.1:1"); err != nil {
			panic(err)
		}
	}
	m.Run()
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

// serveTLS starts a server for names below example.com, and counts its requests.
func serveTLS(t *testing.T) (server *httptest.Server, port string, requests *atomic.Int64) {
	t.Helper()
	requests = new(atomic.Int64)
	server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		w.WriteHeader(200 + r.ProtoMajor)
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return server, u.Port(), requests
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
		t.Fatalf("%+v, %v", answer, err)
	}
	if request := <-got; request != "POST /hook?a=b evt_1 {}" {
		t.Errorf("the request was %s", request)
	}
}

func TestConnectionsAreKept(t *testing.T) {
	var from []string
	to, _ := serve(t, func(w http.ResponseWriter, r *http.Request) {
		from = append(from, r.RemoteAddr)
		_, _ = w.Write(make([]byte, 60<<10))
	})
	client := loopback()
	for range 2 {
		if _, err := client.Post(t.Context(), to, nil, nil); err != nil {
			t.Fatal(err)
		}
	}
	if from[0] != from[1] {
		t.Error("the second request has another connection")
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
		"": 0, "0": 0, "7": 7 * time.Second, " 7 ": 7 * time.Second, "007": 7 * time.Second, "-7": 0, "+7": 0, "1.5": 0, "1e3": 0,
		"7, 8": 0, "7s": 0, "0x10": 0, "1_000": 0, "soon": 0, "99999999999999999999": 0, "2147483647": 2147483647 * time.Second,
		"Sun, 01 Mar 2026 12:01:00 GMT": time.Minute, "Sun, 01 Mar 2026 11:59:00 GMT": 0,
		"Sunday, 01-Mar-26 12:00:05 GMT": 5 * time.Second, "Sun Mar  1 12:00:06 2026": 6 * time.Second,
		"2026-03-01T12:01:00Z": 0, "Sun, 01 Mar 2026 12:01:00": 0,
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
	var status int
	var target string
	to, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Location", target)
		w.WriteHeader(status)
	})
	for _, target = range []string{inside, "http://169.254.169.254/latest/meta-data/", "file:///etc/passwd", "http://[::1", "%zz", ""} {
		for _, status = range []int{301, 302, 303, 307, 308} {
			if answer, err := loopback().Post(t.Context(), to, nil, []byte("{}")); err != nil || answer.Status != status {
				t.Errorf("%d to %q: %+v, %v", status, target, answer, err)
			}
		}
	}
	if n := asked.Load(); n != 0 {
		t.Errorf("the redirect was followed %d times", n)
	}
}

// TestTLS: see TestMain for the proxy.
func TestTLS(t *testing.T) {
	server, port, asked := serveTLS(t)
	resolver := names(t, func(int) []string { return []string{"127.0.0.1"} })
	wary, client := loopback(), loopback()
	wary.Resolve(resolver)
	client.Resolve(resolver)
	client.Trust(server.Client())
	to := "https://shop.example.com:" + port + "/"
	if _, err := wary.Post(t.Context(), to, nil, nil); err == nil || asked.Load() != 0 {
		t.Errorf("a certificate that nobody vouches for is trusted: %v", err)
	}
	if answer, err := client.Post(t.Context(), to, nil, nil); err != nil || answer.Status != 202 {
		t.Errorf("without the proxy, by HTTP/2: %+v, %v", answer, err)
	}
	if _, err := client.Post(t.Context(), "https://shop.example.org:"+port+"/", nil, nil); err == nil {
		t.Error("another host's certificate is trusted")
	}
}

// TestNames: a name is not followed to addresses of this machine's, or of its network.
func TestNames(t *testing.T) {
	server, port, asked := serveTLS(t)
	to := "https://shop.example.com:" + port + "/"
	for name, address := range map[string]string{
		"loopback": "127.0.0.1", "unspecified": "0.0.0.0", "private": "10.1.2.3", "metadata": "169.254.169.254", "IPv6 loopback": "::1",
		"IPv6 unspecified": "::", "IPv6-mapped": "::ffff:127.0.0.1", "IPv4-compatible": "::127.0.0.1", "NAT64": "64:ff9b::a9fe:a9fe",
		"6to4": "2002:7f00:1::", "unique local": "fd00:ec2::254", "multicast": "224.0.0.1", "broadcast": "255.255.255.255",
	} {
		t.Run(name, func(t *testing.T) {
			var looks atomic.Int64
			client := public()
			client.Trust(server.Client())
			client.Resolve(names(t, func(int) []string { looks.Add(1); return []string{address} }))
			if err := (outbound.Policy{}).CheckURL(to); err != nil {
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

// connections has a client make none, and returns to which addresses it would have.
func connections(client *outbound.Client) (addresses func() []string) {
	var mu sync.Mutex
	var all []string
	client.Connecting(func(address string) error {
		mu.Lock()
		defer mu.Unlock()
		all = append(all, address)
		return errors.New("that is far enough")
	})
	return func() []string {
		mu.Lock()
		defer mu.Unlock()
		return all
	}
}

func TestNameWithPublicAndPrivateAddresses(t *testing.T) {
	for _, addresses := range [][]string{
		{"93.184.215.14", "10.1.2.3"},
		{"10.1.2.3", "93.184.215.14"},
		{"127.0.0.1", "::1", "93.184.215.14", "::ffff:10.0.0.1", "169.254.169.254", "fd00::1"},
	} {
		client := public()
		client.Resolve(names(t, func(int) []string { return addresses }))
		to := connections(client)
		if _, err := client.Post(t.Context(), "https://mixed.example/", nil, nil); err == nil {
			t.Error("there is an answer")
		}
		if want := []string{"93.184.215.14:443"}; !slices.Equal(to(), want) {
			t.Errorf("%v led to %v", addresses, to())
		}
	}
}

// TestRebinding: a name leads to a public address when it is first looked up, and inside after.
// There is one look for each connection, so no address takes the place of one that was checked.
func TestRebinding(t *testing.T) {
	server, port, asked := serveTLS(t)
	var looks atomic.Int64
	client := public()
	client.Trust(server.Client())
	client.Resolve(names(t, func(look int) []string {
		looks.Store(int64(look))
		if look == 1 {
			return []string{"93.184.215.14"}
		}
		return []string{"127.0.0.1"}
	}))
	to, url := connections(client), "https://rebinding.example.com:"+port+"/"
	if _, err := client.Post(t.Context(), url, nil, nil); err == nil || errors.Is(err, webhook.ErrForbidden) {
		t.Errorf("the first time: %v", err)
	}
	if n := looks.Load(); n != 1 {
		t.Errorf("the name was looked up %d times", n)
	}
	for range 2 {
		if _, err := client.Post(t.Context(), url, nil, nil); !errors.Is(err, webhook.ErrForbidden) {
			t.Errorf("later: %v", err)
		}
	}
	if want := []string{"93.184.215.14:" + port}; !slices.Equal(to(), want) || asked.Load() != 0 {
		t.Errorf("the name led to %v", to())
	}
}

// names returns a resolver that answers every name with the addresses for this look, counted from 1.
// A look asks twice, for IPv4 and for IPv6.
func names(t *testing.T, addresses func(look int) []string) *net.Resolver {
	t.Helper()
	server, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })
	go func() {
		buffer := make([]byte, 1500)
		looks := make(map[dnsmessage.Type]int)
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
			q := m.Questions[0]
			looks[q.Type]++
			for _, text := range addresses(looks[q.Type]) {
				resource := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Class: dnsmessage.ClassINET}}
				switch a := netip.MustParseAddr(text); {
				case a.Is4() && q.Type == dnsmessage.TypeA:
					resource.Body = &dnsmessage.AResource{A: a.As4()}
				case !a.Is4() && q.Type == dnsmessage.TypeAAAA:
					resource.Body = &dnsmessage.AAAAResource{AAAA: a.As16()}
				default:
					continue
				}
				m.Answers = append(m.Answers, resource)
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

// postTo posts to a server that reads a request, answers with head at once, and then with a byte a
// second until the client has had enough; it returns how long that took. Time is that of the
// test's synctest bubble, in which ctx ends after 10 seconds.
func postTo(t *testing.T, head string, more []byte) (answer webhook.Answer, took time.Duration, err error) {
	t.Helper()
	client, server := net.Pipe()
	var serving sync.WaitGroup
	defer serving.Wait()
	defer func() { _ = server.Close() }()
	serving.Go(func() {
		if _, err := http.ReadRequest(bufio.NewReader(server)); err != nil {
			t.Error(err)
			return
		}
		_, err := io.WriteString(server, head)
		for err == nil && len(more) > 0 {
			time.Sleep(time.Second)
			_, err = server.Write(more)
		}
	})
	c := loopback()
	c.Connect(client)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	began := time.Now()
	answer, err = c.Post(ctx, "http://localhost/", nil, nil)
	return answer, time.Since(began), err
}

func TestTrickle(t *testing.T) {
	a := []byte("a")
	for _, c := range []struct {
		name, head string
		more       []byte
		status     int
	}{
		{"nothing", "", nil, 0},
		{"the status", "HTTP/1.1 2", []byte("0"), 0},
		{"a header", "HTTP/1.1 200 OK\r\nA: ", a, 0},
		{"headers", "HTTP/1.1 200 OK\r\n", []byte("A: a\r\n"), 0},
		{"interim answers", "", []byte("HTTP/1.1 103 Early Hints\r\n\r\n"), 0},
		{"the body", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", a, 200},
		{"chunks", "HTTP/1.1 503 Service Unavailable\r\nTransfer-Encoding: chunked\r\n\r\n", []byte("1\r\na\r\n"), 503},
		{"a body that never comes", "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", nil, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answer, took, err := postTo(t, c.head, c.more)
				if c.status == 0 && !errors.Is(err, context.DeadlineExceeded) || c.status != 0 && err != nil || answer.Status != c.status {
					t.Errorf("%+v, %v", answer, err)
				}
				if took != 10*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

// TestSwitchingProtocols: reads of such a connection would not end with the context.
func TestSwitchingProtocols(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer, took, err := postTo(t, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", nil)
		if err != nil || answer.Status != http.StatusSwitchingProtocols || took != 0 {
			t.Errorf("%+v, %v after %v", answer, err, took)
		}
	})
}

func TestLongAnswerIsCut(t *testing.T) {
	client, server := net.Pipe()
	read := make(chan int64)
	go func() {
		if _, err := http.ReadRequest(bufio.NewReader(server)); err != nil {
			t.Error(err)
		}
		_, _ = fmt.Fprintf(server, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", 10<<20)
		n, _ := io.CopyN(server, endless{}, 10<<20)
		read <- n
	}()
	c := loopback()
	c.Connect(client)
	if answer, err := c.Post(t.Context(), "http://localhost/", nil, nil); err != nil || answer.Status != http.StatusOK {
		t.Fatalf("%+v, %v", answer, err)
	}
	if n := <-read; n < 64<<10 || n > 64<<10+8<<10 {
		t.Errorf("%d bytes of it were read", n)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { return len(p), nil }

func TestLongHeaderIsRefused(t *testing.T) {
	to, _ := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("A", strings.Repeat("a", 80<<10))
	})
	if answer, err := loopback().Post(t.Context(), to, nil, nil); err == nil {
		t.Errorf("%+v", answer)
	}
}

func TestErrorsDoNotRepeatTheURL(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for name, post := range map[string]func() error{
		"refused": func() error {
			_, err := loopback().Post(t.Context(), "http://"+address+"/hook-4242?token=s3cret", nil, nil)
			return err
		},
		"canceled": func() error {
			_, err := loopback().Post(ended, "http://"+address+"/hook-4242?token=s3cret", nil, nil)
			if !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
			return err
		},
		"forbidden": func() error {
			_, err := public().Post(t.Context(), "https://4242:s3cret@shop.example/?token=s3cret", nil, nil)
			return err
		},
		"not a URL": func() error {
			_, err := public().Post(t.Context(), "https://shop.example/4242%zz?token=s3cret", nil, nil)
			return err
		},
	} {
		if err := post(); err == nil || strings.Contains(err.Error(), "4242") || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}
