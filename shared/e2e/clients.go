package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"paylane/shared/sim/reference"
)

// Clients do at random what callers may do to orders that they share: one key from many of
// them, with equal and other bodies, and cancel, refund, retry, pay and erase against each
// other and the workers. What they ask and are answered is for [reference.Check].
//
// They work in groups, and each group in rounds: a round has new orders, so that no order's
// history becomes long.
type Clients struct {
	// Seed is of the dice by which it is decided what to ask next. What meets what, and so what
	// is known by then, is up to the machine.
	Seed uint64
	// Groups work at the same time, of Size clients each.
	Groups, Size int
	// Orders is how many orders a round has, and Requests how many requests each client makes
	// in it.
	Orders, Requests int
	// Tenant is whose orders they are. If Stranger is another tenant, one more client of each
	// group is theirs, and asks for the same orders.
	Tenant, Stranger string
	// Connect returns the base URL of the paylane that runs, or the next one that does, and a
	// tenant's Authorization; empty for none.
	Connect func(ctx context.Context, tenant string) (url, authorization string, err error)

	began   time.Time
	client  *http.Client
	history *reference.History
	mu      sync.Mutex
	placed  map[place]bool
	failed  []error
}

// place is where an order is that may be there.
type place struct{ tenant, path string }

// The environment of [Clients.Linearizable].
const (
	// variableSeed is the seed of the run to repeat.
	variableSeed = "PAYLANE_CLIENTS_SEED"
	// variableFor is how long to begin rounds, as 10m.
	variableFor = "PAYLANE_CLIENTS_FOR"
	// variableFolder is where a history that is not linearizable is drawn.
	variableFolder = "PAYLANE_CLIENTS_FOLDER"
)

// checkPatience is how long the check of one order's history may take. One that takes longer has
// too many lost requests to say much.
const checkPatience = 10 * time.Second

// Linearizable runs the clients for a time, while something else goes on until its context ends,
// and requires that their history is linearizable. If it is not, its drawing is kept, in
// os.TempDir or the folder that PAYLANE_CLIENTS_FOLDER names. PAYLANE_CLIENTS_FOR makes the
// time another, and PAYLANE_CLIENTS_SEED repeats a seed.
func (c *Clients) Linearizable(t *testing.T, usually time.Duration, meanwhile func(context.Context)) {
	t.Helper()
	if c.Seed = rand.Uint64(); os.Getenv(variableSeed) != "" {
		seed, err := strconv.ParseUint(os.Getenv(variableSeed), 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", variableSeed, err)
		}
		c.Seed = seed
	}
	if text := os.Getenv(variableFor); text != "" {
		d, err := time.ParseDuration(text)
		if err != nil {
			t.Fatalf("%s: %v", variableFor, err)
		}
		usually = d
	}
	again := fmt.Sprintf("%s=%d %s=%v", variableSeed, c.Seed, variableFor, usually)
	t.Log(again)
	ctx, cancel := context.WithTimeout(t.Context(), usually)
	defer cancel()
	var h reference.History
	ran := make(chan error, 1)
	go func() { ran <- c.Run(ctx, &h) }()
	meanwhile(ctx)
	if err := <-ran; err != nil {
		t.Error(err)
	}
	t.Log(&h)
	switch err := reference.Check(&h, checkPatience, os.Getenv(variableFolder)); {
	case errors.Is(err, reference.ErrUndecided):
		t.Log(err)
	case err != nil:
		t.Errorf("%v\nto ask the same again, run %s with %s", err, t.Name(), again)
	}
}

// Run begins rounds until ctx ends, finishes them, and then has each order read once more.
// The error is not about what was answered, which is in the history.
func (c *Clients) Run(ctx context.Context, h *reference.History) error {
	c.began, c.history, c.placed = time.Now(), h, make(map[place]bool)
	// Every request has a connection of its own: on one that was used before, a request with
	// an Idempotency-Key would be repeated unseen.
	c.client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	var groups sync.WaitGroup
	for group := range c.Groups {
		groups.Go(func() {
			for round := 0; ctx.Err() == nil; round++ {
				c.round(context.WithoutCancel(ctx), group, round)
			}
		})
	}
	groups.Wait()
	for o := range c.placed {
		c.do(context.WithoutCancel(ctx), 0, o.tenant, http.MethodGet, o.path, http.Header{}, "")
	}
	return errors.Join(c.failed...)
}

// shared is an order of a round.
type shared struct {
	key   string // empty for an order without one
	token string

	mu   sync.Mutex
	path string // empty until it is known
}

func (s *shared) where() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.path
}

func (s *shared) is(path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.path = path
}

// round has the clients of a group make their requests.
func (c *Clients) round(ctx context.Context, group, round int) {
	random := func(stream int) *rand.Rand {
		return rand.New(rand.NewPCG(c.Seed, uint64(group)<<40|uint64(round)<<16|uint64(stream)))
	}
	r := random(0)
	tokens := []string{"tok_ok", "tok_ok", "tok_declined", "tok_outage", "tok_flaky_1", "tok_refund_declined", "tok_slow_100"}
	orders := make([]*shared, c.Orders)
	for i := range orders {
		orders[i] = &shared{token: tokens[r.IntN(len(tokens))]}
		if i > 0 {
			orders[i].key = fmt.Sprintf("%d-%d-%d-%d", c.Seed, group, round, i)
		}
	}
	size := c.Size
	if c.Stranger != "" {
		size++
	}
	var clients sync.WaitGroup
	for i := range size {
		one := visitor{Clients: c, number: group*size + i, tenant: c.Tenant, random: random(i + 1), seen: make(map[*shared]int64)}
		if i == c.Size {
			one.tenant = c.Stranger
		}
		clients.Go(func() {
			for range c.Requests {
				one.visit(ctx, orders[one.random.IntN(len(orders))])
			}
		})
	}
	clients.Wait()
}

// visitor is one client in one round.
type visitor struct {
	*Clients

	number int
	tenant string
	random *rand.Rand
	seen   map[*shared]int64 // versions
}

// visit makes one request about an order.
func (v *visitor) visit(ctx context.Context, o *shared) {
	path, header, amount := o.where(), http.Header{}, 100
	dice := v.random.IntN(100)
	if path == "" || dice < 10 {
		if path != "" && o.key == "" {
			return // another would be another order
		}
		if o.key != "" {
			header.Set("Idempotency-Key", o.key)
			if v.random.IntN(4) == 0 {
				amount++
			}
		}
		body := fmt.Sprintf(`{"amount": %d, "customerId": "c-1", "metadata": {"cart": "7"}, "paymentToken": %q}`, amount, o.token)
		in, out := v.do(ctx, v.number, v.tenant, http.MethodPost, "/orders", header, body)
		if in.ID == "" {
			return
		}
		path = "/orders/" + in.ID
		v.mayBe(place{v.tenant, path})
		if v.tenant == v.Tenant {
			o.is(path)
		}
		if out.Status == http.StatusCreated && v.random.IntN(3) == 0 { // before a worker has it
			v.do(ctx, v.number, v.tenant, http.MethodPost, path+"/cancel", http.Header{}, "")
		}
		return
	}
	method, body := http.MethodPost, ""
	switch {
	case dice < 30:
		method = http.MethodGet
	case dice < 45:
		method = http.MethodGet
		header.Set("Prefer", "wait=1")
	case dice < 53:
		method = http.MethodGet
		header.Set("Prefer", "wait=1")
		header.Set("If-None-Match", strconv.Quote(strconv.FormatInt(v.seen[o], 10)))
	case dice < 61:
		path += "/cancel"
	case dice < 68:
		path += "/retry"
	case dice < 75:
		path += "/pay"
		body = fmt.Sprintf(`{"paymentToken": "tok_%s"}`, []string{"ok", "outage", "refund_declined"}[v.random.IntN(3)])
	case dice < 78:
		path += "/erase"
	case dice < 84:
		path += "/refund"
	default:
		path += "/refund"
		header.Set("Idempotency-Key", fmt.Sprint("r", v.random.IntN(2)))
		body = fmt.Sprintf(`{"amount": %d}`, 30+v.random.IntN(2)*30)
		if v.random.IntN(3) == 0 {
			body = `{"reason": "it broke"}`
		}
	}
	if method == http.MethodPost && v.seen[o] > 0 && v.random.IntN(6) == 0 {
		header.Set("If-Match", strconv.Quote(strconv.FormatInt(v.seen[o], 10)))
	}
	if _, out := v.do(ctx, v.number, v.tenant, method, path, header, body); out.Order != nil {
		v.seen[o] = out.Order.Version
	}
}

// do makes a request and records it. The Input has the id of the order, if it is known.
func (c *Clients) do(
	ctx context.Context, number int, tenant, method, path string, header http.Header, body string,
) (reference.Input, reference.Output) {
	in, err := reference.Observe(tenant, method, path, header, []byte(body))
	if err != nil {
		c.fail(err)
		return in, reference.Output{}
	}
	url, authorization, err := c.Connect(ctx, tenant)
	if err != nil {
		c.fail(err)
		return in, reference.Output{}
	}
	if authorization != "" {
		header.Set("Authorization", authorization)
	}
	handle := c.history.Begin(number, in, int64(time.Since(c.began)))
	out, err := c.send(ctx, method, url+path, header, body)
	if err != nil {
		c.fail(err)
	}
	c.history.End(handle, out, int64(time.Since(c.began)))
	if in.ID == "" && out.Order != nil {
		in.ID = out.Order.ID
	}
	return in, out
}

// send returns the zero Output if the answer is lost.
func (c *Clients) send(ctx context.Context, method, url string, header http.Header, body string) (reference.Output, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return reference.Output{}, err
	}
	request.Header = header
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	response, err := c.client.Do(request)
	if err != nil {
		return reference.Output{}, nil // lost
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return reference.Output{}, nil // lost
	}
	return reference.Observed(response.StatusCode, response.Header, text)
}

func (c *Clients) mayBe(o place) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.placed[o] = true
}

func (c *Clients) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failed = append(c.failed, err)
}
