package template

import (
	"regexp"
	"slices"
	"strings"
	"time"
)

func (r *reader) readHTTPAPI(res *resource) {
	p := r.propertiesOfResource(res)
	api := HTTPAPI{
		LogicalID:      res.id,
		ID:             r.fill("{api}", res, ""),
		AccountID:      r.options.AccountID,
		Stage:          p.text("StageName", DefaultStage),
		StageVariables: p.textMap("StageVariables"),
		CORS:           r.cors(p),
		Line:           res.at.line,
	}
	api.DomainName = r.apiDomain(api.ID)
	if p.get("Domain").get("MutualTlsAuthentication") != nil {
		p.problem("Domain", "MutualTlsAuthentication is not emulated")
	}
	// These three concern routes, which come with the functions.
	for _, key := range []string{"Auth", "DefaultRouteSettings", "RouteSettings"} {
		p.asked[key] = true
	}
	p.done()
	r.made.APIs = append(r.made.APIs, api)
}

// cors reads CorsConfiguration; true is SAM's short form for any origin.
func (r *reader) cors(p *properties) *CORS {
	value := p.get("CorsConfiguration")
	if value == nil || value.text == "false" {
		return nil
	}
	if value.text == "true" {
		return &CORS{AllowOrigins: []string{"*"}}
	}
	return readCORS(p.inner("CorsConfiguration", typeHTTPAPI+" CorsConfiguration"))
}

func readCORS(c *properties) *CORS {
	cors := &CORS{
		AllowOrigins:     c.texts("AllowOrigins"),
		AllowMethods:     c.texts("AllowMethods"),
		AllowHeaders:     c.texts("AllowHeaders"),
		ExposeHeaders:    c.texts("ExposeHeaders"),
		AllowCredentials: c.boolean("AllowCredentials", false),
	}
	if c.get("MaxAge") != nil {
		age := c.seconds("MaxAge", 0, -1, 86_400)
		cors.MaxAge = &age
	}
	if cors.AllowCredentials && slices.Contains(cors.AllowOrigins, "*") {
		c.problem("AllowCredentials", `it can't be true while AllowOrigins has "*"`)
	}
	c.done()
	return cors
}

// readRoute reads an HttpApi event of a function, and adds it to its API.
func (r *reader) readRoute(e entry, p *properties, f Function) {
	api, ok := r.apiOf(p)
	if !ok {
		return
	}
	route := Route{
		Function: f.LogicalID,
		Timeout:  time.Duration(p.integer("TimeoutInMillis", 30_000, 50, 30_000)) * time.Millisecond,
		Line:     e.at.line,
	}
	p.choice("PayloadFormatVersion", "2.0", "2.0")
	if !r.routeKey(&route, p) {
		return
	}
	same := func(other Route) bool {
		return anyNames.ReplaceAllString(other.Key, "{") == anyNames.ReplaceAllString(route.Key, "{")
	}
	if i := slices.IndexFunc(api.Routes, same); i >= 0 {
		p.problem("Path", "the API %s already has the route %s", api.LogicalID, quote(api.Routes[i].Key))
	}
	r.authorize(&route, p, r.resources[api.LogicalID])
	own := p.inner("RouteSettings", typeHTTPAPI+" RouteSettings")
	r.throttle(&route, own, r.resources[api.LogicalID])
	p.done()
	api.Routes = append(api.Routes, route)
}

// apiOf returns the API that an event belongs to: ApiId must refer to an API of the
// template.
func (r *reader) apiOf(p *properties) (*HTTPAPI, bool) {
	p.asked["ApiId"] = true
	id := implicitAPI
	if given := p.n.get("ApiId"); given != nil {
		name, argument, _ := given.intrinsic()
		switch {
		case name == "Ref" && argument.kind == scalar:
			id = argument.text
		case given.kind == scalar:
			id = given.text
		}
	}
	for i := range r.made.APIs {
		if r.made.APIs[i].LogicalID == id {
			return &r.made.APIs[i], true
		}
	}
	if res := r.resources[id]; res != nil && res.unusable {
		return nil, false
	}
	p.problem("ApiId", "it must be a Ref to an %s of this template that exists", typeHTTPAPI)
	return nil, false
}

// anyMethod is how OpenAPI documents of API Gateway spell ANY.
const anyMethod = "X-AMAZON-APIGATEWAY-ANY-METHOD"

// methods are those that a route can name.
//
//nolint:gochecknoglobals // a table, never written
var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", AnyMethod}

// pathSegment is a literal or a variable: {name}, or {name+} for the rest of the path.
var pathSegment = regexp.MustCompile(`^(?:\{[\w.:-]+\+?\}|[^{}]*)$`)

// anyNames matches the names of variables: two routes that differ only in these match the
// same requests.
var anyNames = regexp.MustCompile(`\{[^}+]*`)

// routeKey reads the event's Method and Path. Without either it is the default route.
func (r *reader) routeKey(route *Route, p *properties) bool {
	method, path := strings.ToUpper(p.text("Method", "")), p.text("Path", "")
	if p.invalid("Method") || p.invalid("Path") {
		return false
	}
	if method == anyMethod {
		method = AnyMethod
	}
	if (path == "" && method == "") || path == DefaultRoute {
		route.Key = DefaultRoute
		return true
	}
	switch {
	case method == "" || path == "":
		p.problem("Method", "an HttpApi event needs both a Path and a Method, or neither")
		return false
	case !slices.Contains(methods, method):
		p.problem("Method", "%s is not a method that a route can have", quote(method))
		return false
	case !strings.HasPrefix(path, "/"):
		p.problem("Path", "it must begin with a slash")
		return false
	}
	if path != "/" { // as API Gateway does, according to SAM's source (push.py)
		path = strings.TrimSuffix(path, "/")
	}
	segments := strings.Split(path[1:], "/")
	names := map[string]bool{}
	for i, segment := range segments {
		greedy := strings.HasSuffix(segment, "+}")
		variable := strings.HasPrefix(segment, "{")
		if !pathSegment.MatchString(segment) || (greedy && i < len(segments)-1) || (variable && names[segment]) {
			p.problem("Path", "%s is not allowed here in a path", quote(segment))
			return false
		}
		names[segment] = true
	}
	route.Method, route.Path, route.Key = method, path, method+" "+path
	return true
}

// throttle merges the limits of the stage, of the API for the route, and of the event,
// which takes precedence.
func (r *reader) throttle(route *Route, own *properties, api *resource) {
	const typ = typeHTTPAPI + " RouteSettings"
	p := r.propertiesOfResource(api)
	settings := []*properties{p.inner("DefaultRouteSettings", typ)}
	if byRoute := p.inner("RouteSettings", "RouteSettings"); byRoute.n != nil {
		for _, e := range byRoute.n.entries {
			if settingsKey(e.key) == route.Key {
				settings = append(settings, byRoute.inner(e.key, typ))
			}
		}
	}
	// API Gateway's account limits fill in what is not set.
	limit := Throttle{Rate: 10_000, Burst: 5_000}
	set := false
	for _, s := range append(settings, own) {
		set = set || s.get("ThrottlingRateLimit") != nil || s.get("ThrottlingBurstLimit") != nil
		limit.Rate = s.number("ThrottlingRateLimit", limit.Rate)
		limit.Burst = s.integer("ThrottlingBurstLimit", limit.Burst, 0, 1_000_000)
		s.done()
	}
	if set {
		route.Throttle = &limit
	}
}

// settingsKey returns the route key for a key of RouteSettings: SAM writes ANY as the bare
// path.
func settingsKey(key string) string {
	if strings.HasPrefix(key, "/") {
		return AnyMethod + " " + key
	}
	return key
}

// checkAPIs checks what depends on all routes.
func (r *reader) checkAPIs() {
	const maxRoutes = 300 // "Quotas for configuring and running an HTTP API"
	for _, api := range r.made.APIs {
		res := r.resources[api.LogicalID]
		if len(api.Routes) > maxRoutes {
			r.add(res.at, res.path, "it has %d routes; API Gateway accepts at most %d", len(api.Routes), maxRoutes)
		}
		p := r.propertiesOfResource(res)
		if len(api.Routes) == 0 {
			p.skip("it has no routes", "Auth", "DefaultRouteSettings")
		}
		byRoute := p.inner("RouteSettings", "RouteSettings")
		if byRoute.n == nil {
			continue
		}
		for _, e := range byRoute.n.entries {
			if byRoute.get(e.key) != nil && !slices.ContainsFunc(api.Routes, func(route Route) bool { return route.Key == settingsKey(e.key) }) {
				r.add(e.at, byRoute.path, "the API has no route %s", quote(e.key))
			}
		}
	}
}
