package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"paylane/shared/emulator/template"
)

// access says who may call the HTTP API.
type access struct {
	// Tokens asks for access tokens, as -auth jwt does; otherwise anybody may call.
	Tokens bool
	// Issuer is who makes them; empty is the runner's own, a [devIssuer].
	Issuer string
	// Client fetches the issuer's keys for what runs in this process; nil is
	// http.DefaultClient.
	Client *http.Client
	// Audience are those whom they may be meant for, parted by commas.
	Audience string
	// TenantClaim is the claim that names the tenant; empty leaves it to the template.
	TenantClaim string
}

// mode takes the value of -auth.
func (a *access) mode(text string) error {
	if text != "none" && text != "jwt" {
		return errors.New("it is none or jwt")
	}
	a.Tokens = text == "jwt"
	return nil
}

// check refuses what does not go together, and an address that others could reach
// where nobody is asked who they are.
func (a access) check(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("-addr %q is not host:port: %w", addr, err)
	}
	switch ip := net.ParseIP(host); {
	case !a.Tokens && a != access{}:
		return errors.New("-issuer, -audience and -tenant-claim are about access tokens: give -auth jwt, too")
	case !a.Tokens && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return fmt.Errorf("-addr %s: only a loopback address, as 127.0.0.1:3000, is served without authentication; see -auth", addr)
	case (a.Issuer == "") != (len(a.audience()) == 0):
		return errors.New("-issuer and -audience go together; without both, -auth jwt has an issuer of its own")
	case a.Issuer == "":
		return nil
	}
	u, err := url.Parse(a.Issuer)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		return fmt.Errorf("-issuer %q is no URL such as https://issuer.example/pool", a.Issuer)
	}
	return nil
}

// checkParameters refuses values of the template's parameters that are not for -parameter
// to give: functions and gateway would not agree on who may call.
func (a access) checkParameters(given map[string]string) error {
	for _, name := range []string{"AuthMode", "Issuer", "Audience", "TenantClaim"} {
		if _, ok := given[name]; ok && a.Tokens {
			return fmt.Errorf("-parameter %s: -auth jwt sets it itself: use -issuer, -audience, -tenant-claim", name)
		}
	}
	if mode := given["AuthMode"]; !a.Tokens && (mode == "cognito" || mode == "oidc") {
		return fmt.Errorf("-parameter AuthMode=%s: use -auth jwt instead", mode)
	}
	return nil
}

// audience is the list.
func (a access) audience() []string { return list(a.Audience) }

// list is what commas part, without blanks around.
func list(text string) []string {
	all := strings.Split(text, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return slices.DeleteFunc(all, func(one string) bool { return one == "" })
}

// parameters are those of paylane's own template that are about access; another may
// have them, too.
func (a access) parameters() map[string]string {
	if !a.Tokens {
		// Nobody is asked to log in, so the api function must not look for who did.
		return map[string]string{"AuthMode": "none"}
	}
	p := map[string]string{"AuthMode": "oidc", "Issuer": a.Issuer, "Audience": a.Audience}
	if a.TenantClaim != "" {
		p["TenantClaim"] = a.TenantClaim
	}
	return p
}

// apply makes the template's authorizers accept the tokens.
func (a access) apply(api template.HTTPAPI) {
	for _, r := range api.Routes {
		if r.Authorizer != nil && a.Tokens {
			r.Authorizer.Issuer, r.Authorizer.Audience = a.Issuer, a.audience()
		}
	}
}
