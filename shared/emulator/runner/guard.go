package runner

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"paylane/shared/emulator/internal/payload"
	"paylane/shared/emulator/template"
)

// guardHost serves only requests whose Host is a loopback name or address, or the host of
// Addr, unless tokens are required. A page whose own name was rebound to this machine has
// the same origin as the application in the browser's eyes, but that name is in its Host.
func (c Config) guardHost(next http.Handler) http.Handler {
	if c.Tokens != nil {
		return next
	}
	own := hostname(c.Addr)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if host := hostname(r.Host); host != own && !isLoopback(host) {
			http.Error(w, fmt.Sprintf("Without access tokens, requests are served for this machine only, and not for the host %q.\n"+
				"Use http://%s, or require access tokens: then any host will do.", r.Host, c.Addr), http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// hostname returns the host of host:port in lower case, without the brackets of an IPv6
// address and the dot after a complete name.
func hostname(hostPort string) string {
	u := url.URL{Host: hostPort}
	return strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
}

func isLoopback(host string) bool {
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

// guardOrigin serves pages of the same origin and of those in the CORS settings, unless
// tokens are required, and everything that is not a browser. CORS itself only keeps a page
// from reading the response: a form is submitted without a preflight. In contrast to
// [http.CrossOriginProtection] it refuses GET too.
func (c Config) guardOrigin(settings *template.CORS, next http.Handler) http.Handler {
	if c.Tokens != nil {
		return next
	}
	cors := payload.NewCORS(settings)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if origin, ok := foreignOrigin(cors, r); ok {
			http.Error(w, fmt.Sprintf("Without access tokens, pages of another origin are refused, and this request is from %s.\n"+
				"Allow the origin in the template's CORS settings (paylane's parameter AllowedOrigins), or require access tokens.", origin), http.StatusForbidden)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// foreignOrigin returns where a request is from that a page of another origin makes without
// being allowed to.
func foreignOrigin(cors *payload.CORS, r *http.Request) (origin string, ok bool) {
	origins := r.Header["Origin"]
	for _, origin := range origins {
		if origin != "http://"+r.Host && !cors.Allows(origin) {
			return fmt.Sprintf("%q", origin), true
		}
	}
	// Browsers send no Origin with the GET of an image or a script. Links may lead here.
	site := r.Header.Get("Sec-Fetch-Site")
	embedded := (site == "cross-site" || site == "same-site") && r.Header.Get("Sec-Fetch-Mode") != "navigate"
	return "another site", len(origins) == 0 && embedded
}
