package apigateway

import (
	"strings"

	"paylane/shared/emulator"
	"paylane/shared/emulator/template"
)

// route is a route that the router can choose.
type route struct {
	template.Route
	invoker   emulator.Invoker
	bucket    *bucket  // nil without a limit
	variables []string // the names in its path, in order
	// identity is every caller's while the API is open.
	identity jwtContext
}

// router chooses routes ("Working with routes for HTTP APIs"): a path that matches in
// full before one with a greedy variable, and the default route last; within each,
// segment by segment, a literal before a variable; the method before ANY. It is a
// tree of the paths' segments; a look-up visits each node at most once.
type router struct {
	root     segment
	fallback *route // the default route
}

// segment is a node: what can follow, and the routes that end here.
type segment struct {
	literals map[string]*segment
	variable *segment
	exact    byMethod
	greedy   byMethod // routes that continue with {name+}
}

// byMethod are the routes of one path.
type byMethod map[string]*route

func (m byMethod) pick(method string) *route {
	if r := m[method]; r != nil {
		return r
	}
	return m[template.AnyMethod]
}

func (m *byMethod) add(r *route) {
	if *m == nil {
		*m = byMethod{}
	}
	(*m)[r.Method] = r
}

func (t *router) add(r *route) {
	if r.Key == template.DefaultRoute {
		t.fallback = r
		return
	}
	at := &t.root
	for part := range strings.SplitSeq(r.Path[1:], "/") {
		name, variable := strings.CutPrefix(part, "{")
		if !variable {
			at = at.literal(part)
			continue
		}
		name = strings.TrimSuffix(name, "}")
		name, greedy := strings.CutSuffix(name, "+")
		r.variables = append(r.variables, name)
		if greedy {
			at.greedy.add(r)
			return
		}
		if at.variable == nil {
			at.variable = &segment{}
		}
		at = at.variable
	}
	at.exact.add(r)
}

func (s *segment) literal(text string) *segment {
	if s.literals == nil {
		s.literals = map[string]*segment{}
	}
	if s.literals[text] == nil {
		s.literals[text] = &segment{}
	}
	return s.literals[text]
}

// find returns the route for a method and a decoded path, with the values of the path's
// variables. The route is nil if none matches.
func (t *router) find(method, path string) (*route, map[string]string) {
	if !strings.HasPrefix(path, "/") {
		return nil, nil
	}
	var space [8]string
	if r, values := t.root.exactly(method, path, space[:0]); r != nil {
		return r, r.parameters(values)
	}
	if r, values := t.root.greedily(method, path, space[:0]); r != nil {
		return r, r.parameters(values)
	}
	return t.fallback, nil
}

func (r *route) parameters(values []string) map[string]string {
	if len(r.variables) == 0 {
		return nil
	}
	parameters := make(map[string]string, len(r.variables))
	for i, name := range r.variables {
		parameters[name] = values[i]
	}
	return parameters
}

// cut takes the first segment off a path that begins with a slash.
func cut(path string) (first, rest string) {
	if i := strings.IndexByte(path[1:], '/'); i >= 0 {
		return path[1 : i+1], path[i+1:]
	}
	return path[1:], ""
}

// exactly matches the whole rest of the path, without greedy variables.
func (s *segment) exactly(method, path string, values []string) (*route, []string) {
	if path == "" {
		return s.exact.pick(method), values
	}
	first, rest := cut(path)
	if next := s.literals[first]; next != nil {
		if r, found := next.exactly(method, rest, values); r != nil {
			return r, found
		}
	}
	if s.variable != nil && (first != "" || emptySegmentMatches) {
		return s.variable.exactly(method, rest, append(values, first))
	}
	return nil, nil
}

// greedily matches the beginning of the path and leaves the rest to a greedy
// variable: the one behind the longest and most literal beginning.
func (s *segment) greedily(method, path string, values []string) (*route, []string) {
	if path == "" {
		return nil, nil
	}
	first, rest := cut(path)
	if next := s.literals[first]; next != nil {
		if r, found := next.greedily(method, rest, values); r != nil {
			return r, found
		}
	}
	if s.variable != nil && (first != "" || emptySegmentMatches) {
		if r, found := s.variable.greedily(method, rest, append(values, first)); r != nil {
			return r, found
		}
	}
	if path == "/" && !emptySegmentMatches {
		return nil, nil
	}
	return s.greedy.pick(method), append(values, path[1:])
}
