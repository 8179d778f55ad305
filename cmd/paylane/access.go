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

// access is who may call the HTTP API.
type access struct {
	// Tokens requires access tokens, as --auth jwt does. Otherwise anyone may call.
	Tokens bool
	// Issuer is the URL of the tokens' issuer; empty is the runner's own, a [devIssuer].
	Issuer string
	// Client fetches the issuer's keys for what runs in this process; nil is
	// http.DefaultClient.
	Client *http.Client
	// Audience lists the accepted audiences, separated by commas.
	Audience string
	// TenantClaim is the claim that names the tenant; empty leaves it to the template.
	TenantClaim string
	// ConsoleClient is the console's client id at the issuer; empty closes the console while
	// Tokens are required.
	ConsoleClient string
	// Claims are those of the caller that functions see behind an authorizer while anyone
	// may call.
	Claims claims
}

// mode takes the value of --auth.
func (a *access) mode(text string) error {
	if text != "none" && text != "jwt" {
		return errors.New("it must be none or jwt")
	}
	a.Tokens = text == "jwt"
	return nil
}

// check refuses flags that do not go together, and an address that other machines could
// reach without authentication.
func (a access) check(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("--addr %q is not host:port: %w", addr, err)
	}
	switch ip := net.ParseIP(host); {
	case !a.Tokens && (a.Issuer != "" || a.Audience != "" || a.TenantClaim != "" || a.ConsoleClient != ""):
		return errors.New("--issuer, --audience, --tenant-claim and --console-client are about access tokens: add --auth jwt")
	case a.Tokens && a.Claims != nil:
		return errors.New("--claim is for callers without access tokens; \"paylane token --claim\" makes tokens with claims")
	case !a.Tokens && host != "localhost" && (ip == nil || !ip.IsLoopback()):
		return fmt.Errorf("--addr %s: without --auth jwt, only a loopback address such as 127.0.0.1:3000 is allowed", addr)
	case (a.Issuer == "") != (len(a.audience()) == 0):
		return errors.New("--issuer and --audience go together; without both, --auth jwt has an issuer of its own")
	case a.Issuer == "" && a.ConsoleClient != "":
		return errors.New("--console-client goes with --issuer; the issuer of --auth jwt alone knows the console")
	case a.Issuer == "":
		return nil
	}
	if !isURL(a.Issuer) {
		return fmt.Errorf("--issuer %q is not a URL such as https://issuer.example/pool", a.Issuer)
	}
	return nil
}

// checkParameters refuses values of parameters that --auth fills in, by what it fills them
// with: the functions and the HTTP API must agree on who may call.
func (a access) checkParameters(given, filled map[string]string) error {
	for role, name := range filled {
		value, ok := given[name]
		switch {
		case !ok:
		case a.Tokens:
			return fmt.Errorf("--parameter %s: --auth jwt sets it: use --issuer, --audience, --tenant-claim and --console-client", name)
		case role == template.RoleAuthMode && value != "none":
			return fmt.Errorf("--parameter %s=%s: use --auth jwt instead", name, value)
		}
	}
	if _, ok := filled[template.RoleTenantClaim]; !ok && a.TenantClaim != "" {
		return errors.New("--tenant-claim: the template has no parameter for it, which its Metadata would name (Paylane: {Parameters: {TenantClaim: …}})")
	}
	return nil
}

// isURL reports whether text is an HTTP URL without a query and a fragment.
func isURL(text string) bool {
	u, err := url.Parse(text)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.RawQuery == "" && u.Fragment == ""
}

func (a access) audience() []string { return splitList(a.Audience) }

// splitList splits text at commas and trims spaces.
func splitList(text string) []string {
	all := strings.Split(text, ",")
	for i := range all {
		all[i] = strings.TrimSpace(all[i])
	}
	return slices.DeleteFunc(all, func(one string) bool { return one == "" })
}

// parameters returns what the parameters about access are filled in with, by their roles.
func (a access) parameters() map[string]string {
	if !a.Tokens {
		// The api function must not expect the claims of a token.
		return map[string]string{template.RoleAuthMode: "none"}
	}
	p := map[string]string{template.RoleAuthMode: "oidc", template.RoleIssuer: a.Issuer, template.RoleAudience: a.Audience}
	if a.TenantClaim != "" {
		p[template.RoleTenantClaim] = a.TenantClaim
	}
	if a.ConsoleClient != "" {
		p[template.RoleConsoleClient] = a.ConsoleClient
	}
	return p
}
