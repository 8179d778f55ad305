package weather_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"paylane/cmd/paylane/internal/weather"
	"paylane/shared/console"
	"paylane/shared/contract"
	"paylane/shared/document"
	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/order"
)

// documents is a [document.Store] that outlives gateways.
type documents struct {
	mu     sync.Mutex
	stored map[document.Key]document.Document
	failed error // what each call answers, unless nil
}

func (d *documents) Document(_ context.Context, k document.Key) (document.Document, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if stored, ok := d.stored[k]; ok {
		return stored, d.failed
	}
	return document.Document{Key: k}, errors.Join(d.failed, k.Check())
}

func (d *documents) PutDocument(_ context.Context, put document.Document) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.failed != nil:
		return d.failed
	case d.stored[put.Key].Version != put.Version-1:
		return document.ErrConflict
	case d.stored == nil:
		d.stored = make(map[document.Key]document.Document)
	}
	d.stored[put.Key] = put
	return nil
}

func (d *documents) DeleteDocument(context.Context, document.Key) error { return errors.ErrUnsupported }

func (d *documents) open(t *testing.T) *weather.Gateway {
	t.Helper()
	g, err := weather.Open(t.Context(), simulator.New(time.Now), d, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func set(t *testing.T, g *weather.Gateway, w console.Weather) {
	t.Helper()
	if err := g.SetWeather(t.Context(), w); err != nil {
		t.Fatal(err)
	}
	if got := g.Weather(); got != w {
		t.Fatalf("in force is %+v, want %+v", got, w)
	}
}

// request is an attempt under the n-th key of a test.
func request(n, attempt int, token order.Token) gateway.Request {
	id := fmt.Sprintf("0194f3a0-0000-7000-8000-%012d", n)
	return gateway.Request{
		Key: id + ".1", Order: order.Ref{Tenant: "t", ID: id}, Since: time.Now(), Money: order.Money{Amount: 100, Currency: "EUR"},
		Token: token, Hint: gateway.Hint{Attempt: attempt, Since: time.Now()},
	}
}

func TestContract(t *testing.T) {
	for name, before := range map[string][]console.Weather{
		"never changed": nil, "fair again": {{Outage: true, Declines: 100}, {}}, "slow": {{Latency: time.Millisecond}},
	} {
		t.Run(name, func(t *testing.T) {
			g := new(documents).open(t)
			for _, w := range before {
				set(t, g, w)
			}
			contract.RunGateway(t, g, "tok_other")
		})
	}
}

// meaning is what an answer says.
func meaning(err error) string { return string(gateway.OutcomeOf(err)) }

func resolved(r gateway.Resolution, err error) string {
	switch {
	case err != nil:
		return "unknown"
	case r.Done:
		return "done"
	}
	return "not done"
}

// TestWeather: what each weather does to an attempt, and what is said about it afterwards, by a
// gateway that has been restarted meanwhile.
func TestWeather(t *testing.T) {
	outage, declines, timeouts := console.Weather{Outage: true}, console.Weather{Declines: 100}, console.Weather{Timeouts: 100}
	type step struct {
		weather       console.Weather
		charge, after string
	}
	for _, tt := range []struct {
		name  string
		token order.Token
		steps []step // one for each attempt
	}{
		{"an outage", "tok_ok", []step{{outage, "unavailable", "not done"}}},
		{"declined", "tok_ok", []step{{declines, "declined", "not done"}}},
		{"declined for good", "tok_ok", []step{{declines, "declined", ""}, {console.Weather{}, "declined", ""}, {outage, "declined", ""}, {timeouts, "declined", "not done"}}},
		{"a lost answer", "tok_ok", []step{{timeouts, "unknown", "done"}}},
		{"a lost answer, then an outage", "tok_ok", []step{{timeouts, "unknown", ""}, {outage, "unknown", "done"}}},
		{"a lost answer, then declines", "tok_ok", []step{{timeouts, "unknown", ""}, {declines, "approved", "done"}}},
		{"charged, then an outage", "tok_ok", []step{{console.Weather{}, "approved", ""}, {outage, "unknown", "done"}}},
		{"out twice, then charged", "tok_ok", []step{{outage, "unavailable", ""}, {outage, "unavailable", ""}, {console.Weather{}, "approved", "done"}}},
		{"out, then declined", "tok_ok", []step{{outage, "unavailable", ""}, {declines, "declined", "not done"}}},
		{"declined by its token", "tok_declined", []step{{timeouts, "declined", "not done"}}},
		{"flaky, then an outage", "tok_flaky_1", []step{{console.Weather{}, "unavailable", ""}, {outage, "unavailable", "not done"}}},
		{"a closed key", "tok_ok", []step{{outage, "unavailable", "not done"}, {console.Weather{}, "unknown", "not done"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var d documents
				set(t, d.open(t), outage) // so that there is something to be read at every start
				for i, step := range tt.steps {
					g, r := d.open(t), request(1, i+1, tt.token)
					if got := g.Weather(); got != (console.Weather{}) {
						t.Errorf("after a start %+v is in force", got)
					}
					set(t, g, step.weather)
					if _, err := g.Charge(t.Context(), r); meaning(err) != step.charge {
						t.Errorf("attempt %d: %v, want %s", i+1, err, step.charge)
					}
					if step.weather.Outage {
						if got, err := g.Resolve(t.Context(), r); err == nil {
							t.Errorf("in an outage it resolves to %+v", got)
						}
					}
					g = d.open(t)
					for range 2 {
						if step.after == "" {
							break // asking closes a key
						}
						if got := resolved(g.Resolve(t.Context(), r)); got != step.after {
							t.Errorf("attempt %d: it is %s, want %s", i+1, got, step.after)
						}
					}
				}
			})
		})
	}
}

// TestAttemptRepeated: an attempt that was refused is not made after all.
func TestAttemptRepeated(t *testing.T) {
	g := new(documents).open(t)
	set(t, g, console.Weather{Outage: true})
	for range 2 {
		if _, err := g.Charge(t.Context(), request(1, 1, "tok_ok")); meaning(err) != "unavailable" {
			t.Errorf("the attempt ends with %v", err)
		}
		set(t, g, console.Weather{})
	}
}

// TestRefunds: an outage refuses them, and nothing else of the weather concerns them.
func TestRefunds(t *testing.T) {
	g := new(documents).open(t)
	r := request(1, 1, "tok_ok")
	receipt, err := g.Charge(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	r.Key, r.PaymentRef = r.Order.ID+".refund.1", receipt.Ref
	set(t, g, console.Weather{Outage: true})
	if _, err := g.Refund(t.Context(), r); meaning(err) != "unavailable" {
		t.Errorf("in an outage: %v", err)
	}
	set(t, g, console.Weather{Declines: 100, Timeouts: 100})
	r.Hint.Attempt++
	if _, err := g.Refund(t.Context(), r); err != nil {
		t.Error(err)
	}
	if got := resolved(g.Resolve(t.Context(), r)); got != "done" {
		t.Errorf("the refund is %s", got)
	}
}

// TestLatency: every request takes longer, unless nobody waits for it any more.
func TestLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(documents).open(t)
		set(t, g, console.Weather{Latency: 3 * time.Second})
		r := request(1, 1, "tok_ok")
		for name, ask := range map[string]func(context.Context) error{
			"charge":  func(ctx context.Context) error { _, err := g.Charge(ctx, r); return err },
			"refund":  func(ctx context.Context) error { _, err := g.Refund(ctx, r); return err },
			"resolve": func(ctx context.Context) error { _, err := g.Resolve(ctx, r); return err },
		} {
			began := time.Now()
			if err := ask(t.Context()); err != nil || time.Since(began) < 3*time.Second || time.Since(began) > 3100*time.Millisecond {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			began = time.Now()
			if err := ask(ctx); meaning(err) != "unknown" || time.Since(began) != time.Second {
				t.Errorf("%s: %v after %v, given a second", name, err, time.Since(began))
			}
			cancel()
		}
	})
}

// TestRates: as many of a hundred as the weather says.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := new(documents).open(t)
		set(t, g, console.Weather{Declines: 20, Timeouts: 10})
		const all = 2000
		got := make(map[string]int)
		for n := range all {
			_, err := g.Charge(t.Context(), request(n, 1, "tok_ok"))
			got[meaning(err)]++
		}
		for outcome, want := range map[string]int{"declined": all * 20 / 100, "unknown": all * 80 * 10 / 10000} {
			if n := got[outcome]; n < want*8/10 || n > want*12/10 {
				t.Errorf("%d of %d are %s, want about %d", n, all, outcome, want)
			}
		}
	})
}

// TestFlips: the weather changes at random between any two calls, and now and then the process
// starts again. A worker that keeps the port's rules always learns what became of its charge, and
// what it was told stays true.
func TestFlips(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(17, 1))
		var d documents
		g := d.open(t)
		flip := func() {
			switch random.IntN(8) {
			case 0:
				g = d.open(t)
			case 1, 2:
				set(t, g, console.Weather{Outage: true})
			case 3, 4:
				set(t, g, console.Weather{Declines: random.IntN(101), Timeouts: random.IntN(101), Latency: time.Duration(random.IntN(5)) * time.Second})
			case 5:
				set(t, g, console.Weather{})
			}
		}
		tokens := []order.Token{"tok_ok", "tok_ok", "tok_flaky_2", "tok_declined", "tok_timeout_charged", "tok_timeout_not_charged", "tok_unknown_5"}
		type end struct {
			last gateway.Request
			said string
		}
		var ends []end
		for n := range 1000 {
			e := end{request(n, 0, tokens[random.IntN(len(tokens))]), "not done"}
			for doubtful := false; doubtful || e.last.Hint.Attempt < 9; {
				flip()
				if doubtful {
					e.said = resolved(g.Resolve(t.Context(), e.last))
					if e.said != "unknown" {
						break
					}
					time.Sleep(time.Second)
					continue
				}
				e.last.Hint.Attempt++
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second) // less than the latency may be
				_, err := g.Charge(ctx, e.last)
				cancel()
				switch meaning(err) {
				case "approved":
					e.said = "done"
				case "declined":
					e.said = "not done"
				case "unavailable":
					e.said = "not done"
					continue
				case "unknown":
					doubtful = true
					continue
				}
				break // it has ended
			}
			ends = append(ends, e)
		}
		set(t, g, console.Weather{})
		time.Sleep(time.Minute)
		said := make(map[string]int)
		for _, e := range ends {
			said[e.said]++
			for range 2 {
				if got := resolved(g.Resolve(t.Context(), e.last)); got != e.said {
					t.Errorf("%s with %s is %s after %d attempts; its worker was told %s", e.last.Key, e.last.Token, got, e.last.Hint.Attempt, e.said)
				}
			}
			if e.last.Token != "tok_ok" {
				continue // the simulator itself acts again under keys that it closed
			}
			e.last.Hint.Attempt++
			if _, err := g.Charge(t.Context(), e.last); (err == nil) != (e.said == "done") {
				t.Errorf("%s, which is %s, can be charged: %v", e.last.Key, e.said, err)
			}
		}
		if said["done"] < 200 || said["not done"] < 200 {
			t.Errorf("the ends are %v", said)
		}
	})
}

// TestPatience: orders that met an outage are tried for hours, also by the next process; others
// are not.
func TestPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d documents
		g := d.open(t)
		expect := func(when string, began time.Time, want time.Duration) {
			t.Helper()
			if got := g.Patience(began); got != want {
				t.Errorf("%s: the patience with an order that began at %v is %v, want %v", when, began, got, want)
			}
		}
		expect("at first", time.Time{}, 0)
		set(t, g, console.Weather{Latency: time.Second, Declines: 50})
		before := time.Now()
		expect("in other weather", before, 0)
		set(t, g, console.Weather{Outage: true})
		expect("in an outage", before, weather.Patience)
		time.Sleep(time.Hour)
		g = d.open(t) // it ends with the process
		time.Sleep(time.Second)
		for _, when := range []string{"afterwards", "after another start"} {
			expect(when, before, weather.Patience)
			expect(when, time.Time{}, weather.Patience)
			expect(when, time.Now(), 0)
			g = d.open(t)
		}
		set(t, g, console.Weather{Outage: true})
		time.Sleep(time.Hour)
		during := time.Now()
		time.Sleep(time.Hour)
		set(t, g, console.Weather{})
		expect("once it was switched off", during, weather.Patience)
		time.Sleep(2*weather.Patience - time.Second)
		expect("for the last attempt", time.Time{}, weather.Patience)
		time.Sleep(time.Second)
		expect("in the end", time.Time{}, 0)
	})
}

// TestNothingHalf: what can't be put in force, or can't be remembered, changes nothing.
func TestNothingHalf(t *testing.T) {
	var d documents
	g := d.open(t)
	for _, w := range []console.Weather{
		{Latency: -1}, {Latency: console.MaxLatency + 1}, {Declines: -1}, {Declines: 101}, {Timeouts: -1}, {Timeouts: 101},
	} {
		if err := g.SetWeather(t.Context(), w); err == nil || !strings.Contains(err.Error(), "must be between") {
			t.Errorf("%+v: %v", w, err)
		}
	}
	d.failed = errors.New("the disk is full")
	if err := g.SetWeather(t.Context(), console.Weather{Outage: true}); !errors.Is(err, d.failed) || g.Weather() != (console.Weather{}) {
		t.Errorf("without a memory it is %+v, %v", g.Weather(), err)
	}
	d.failed = nil
	set(t, g, console.Weather{Outage: true})
	d.failed = errors.New("the disk is full")
	if _, err := g.Charge(t.Context(), request(1, 1, "tok_ok")); meaning(err) != "unknown" {
		t.Errorf("without a memory a charge is %v", err)
	}
}
