package apigateway

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"paylane/shared/emulator/template"
)

// cors answers cross-origin requests for an API ("Configure CORS for HTTP APIs"). A
// nil one does nothing.
type cors struct {
	origins                            []string
	methods, headers, exposed, maximum string
	credentials                        bool
}

func newCORS(c *template.CORS) *cors {
	if c == nil {
		return nil
	}
	made := &cors{
		origins: c.AllowOrigins, credentials: c.AllowCredentials,
		methods: strings.Join(c.AllowMethods, ","), headers: strings.Join(c.AllowHeaders, ","),
		exposed: strings.Join(c.ExposeHeaders, ","),
	}
	if c.MaxAge != nil {
		made.maximum = strconv.Itoa(int(*c.MaxAge / time.Second))
	}
	return made
}

// isPreflight says whether the gateway answers the request itself.
func (c *cors) isPreflight(r *http.Request) bool {
	return c != nil && r.Method == http.MethodOptions &&
		r.Header.Get("Origin") != "" && r.Header.Get("Access-Control-Request-Method") != ""
}

// allow adds the headers that let a page of another origin read the response. A
// request without an origin, or from one that is not allowed, gets none.
func (c *cors) allow(h http.Header, r *http.Request, preflight bool) {
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

// allowedOrigin gives the value of Access-Control-Allow-Origin; empty is none.
func (c *cors) allowedOrigin(origin string) string {
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

// owns says whether a function's response header is dropped because the gateway
// answers cross-origin requests by its own settings.
func (c *cors) owns(lowerName string) bool {
	return c != nil && strings.HasPrefix(lowerName, "access-control-")
}
