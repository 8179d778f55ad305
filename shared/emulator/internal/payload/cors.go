package payload

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"paylane/shared/emulator/template"
)

// CORS answers cross-origin requests for an HTTP API ("Configure CORS for HTTP APIs") or
// a function URL, which behave alike. A nil CORS does nothing.
type CORS struct {
	origins                            []string
	methods, headers, exposed, maximum string
	credentials                        bool
}

// NewCORS returns the CORS for a template's settings, or nil for nil.
func NewCORS(c *template.CORS) *CORS {
	if c == nil {
		return nil
	}
	made := &CORS{
		origins: c.AllowOrigins, credentials: c.AllowCredentials,
		methods: strings.Join(c.AllowMethods, ","), headers: strings.Join(c.AllowHeaders, ","),
		exposed: strings.Join(c.ExposeHeaders, ","),
	}
	if c.MaxAge != nil {
		made.maximum = strconv.Itoa(int(*c.MaxAge / time.Second))
	}
	return made
}

// IsPreflight reports whether the request is answered without the function.
func (c *CORS) IsPreflight(r *http.Request) bool {
	return c != nil && r.Method == http.MethodOptions &&
		r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// Allow adds the headers that let a page of another origin read the response. It adds none
// for a request without an origin, or from one that is not allowed.
func (c *CORS) Allow(h http.Header, r *http.Request, preflight bool) {
	if c == nil {
		return
	}
	origin := r.Header.Get("Origin")
	allowed := c.allowedOrigin(origin)
	if origin == "" || allowed == "" {
		return
	}
	set := func(name, value string) {
		if value != "" {
			h.Set(name, value)
		}
	}
	h.Set("Access-Control-Allow-Origin", allowed)
	if c.credentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	if preflight {
		set("Access-Control-Allow-Methods", c.methods)
		set("Access-Control-Allow-Headers", c.headers)
		set("Access-Control-Max-Age", c.maximum)
		return
	}
	set("Access-Control-Expose-Headers", c.exposed)
}

// Allows reports whether pages of the origin may read responses.
func (c *CORS) Allows(origin string) bool {
	return c != nil && c.allowedOrigin(origin) != ""
}

// allowedOrigin returns the value of Access-Control-Allow-Origin; empty if the origin is
// not allowed.
func (c *CORS) allowedOrigin(origin string) string {
	switch {
	case slices.Contains(c.origins, "*"):
		return "*"
	case slices.Contains(c.origins, origin),
		strings.HasPrefix(origin, "http://") && slices.Contains(c.origins, "http://*"),
		strings.HasPrefix(origin, "https://") && slices.Contains(c.origins, "https://*"):
		return origin
	}
	return ""
}

// Owns reports whether a function's response header is dropped because these settings
// answer cross-origin requests.
func (c *CORS) Owns(lowerName string) bool {
	return c != nil && strings.HasPrefix(lowerName, "access-control-")
}
