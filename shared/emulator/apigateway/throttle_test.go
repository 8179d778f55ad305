package apigateway_test

import (
	"context"
	"math"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pgregory.net/rapid"

	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/emulator/apigateway"
)

const tooMany = `{"message":"Too Many Requests"}`

// clock is a clock that a test sets.
type clock struct{ now time.Time }

func newClock() *clock { return &clock{noon()} }

func (c *clock) Now() time.Time { return c.now }

// counting answers 200, and counts how often.
func counting(n *atomic.Int64) any {
	return func(context.Context, request) (response, error) {
		n.Add(1)
		return response{StatusCode: 200}, nil
	}
}

// limits are the default settings of an API's routes.
func limits(rate, burst string) string {
	return "DefaultRouteSettings: {ThrottlingRateLimit: " + rate + ", ThrottlingBurstLimit: " + burst + "}"
}

// through sends requests and counts those that are not throttled.
func through(t *testing.T, g http.Handler, n int, target string) int {
	t.Helper()
	passed := 0
	for range n {
		switch got := record(g, "GET", target); got.status {
		case 200:
			passed++
		case 429:
		default:
			t.Fatalf("status %d: %s", got.status, got.body)
		}
	}
	return passed
}

// A burst passes at once, then the rate.
func TestThrottle(t *testing.T) {
	c, invoked := newClock(), new(atomic.Int64)
	g, _ := api{routes: []string{path("GET", "/x")}, properties: limits("2", "5")}.
		gateway(t, modes[0], counting(invoked), apigateway.Options{Now: c.Now})
	steps := []struct {
		name  string
		after time.Duration
		want  int
	}{
		{"the burst at once", 0, 5},
		{"nothing at the same time", 0, 0},
		{"half a second fills one", 500 * time.Millisecond, 1},
		{"a quarter fills none", 250 * time.Millisecond, 0},
		{"but is not forgotten", 250 * time.Millisecond, 1},
		{"a second fills the rate", time.Second, 2},
		{"a clock set back fills nothing", -time.Hour, 0},
		{"nor does the time until it is back", time.Hour, 0},
		{"an hour fills no more than the burst", time.Hour, 5},
	}
	total := int64(0)
	for _, step := range steps {
		c.now = c.now.Add(step.after)
		diff(t, step.name, step.want, through(t, g, 20, "/x"))
		total += int64(step.want)
	}
	diff(t, "the function ran", total, invoked.Load())
}

func TestThrottledAnswer(t *testing.T) {
	c, invoked := newClock(), new(atomic.Int64)
	a := api{routes: []string{path("GET", "/x")}, properties: "CorsConfiguration: true, " + limits("1", "1")}
	g, _ := a.gateway(t, modes[0], counting(invoked), apigateway.Options{Now: c.Now})
	diff(t, "the first", 200, record(g, "GET", "/x").status)
	got := record(g, "GET", "/x", "Origin", "https://a.test")
	diff(t, "the second", []any{429, tooMany, "application/json", "*"},
		[]any{got.status, got.body, got.header.Get("Content-Type"), got.header.Get("Access-Control-Allow-Origin")})
	if got.header.Get("Apigw-Requestid") == "" {
		t.Error("it has no request id")
	}
	diff(t, "the function ran", int64(1), invoked.Load())
}

// Each route has its own bucket.
func TestThrottleByRoute(t *testing.T) {
	c := newClock()
	a := api{
		routes: []string{path("GET", "/a"), path("GET", "/b"), path("GET", "/c"), path("GET", "/d/{id}") +
			", RouteSettings: {ThrottlingBurstLimit: 3}"},
		properties: limits("1", "1") + ", RouteSettings: {GET /c: {ThrottlingBurstLimit: 2}}",
	}
	g, _ := a.gateway(t, modes[0], echo, apigateway.Options{Now: c.Now})
	diff(t, "of the stage's limit", 1, through(t, g, 5, "/a"))
	diff(t, "another route's part", 1, through(t, g, 5, "/b"))
	diff(t, "of a route with settings", 2, through(t, g, 5, "/c"))
	diff(t, "of a route whose event has them", 3, through(t, g, 5, "/d/1"))
	diff(t, "of the same route by another path", 0, through(t, g, 5, "/d/2"))
	diff(t, "no route", 404, record(g, "GET", "/nowhere").status)
}

func TestThrottleOfNothing(t *testing.T) {
	rows := []struct {
		name, properties string
		want             int
	}{
		{"no limit", "", 100},
		{"rate and burst 0", limits("0", "0"), 0},
		{"burst 0", limits("5", "0"), 0},
		{"rate 0", limits("0", "5"), 0},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			c := newClock()
			g, _ := api{routes: []string{""}, properties: row.properties}.gateway(t, modes[0], echo, apigateway.Options{Now: c.Now})
			c.now = c.now.Add(time.Hour)
			diff(t, "passed", row.want, through(t, g, 100, "/"))
		})
	}
}

// A caller who is refused has taken a token from the bucket, and once it is empty the
// authorizer no longer refuses anybody. Preflights count where the authorizer checks them.
func TestThrottleBeforeAuthorizer(t *testing.T) {
	a := api{routes: []string{path("ANY", "/x"), path("GET", "/y")}, properties: withTokens + ", CorsConfiguration: true, " + limits("1", "2")}
	o := guarded(t, a, tokentest.New(t, issuerURL))
	o.Now = newClock().Now
	g, _ := a.gateway(t, modes[0], echo, o)
	preflight := []string{"Origin", "https://a.test", "Access-Control-Request-Method", "GET"}
	diff(t, "1st", 401, record(g, "GET", "/x").status)
	diff(t, "2nd, a preflight", 401, record(g, "OPTIONS", "/x", preflight...).status)
	diff(t, "3rd", 429, record(g, "GET", "/x").status)
	diff(t, "4th, a preflight", 429, record(g, "OPTIONS", "/x", preflight...).status)
	for range 5 {
		diff(t, "a preflight without a route", 204, record(g, "OPTIONS", "/y", preflight...).status)
	}
}

// Concurrent requests get the bucket's tokens and no more, however their goroutines are
// scheduled.
func TestThrottleConcurrently(t *testing.T) {
	const rate, burst, step = 1000, 50, 10 * time.Microsecond
	start := noon()
	var ticks, invoked atomic.Int64
	now := func() time.Time { return start.Add(time.Duration(ticks.Add(1)) * step) }
	g, _ := api{routes: []string{""}, properties: limits("1000", "50")}.gateway(t, modes[0], counting(&invoked), apigateway.Options{Now: now})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 2000 {
				record(g, "GET", "/")
			}
		})
	}
	clients.Wait()
	most := burst + rate*(time.Duration(ticks.Load())*step).Seconds()
	if got := float64(invoked.Load()); got > most || got < most-2 {
		t.Errorf("%v requests passed, want at most %v and at least 2 fewer", got, most)
	}
}

// TestThrottleModel: for any limits and any arrivals, a request passes exactly when the
// bucket of the definition has a token.
func TestThrottleModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0.01, 5000).Draw(t, "rate")
		burst := rapid.IntRange(0, 40).Draw(t, "burst")
		c := newClock()
		a := api{routes: []string{""}, properties: limits(strconv.FormatFloat(rate, 'f', -1, 64), itoa(burst))}
		g, _ := a.gateway(t, modes[0], echo, apigateway.Options{Now: c.Now})
		tokens := float64(burst)
		for range rapid.IntRange(1, 60).Draw(t, "requests") {
			wait := time.Duration(rapid.Int64Range(0, int64(time.Second)).Draw(t, "wait"))
			if rapid.Bool().Draw(t, "at once") {
				wait = 0
			}
			c.now = c.now.Add(wait)
			tokens = math.Min(float64(burst), tokens+rate*wait.Seconds())
			passed := record(g, "GET", "/").status == 200
			const rounding = 1e-6
			if passed != (tokens >= 1) && math.Abs(tokens-1) > rounding {
				t.Fatalf("passed: %v, with %v tokens", passed, tokens)
			}
			if passed {
				tokens--
			}
		}
	})
}
