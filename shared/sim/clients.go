package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/order"
	"paylane/shared/sim/reference"
)

// action is one thing that a client does. What it does follows from the run's seed and its number
// alone, so that leaving out others, when a failing run is made smaller, changes it little.
type action struct {
	number int
	client int
	kind   string
	rng    *rand.Rand
}

// kinds are what clients do, and how often.
var kinds = []struct { //nolint:gochecknoglobals // never written
	name  string
	often int
}{
	{"create", 30}, {"create without key", 8}, {"get", 12}, {"wait", 6}, {"list", 5}, {"cancel", 9}, {"refund", 6},
	{"refund part", 8}, {"pay", 6}, {"retry", 5}, {"erase", 2}, {"look at another tenant's", 3},
}

// plan draws what the clients of a run do.
func plan(seed uint64, rng *rand.Rand, c Config) (clients int, actions []action) {
	clients = 2 + rng.IntN(4)
	sum := 0
	for _, k := range kinds {
		sum += k.often
	}
	for i := range 8 + rng.IntN(32) {
		n := rng.IntN(sum)
		a := action{number: i, client: rng.IntN(clients), rng: rand.New(rand.NewPCG(seed, uint64(1000+i)))}
		for _, k := range kinds {
			if n -= k.often; n < 0 {
				a.kind = k.name
				break
			}
		}
		if c.Calm && a.kind != "get" && a.kind != "wait" && a.kind != "list" {
			a.kind = "create"
		}
		if !c.Omit[i] {
			actions = append(actions, a)
		}
	}
	return clients, actions
}

// client is a caller of the API. Clients of one tenant share their idempotency keys.
type client struct {
	*world
	number int
	name   string
	tenant string
	done   bool
}

// act does what is planned for the client.
func (c *client) act(ctx context.Context, actions []action, spread time.Duration) {
	defer func() { c.done = true }()
	for _, a := range actions {
		c.await(ctx, "think", time.Duration(1+a.rng.Int64N(int64(spread))))
		c.do(ctx, a)
	}
}

// answer is what a client gets.
type answer struct {
	status int
	header map[string]string
	body   string
}

// tokens are what orders are paid with, and how often.
var tokens = []string{ //nolint:gochecknoglobals // never written
	"tok_ok", "tok_ok", "tok_ok", "tok_ok", "tok_declined", "tok_flaky_2", "tok_flaky_4", "tok_timeout_charged",
	"tok_timeout_not_charged", "tok_unknown_30", "tok_slow_7000", "tok_refund_declined", "tok_outage",
}

func (c *client) do(ctx context.Context, a action) {
	switch a.kind {
	case "create":
		key := fmt.Sprintf("k%d", a.rng.IntN(keys))
		variant := 0
		if a.rng.IntN(6) == 0 && !c.config.Calm {
			variant = 1
		}
		// A client that has no answer asks again, under the same key, or gives up.
		for range 1 + a.rng.IntN(4) {
			got := c.send(ctx, a, http.MethodPost, "/orders", c.body(key, variant), map[string]string{"idempotency-key": key})
			c.checks.created(c.tenant, key, variant, got)
			if got.status != 0 && got.status < 500 {
				break
			}
			c.await(ctx, "before asking again", time.Duration(1+a.rng.Int64N(int64(10*time.Second))))
		}
	case "create without key":
		got := c.send(ctx, a, http.MethodPost, "/orders", c.body(fmt.Sprint("n", a.number), 0), nil)
		c.checks.created(c.tenant, "", 0, got)
	case "get", "wait", "cancel", "refund", "refund part", "pay", "retry", "erase":
		id, ok := c.known(a.rng)
		if !ok {
			return
		}
		c.onOrder(ctx, a, id)
	case "list":
		c.list(ctx, a)
	case "look at another tenant's":
		other := &client{world: c.world, number: c.number, name: c.name, tenant: otherTenant(c.tenant)}
		if id, ok := other.known(a.rng); ok {
			for _, try := range [][2]string{{http.MethodGet, ""}, {http.MethodPost, "/cancel"}, {http.MethodPost, "/refund"}} {
				if got := c.send(ctx, a, try[0], "/orders/"+id+try[1], "", nil); got.status != 0 && got.status < 500 && got.status != http.StatusNotFound {
					c.checks.fail("tenancy", "%s %s of another tenant is answered %d", try[0], try[1], got.status)
				}
			}
		}
	}
}

func (c *client) onOrder(ctx context.Context, a action, id string) {
	path, header := "/orders/"+id, map[string]string{}
	switch a.kind {
	case "get", "wait":
		if a.kind == "wait" {
			header["prefer"] = fmt.Sprintf("wait=%d", a.rng.IntN(21))
		}
		floor := c.checks.floor(order.Ref{Tenant: c.tenant, ID: id})
		got := c.send(ctx, a, http.MethodGet, path, "", header)
		c.checks.read(order.Ref{Tenant: c.tenant, ID: id}, floor, got)
	case "cancel", "retry", "erase":
		c.checks.acted(c.send(ctx, a, http.MethodPost, path+"/"+a.kind, "", nil), a.kind)
	case "refund":
		c.checks.acted(c.send(ctx, a, http.MethodPost, path+"/refund", "", nil), a.kind)
	case "refund part":
		key := fmt.Sprintf("r%d", a.rng.IntN(3))
		amount := 1 + a.rng.IntN(700)
		for range 1 + a.rng.IntN(3) {
			got := c.send(ctx, a, http.MethodPost, path+"/refund", fmt.Sprintf(`{"amount":%d}`, amount), map[string]string{"idempotency-key": key})
			c.checks.acted(got, a.kind)
			if got.status != 0 && got.status < 500 {
				break
			}
		}
	case "pay":
		body := fmt.Sprintf(`{"paymentToken":%q}`, tokens[a.rng.IntN(len(tokens))])
		c.checks.acted(c.send(ctx, a, http.MethodPost, path+"/pay", body, nil), a.kind)
	}
}

// probe asks under every key once more, now that nothing goes wrong: each must be answered.
func (c *client) probe(ctx context.Context) {
	for i := range keys {
		key := fmt.Sprintf("k%d", i)
		a, answered := c.checks.answers[c.tenant+" "+key]
		if !answered && c.checks.lost[order.Ref{Tenant: c.tenant, ID: order.KeyedID(c.tenant, key)}] {
			continue // nobody knows with which request it was lost, and it is that one's at the gateway
		}
		variant := a.variant
		got := c.send(ctx, action{}, http.MethodPost, "/orders", c.body(key, variant), map[string]string{"idempotency-key": key})
		c.checks.created(c.tenant, key, variant, got)
		if got.status != http.StatusCreated && got.status != http.StatusUnprocessableEntity {
			c.checks.fail("liveness", "without faults, POST /orders under %s is answered %d %s", key, got.status, got.body)
		}
	}
}

// keys is how many idempotency keys the clients of a tenant share.
const keys = 6

// list walks through all pages, and must see every order that there was before it began.
func (c *client) list(ctx context.Context, a action) {
	before := c.checks.acknowledged(c.tenant)
	seen := map[string]bool{}
	query := fmt.Sprintf("limit=%d", 1+a.rng.IntN(8))
	for cursor := ""; ; {
		q := query
		if cursor != "" {
			q += "&cursor=" + cursor
		}
		got := c.send(ctx, a, http.MethodGet, "/orders?"+q, "", nil)
		if got.status != http.StatusOK {
			return
		}
		var page struct {
			Orders []struct{ ID string }
			Next   string
		}
		if err := json.Unmarshal([]byte(got.body), &page); err != nil {
			c.checks.fail("list", "a page is not JSON: %v", err)
			return
		}
		for _, o := range page.Orders {
			if seen[o.ID] {
				c.checks.fail("list", "the order %s is listed twice", o.ID[:8])
			}
			seen[o.ID] = true
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for _, id := range before {
		if !seen[id] {
			c.checks.fail("list", "the order %s of %s, acknowledged before, is not listed", id[:8], c.tenant)
		}
	}
}

// known draws one of the orders that the tenant knows of.
func (c *client) known(rng *rand.Rand) (id string, ok bool) {
	ids := c.checks.acknowledged(c.tenant)
	if len(ids) == 0 {
		return "", false
	}
	return ids[rng.IntN(len(ids))], true
}

// body is the request for an order under a key; another variant is another order.
func (c *client) body(key string, variant int) string {
	rng := rand.New(rand.NewPCG(c.seed, instant(c.tenant+key)))
	token := tokens[rng.IntN(len(tokens))]
	amount := 500 + rng.IntN(1000)
	switch variant {
	case 0:
		return fmt.Sprintf(`{"amount":%d,"currency":"USD","customerId":"c-%d","paymentToken":%q,"metadata":{"key":%q}}`, amount, rng.IntN(3), token, key)
	default: // one field is another
		switch rng.IntN(4) {
		case 0:
			return fmt.Sprintf(`{"amount":%d,"currency":"USD","customerId":"c-%d","paymentToken":%q,"metadata":{"key":%q}}`, amount+1, rng.IntN(3), token, key)
		case 1:
			return fmt.Sprintf(`{"amount":%d,"currency":"EUR","customerId":"c-%d","paymentToken":%q,"metadata":{"key":%q}}`, amount, rng.IntN(3), token, key)
		case 2:
			return fmt.Sprintf(`{"amount":%d,"currency":"USD","customerId":"c-9","paymentToken":%q,"metadata":{"key":%q}}`, amount, token, key)
		default:
			return fmt.Sprintf(`{"amount":%d,"currency":"USD","customerId":"c-%d","paymentToken":%q,"metadata":{"key":"other"}}`, amount, rng.IntN(3), token)
		}
	}
}

// send makes one request, by API Gateway and the api function. The answer is the zero answer if it
// was lost.
func (c *client) send(ctx context.Context, a action, method, target, body string, header map[string]string) answer {
	path, query, _ := strings.Cut(target, "?")
	var event events.APIGatewayV2HTTPRequest
	event.Version, event.RouteKey, event.RawPath, event.RawQueryString = "2.0", method+" "+path, path, query
	event.Headers = map[string]string{"host": "api", "content-type": "application/json"}
	for name, value := range header {
		event.Headers[name] = value
	}
	if body == "" {
		delete(event.Headers, "content-type")
	}
	event.Body = body
	event.RequestContext.DomainName = "api"
	event.RequestContext.HTTP.Method, event.RequestContext.HTTP.Path = method, path
	event.RequestContext.TimeEpoch = time.Now().UnixMilli()
	event.RequestContext.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
		JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{
			Claims: map[string]string{"client_id": c.tenant},
			Scopes: []string{"orders/read", "orders/write", "orders/operate"},
		},
	}
	c.tell(ctx, "%s %s %s %v", method, target, body, header)
	asked := http.Header{}
	for name, value := range header {
		asked.Set(name, value)
	}
	var call reference.Handle
	in, unobserved := reference.Observe(c.tenant, method, path, asked, []byte(body))
	observed := unobserved == nil && !c.checks.unordered
	if observed {
		call = c.history.Begin(c.number, in, int64(time.Since(c.began)))
	}
	// API Gateway waits for 30 s.
	waits, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	result, err := c.functions["Api"].Invoke(waits, emulator.Invocation{Event: httpEvent{&event}})
	t := c.await(ctx, fmt.Sprintf("action %d, answer", a.number), clientTakes)
	got := answer{}
	switch response, ok := result.Value.(*events.APIGatewayV2HTTPResponse); {
	case c.faults.hits(t.rng, clientGone):
		c.tell(ctx, "%s %s: left", method, target)
		return got
	case err != nil || !ok:
		got.status = http.StatusServiceUnavailable
	default:
		got = answer{status: response.StatusCode, header: response.Headers, body: response.Body}
	}
	if observed {
		c.answered(call, got)
	}
	c.tell(ctx, "%s %s: %d %s", method, target, got.status, bytes.TrimSpace([]byte(got.body)))
	if got.status == http.StatusInternalServerError && c.faults.of[panics] == 0 && c.build == 0 {
		c.checks.fail("status", "%s %s is answered %d %s", method, target, got.status, got.body)
	}
	return got
}

// answered records an answer in the run's history.
func (c *client) answered(call reference.Handle, got answer) {
	header := http.Header{}
	for name, value := range got.header {
		header.Set(name, value)
	}
	out, err := reference.Observed(got.status, header, []byte(got.body))
	if err != nil {
		c.checks.fail("answer", "%v", err)
	}
	c.history.End(call, out, int64(time.Since(c.began)))
}

// httpEvent is an event of API Gateway.
type httpEvent struct {
	event *events.APIGatewayV2HTTPRequest
}

func (e httpEvent) Typed() any            { return e.event }
func (e httpEvent) JSON() ([]byte, error) { return json.Marshal(e.event) }

func otherTenant(tenant string) string {
	if tenant == "acme" {
		return "zenith"
	}
	return "acme"
}
