package runner

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"paylane/shared/emulator/template"
)

// outbound is the functions' way out: an HTTP proxy that refuses their calls to AWS and
// lets all others through. Go's clients, and most of others, find it in the variables that
// each function gets. A program that uses no proxy gets past it, with made-up credentials.
type outbound struct {
	address string
	secret  string // keeps out whoever is not a function
	direct  string // the hosts that are called without the proxy, as NO_PROXY has them
	advice  string
	report  func(format string, args ...any)

	server    *http.Server
	transport *http.Transport
	forward   *httputil.ReverseProxy // of calls without TLS
	ctx       context.Context        // ends with the proxy
	stop      context.CancelFunc

	reported sync.Map   // the refusals and failures
	mu       sync.Mutex // no call begins once close holds it
	calls    sync.WaitGroup
}

// openOutbound starts the proxy of the template's functions.
func openOutbound(ctx context.Context, c Config, t *template.Template, report func(string, ...any)) (*outbound, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open a proxy for the functions' calls: %w", err)
	}
	o := &outbound{
		address: listener.Addr().String(), secret: rand.Text(), direct: strings.Join(c.direct(t), ","),
		advice: "Name an endpoint that stands in for AWS, or let functions call AWS: --aws-credentials, Config.AllowAWS.",
		report: report,
	}
	if c.Endpoint != "" {
		o.advice = "Point its client to AWS_ENDPOINT_URL (version 1 of the SDK ignores that variable: set aws.Config.Endpoint from it), " +
			"or let functions call AWS: --aws-credentials, Config.AllowAWS."
	}
	// Functions call others until they have ended, which is later than ctx.
	o.ctx, o.stop = context.WithCancel(context.WithoutCancel(ctx))
	o.transport = &http.Transport{DialContext: dialOutside, DisableCompression: true}
	errorLog := slog.NewLogLogger(c.Logger.Handler(), slog.LevelDebug)
	o.forward = &httputil.ReverseProxy{
		Rewrite: asItCame, Transport: o.transport, FlushInterval: -1, ErrorLog: errorLog,
		ErrorHandler: o.failed,
	}
	o.server = &http.Server{
		Handler: o, ReadHeaderTimeout: time.Minute, ErrorLog: errorLog,
		BaseContext: func(net.Listener) context.Context { return o.ctx },
	}
	go func() { _ = o.server.Serve(listener) }() // until close
	return o, nil
}

// direct returns the hosts that functions call without the proxy: this machine, the
// endpoint, and the issuers whose tokens are required, since a function may verify them too.
func (c Config) direct(t *template.Template) []string {
	hosts := []string{"localhost", "127.0.0.1", "::1"}
	urls := []string{c.Endpoint}
	if c.Tokens != nil {
		urls = append(urls, c.Tokens.Issuer)
		for _, api := range t.APIs {
			for _, r := range api.Routes {
				if r.Authorizer != nil && !c.Tokens.StandIn {
					urls = append(urls, r.Authorizer.Issuer)
				}
			}
		}
	}
	for _, text := range urls {
		u, err := url.Parse(text)
		if err == nil && u.Hostname() != "" && !slices.Contains(hosts, u.Hostname()) {
			hosts = append(hosts, u.Hostname())
		}
	}
	return hosts
}

// variables returns the environment variables by which a function's clients find the
// proxy; some know the one spelling, some the other.
func (o *outbound) variables(f template.Function) map[string]string {
	proxy := url.URL{Scheme: "http", Host: o.address, User: url.UserPassword(f.LogicalID, o.secret)}
	all := make(map[string]string)
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY"} {
		all[name], all[strings.ToLower(name)] = proxy.String(), proxy.String()
	}
	all["NO_PROXY"], all["no_proxy"] = o.direct, o.direct
	return all
}

// hasProxy reports whether the template names a proxy for a function's calls.
func hasProxy(f template.Function) bool {
	return slices.ContainsFunc([]string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"}, func(name string) bool {
		return f.Environment[name] != ""
	})
}

// close ends all calls under way, and returns when nothing is left of them.
func (o *outbound) close() error {
	o.mu.Lock()
	o.stop()
	o.mu.Unlock()
	err := o.server.Close()
	o.calls.Wait()
	o.transport.CloseIdleConnections()
	return err
}

// begin counts a call that begins, unless the proxy has ended.
func (o *outbound) begin() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.ctx.Err() != nil {
		return false
	}
	o.calls.Add(1)
	return true
}

// ServeHTTP implements [http.Handler].
func (o *outbound) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !o.begin() {
		return
	}
	defer o.calls.Done()
	function, secret := caller(r)
	r = r.WithContext(context.WithValue(r.Context(), functionKey{}, function))
	switch {
	case subtle.ConstantTimeCompare([]byte(secret), []byte(o.secret)) == 0:
		w.Header().Set("Proxy-Authenticate", `Basic realm="paylane"`)
		http.Error(w, "This proxy serves the functions that paylane runs.", http.StatusProxyAuthRequired)
	case r.Method == http.MethodConnect:
		o.tunnel(w, r)
	case r.URL.Host == "":
		http.Error(w, "This is a proxy: the request needs a whole URL (RFC 9112, section 3.2.2).", http.StatusBadRequest)
	default:
		o.forward.ServeHTTP(w, r)
	}
}

// functionKey is the context key of the function that calls.
type functionKey struct{}

// caller returns the function that a request is from, and what proves it.
func caller(r *http.Request) (function, secret string) {
	authorization := http.Request{Header: http.Header{"Authorization": r.Header["Proxy-Authorization"]}}
	function, secret, _ = authorization.BasicAuth()
	return function, secret
}

// asItCame undoes what [httputil.ReverseProxy] does to a request on behalf of the servers
// that it is made for.
func asItCame(r *httputil.ProxyRequest) {
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	for _, name := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, ok := r.In.Header[name]; ok {
			r.Out.Header[name] = values
		}
	}
}

// tunnel serves CONNECT (RFC 9110, section 9.3.6).
func (o *outbound) tunnel(w http.ResponseWriter, r *http.Request) {
	client, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return // the caller has left
	}
	defer func() { _ = client.Close() }()
	server, err := dialOutside(r.Context(), "tcp", r.URL.Host)
	if err != nil {
		// The text of the status line is what Go's clients return as the error.
		status, text := o.failure(r.Context(), err)
		_, _ = fmt.Fprintf(client, "HTTP/1.1 %d %s\r\nContent-Length: 0\r\n\r\n", status, strings.ReplaceAll(text, "\n", " "))
		return
	}
	defer func() { _ = server.Close() }()
	end := func() { _, _ = client.Close(), server.Close() }
	defer context.AfterFunc(o.ctx, end)() //nolint:contextcheck // the request's ends when one side of the tunnel does
	if _, err := io.WriteString(client, "HTTP/1.1 200 Connection established\r\n\r\n"); err != nil {
		return
	}
	var group sync.WaitGroup
	group.Go(func() { pass(server, buffered, end) })
	pass(client, server, end)
	group.Wait()
}

// pass passes on what comes from one side of a tunnel, and then its end. A failure ends
// the tunnel.
func pass(to net.Conn, from io.Reader, end func()) {
	_, err := io.Copy(to, from)
	if tcp, ok := to.(*net.TCPConn); err == nil && ok {
		err = tcp.CloseWrite()
	}
	if err != nil {
		end()
	}
}

// failed ends a call without TLS that came to nothing. A refusal is an answer, which says
// why. Otherwise the caller's client is to return an error, as it does without the proxy:
// the reason, which it can't be told, is reported.
func (o *outbound) failed(w http.ResponseWriter, r *http.Request, err error) {
	status, text := o.failure(r.Context(), err)
	if status == http.StatusForbidden {
		http.Error(w, text, status)
		return
	}
	if r.Context().Err() == nil { // neither the caller nor the proxy has ended
		function, _ := r.Context().Value(functionKey{}).(string)
		// The error may name a port that is another each time.
		what := fmt.Sprintf("%s could not call %s", function, r.URL.Host)
		o.reportOnce(what, what+": "+text)
	}
	panic(http.ErrAbortHandler)
}

// failure returns the answer to a call that came to nothing. A refusal is reported as
// well, once for each function and host.
func (o *outbound) failure(ctx context.Context, err error) (status int, text string) {
	var aws awsError
	if !errors.As(err, &aws) {
		return http.StatusBadGateway, err.Error()
	}
	function, _ := ctx.Value(functionKey{}).(string)
	text = fmt.Sprintf("%s was kept from calling AWS at %s. %s", function, string(aws), o.advice)
	o.reportOnce(text, text)
	return http.StatusForbidden, text
}

// reportOnce reports something that has a key, unless it has been reported.
func (o *outbound) reportOnce(key, text string) {
	if _, reported := o.reported.LoadOrStore(key, true); !reported {
		o.report("%s", text)
	}
}

// awsError is a host of AWS's, which is not called.
type awsError string

func (e awsError) Error() string { return string(e) + " is AWS" }

// dialOutside connects to a host that is not AWS's. What a name leads to is known only when
// it is dialled.
func dialOutside(ctx context.Context, network, address string) (net.Conn, error) {
	if host := hostname(address); isAWS(host) {
		return nil, awsError(host)
	}
	dialer := net.Dialer{Timeout: 30 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		ip, err := netip.ParseAddrPort(address)
		if err == nil && isLinkLocal(ip.Addr()) {
			return awsError(ip.Addr().String())
		}
		return err
	}}
	return dialer.DialContext(ctx, network, address)
}

// awsDomains are the domains of AWS's services in all partitions: the DNS suffixes of the
// SDK's endpoints (partitions.json), and those of function URLs, Cognito's user pools and the
// console.
var awsDomains = []string{ //nolint:gochecknoglobals // a table, never written
	"amazonaws.com", "api.aws", "on.aws", "aws.amazon.com", "amazoncognito.com",
	"amazonaws.com.cn", "amazonwebservices.com.cn",
	"amazonaws.eu", "amazonwebservices.eu",
	"c2s.ic.gov", "aws.ic.gov", "csp.hci.ic.gov", "aws.hci.ic.gov",
	"sc2s.sgov.gov", "aws.scloud",
	"cloud.adc-e.uk", "cloud-aws.adc-e.uk",
}

// isAWS reports whether a host, as [hostname] returns it, has a name of AWS's.
func isAWS(host string) bool {
	return slices.ContainsFunc(awsDomains, func(domain string) bool {
		return host == domain || strings.HasSuffix(host, "."+domain)
	})
}

// isLinkLocal reports whether an address is where AWS's machines find their metadata and
// credentials: 169.254.169.254, 169.254.170.2 and the like, or fd00:ec2::254 ("Use the
// Instance Metadata Service", Amazon EC2 User Guide).
func isLinkLocal(ip netip.Addr) bool {
	return ip.IsLinkLocalUnicast() || netip.MustParsePrefix("fd00:ec2::/32").Contains(ip.WithZone(""))
}
