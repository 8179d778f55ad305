package apigateway_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"paylane/shared/emulator/apigateway"
)

func TestRoutes(t *testing.T) {
	rows := []struct {
		name   string
		routes string // keys, by commas
		asked  string
		want   string // the key and its parameters; empty is 404
	}{
		{"literal before variable", "GET /a/{x},GET /a/b", "GET /a/b", "GET /a/b"},
		{"variable", "GET /a/{x},GET /a/b", "GET /a/c", "GET /a/{x} x=c"},
		{"literal of ANY before variable of the method", "GET /a/{x},ANY /a/b", "GET /a/b", "ANY /a/b"},
		{"method before ANY", "ANY /a,GET /a", "GET /a", "GET /a"},
		{"ANY for the other methods", "ANY /a,GET /a", "PUT /a", "ANY /a"},
		{"earlier literals count more", "GET /{x}/b,GET /a/{y}", "GET /a/b", "GET /a/{y} y=b"},
		{"backs out of a literal that leads nowhere", "GET /a/b/c,GET /{x}/b/d", "GET /a/b/d", "GET /{x}/b/d x=a"},
		{"no greedy before greedy with more literals", "GET /a/{x}/{y},GET /a/b/{p+}", "GET /a/b/c", "GET /a/{x}/{y} x=b y=c"},
		{"longest literal beginning of greedy ones", "ANY /{p+},ANY /a/{p+},ANY /a/b/{p+}", "GET /a/b/c/d", "ANY /a/b/{p+} p=c/d"},
		{"greedy behind a variable", "ANY /{p+},ANY /{x}/b/{p+}", "GET /a/b/c/d", "ANY /{x}/b/{p+} x=a p=c/d"},
		{"greedy of ANY for another method's path", "GET /a,ANY /{p+}", "POST /a", "ANY /{p+} p=a"},
		{"default for another method's path", "GET /a,$default", "POST /a", "$default"},
		{"never 405", "GET /a", "POST /a", ""},
		{"case matters", "GET /a", "GET /A", ""},
		{"greedy needs a segment", "ANY /pets/{p+}", "GET /pets", ""},
		{"greedy matches what follows the slash, even nothing", "ANY /pets/{p+}", "GET /pets/", "ANY /pets/{p+} p="},
		{"root and greedy", "ANY /{p+}", "GET /", "ANY /{p+} p="},
		{"root before greedy", "ANY /{p+},GET /", "GET /", "GET /"},
		{"a slash at the end is a segment", "GET /a,$default", "GET /a/", "$default"},
		{"a slash at the end of a route is ignored", "GET /a/", "GET /a", "GET /a"},
		{"two variables", "GET /{a}/{b}", "GET /1/2", "GET /{a}/{b} a=1 b=2"},
		{"too short", "GET /{a}/{b}", "GET /1", ""},
		{"too long", "GET /{a}/{b}", "GET /1/2/3", ""},
		{"names differ by method", "GET /{a},POST /{b}", "POST /1", "POST /{b} b=1"},
		{"default alone", "$default", "DELETE /x/y", "$default"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			diff(t, row.asked, row.want, chosen(t, strings.Split(row.routes, ","), row.asked))
		})
	}
}

// chosen sends a request to an API with these routes, and returns the key and parameters
// of the route that matched.
func chosen(t tb, keys []string, asked string) string {
	var a api
	for _, key := range keys {
		if key == "$default" {
			a.routes = append(a.routes, "")
			continue
		}
		method, p, _ := strings.Cut(key, " ")
		a.routes = append(a.routes, path(method, p))
	}
	g, _ := a.gateway(t, modes[0], echo, apigateway.Options{})
	method, target, _ := strings.Cut(asked, " ")
	got := record(g, method, target)
	if got.status == 404 {
		return ""
	}
	e := eventOf(t, got)
	text := e.RouteKey
	for segment := range strings.SplitSeq(e.RouteKey, "/") {
		if name, ok := strings.CutPrefix(segment, "{"); ok {
			name = strings.TrimRight(name, "+}")
			text += " " + name + "=" + e.PathParameters[name]
		}
	}
	return text
}

// The tree agrees with the rules, stated as a comparison of all routes that match.
func TestRoutesAgreeWithRules(t *testing.T) {
	segment := rapid.SampledFrom([]string{"a", "b", "{x}", "{y}"})
	rapid.Check(t, func(t *rapid.T) {
		var keys []string
		seen := map[string]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "routes") {
			parts := rapid.SliceOfNDistinct(segment, 1, 3, rapid.ID).Draw(t, "path")
			if rapid.Bool().Draw(t, "greedy") {
				parts = append(parts, "{p+}")
			}
			key := rapid.SampledFrom([]string{"GET", "ANY"}).Draw(t, "method") + " /" + strings.Join(parts, "/")
			if !seen[rename(key)] {
				seen[rename(key)] = true
				keys = append(keys, key)
			}
		}
		asked := rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c"}), 1, 4).Draw(t, "asked")
		method := rapid.SampledFrom([]string{"GET", "PUT"}).Draw(t, "method asked")
		want := byRules(keys, method, asked)
		got, _, _ := strings.Cut(chosen(t, keys, method+" /"+strings.Join(asked, "/")), " x=")
		got, _, _ = strings.Cut(got, " y=")
		got, _, _ = strings.Cut(got, " p=")
		// Paths that differ only in the names of their variables are the same.
		if rename(got) != rename(want) {
			t.Fatalf("%s %v among %q: got %q, want %q", method, asked, keys, got, want)
		}
	})
}

func rename(key string) string { return strings.ReplaceAll(key, "{y}", "{x}") }

// byRules returns the best route by comparing all that match.
func byRules(keys []string, method string, asked []string) string {
	best, bestRank := "", ""
	for _, key := range keys {
		routeMethod, path, _ := strings.Cut(key, " ")
		if routeMethod != "ANY" && routeMethod != method {
			continue
		}
		rank, ok := rankOf(strings.Split(path[1:], "/"), asked)
		if routeMethod == "ANY" {
			rank += "z"
		}
		if ok && (best == "" || rank < bestRank) {
			best, bestRank = key, rank
		}
	}
	return best
}

// rankOf returns a string by which better matches sort first: full matches, then, segment
// by segment, literals before variables before greedy variables.
func rankOf(route, asked []string) (string, bool) {
	rank := "0"
	if route[len(route)-1] == "{p+}" {
		rank = "1"
	}
	for i, segment := range route {
		switch {
		case segment == "{p+}":
			return rank + "c", i < len(asked)
		case i >= len(asked):
			return "", false
		case segment == asked[i]:
			rank += "a"
		case strings.HasPrefix(segment, "{"):
			rank += "b"
		default:
			return "", false
		}
	}
	return rank, len(route) == len(asked)
}
