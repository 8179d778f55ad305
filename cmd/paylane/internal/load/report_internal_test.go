package load

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/cmd/paylane/internal/fakeapi"
	"paylane/shared/order"
)

// sample is a run in which a bit of everything happened: of 1,000 accepted orders 990
// are PAID, 7 FAILED, and one each missing, unfinished and unread.
func sample() measured {
	took := func(d time.Duration, n int) loaded {
		l := loaded{elapsed: d, latency: newHistogram(), errors: failures{}}
		for i := range n {
			l.ids = append(l.ids, uuid.UUID{byte(i >> 8), byte(i)})
			// From 1 to 10 ms, evenly.
			_ = l.latency.RecordValue(1000 + int64(i)*9000/int64(n))
		}
		return l
	}
	m := measured{
		url: "http://127.0.0.1:3000", connections: 50, drainLimit: time.Minute, interrupted: true,
		load: took(2*time.Second, 1000), duplicates: 2, followError: errors.New("it went <dark>"),
		floorBefore: took(time.Second, 1200), floorAfter: took(time.Second, 1300),
	}
	m.load.oldest, m.load.newest = fakeapi.Epoch(), fakeapi.Epoch().Add(1990*time.Millisecond)
	m.load.errors.count("http_500", 2, "500: no luck")
	m.load.errors.count("timeout", 3, "too late")
	m.orders, _ = newLedger(m.load.ids)
	for i, id := range m.orders.ids {
		o := orderView{ID: id, Status: order.Paid, CreatedAt: fakeapi.Epoch(), UpdatedAt: fakeapi.Epoch().Add(2475 * time.Millisecond)}
		switch {
		case i < 7:
			o.Status, o.UpdatedAt = order.Failed, fakeapi.Epoch().Add(3*time.Second)
		case i == 7:
			m.orders.set(i, missing)
			continue
		case i == 8:
			o.Status = order.Processing
		case i == 9:
			continue
		}
		m.orders.note(o)
	}
	return m
}

func TestJSON(t *testing.T) {
	t.Parallel()
	const want = `{
  "url": "http://127.0.0.1:3000",
  "connections": 50,
  "loadMs": 2000,
  "interrupted": true,
  "requests": 1005,
  "accepted": 1000,
  "acceptedPerSecond": 500,
  "latencyMs": {
    "p50": 5.491,
    "p90": 9.095,
    "p99": 9.903,
    "p999": 9.983,
    "max": 9.991
  },
  "errors": [
    {
      "kind": "timeout",
      "count": 3,
      "example": "too late"
    },
    {
      "kind": "http_500",
      "count": 2,
      "example": "500: no luck"
    }
  ],
  "ends": {
    "FAILED": 7,
    "PAID": 990
  },
  "paidPerSecond": 400,
  "drainMs": null,
  "duplicates": 2,
  "missing": 1,
  "unfinished": 1,
  "unread": 1,
  "followError": "it went <dark>",
  "floor": {
    "before": {
      "accepted": 1200,
      "perSecond": 1200,
      "latencyMs": {
        "p50": 5.495,
        "p90": 9.095,
        "p99": 9.903,
        "p999": 9.991,
        "max": 9.999
      }
    },
    "after": {
      "accepted": 1300,
      "perSecond": 1300,
      "latencyMs": {
        "p50": 5.495,
        "p90": 9.095,
        "p99": 9.903,
        "p999": 9.991,
        "max": 9.999
      }
    },
    "perSecond": 1250,
    "ratio": 0.4
  },
  "failures": [
    "failed requests: 5 of 1005",
    "answers that name an order another had named: 2",
    "orders accepted but missing: 1",
    "orders not at an end 1m0s after the load: 1",
    "orders that could not be followed: 1",
    "following the orders: it went <dark>"
  ],
  "ok": false
}
`
	var got strings.Builder
	m := sample()
	if err := m.report().WriteJSON(&got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got.String()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	const bad = `http://127.0.0.1:3000, 50 connections, 2.0 s (interrupted)

                accepted  p50 ms   p90   p99  p99.9    max
  floor before    1200/s    5.50  9.10  9.90   9.99  10.00
        target     500/s    5.49  9.10  9.90   9.98   9.99
   floor after    1300/s    5.50  9.10  9.90   9.99  10.00
  of the floor    40.0 %

accepted  1000
PAID      990, 400/s
FAILED    7
error     timeout, 3 times: too late
error     http_500, 2 times: 500: no luck

NOT OK    failed requests: 5 of 1005
NOT OK    answers that name an order another had named: 2
NOT OK    orders accepted but missing: 1
NOT OK    orders not at an end 1m0s after the load: 1
NOT OK    orders that could not be followed: 1
NOT OK    following the orders: it went <dark>
`
	const good = `http://127.0.0.1:3000, 50 connections, 2.0 s

          accepted  p50 ms   p90   p99  p99.9   max
  target     500/s    5.49  9.10  9.90   9.98  9.99

accepted  1000
PAID      993, 397/s
FAILED    7
drained   1.01 s after the newest order

ok        no request failed, and every order reached its end
`
	m := sample()
	for _, tt := range []struct {
		name string
		m    measured
		want string
	}{
		{"everything went wrong", m, bad},
		{"all is well", wellDone(), good},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var got strings.Builder
			if err := tt.m.report().WriteText(&got); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, got.String()); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// wellDone is a sample in which nothing went wrong, and no floor was measured.
func wellDone() measured {
	m := sample()
	m.interrupted, m.duplicates, m.followError = false, 0, nil
	m.load.errors, m.floorBefore, m.floorAfter = failures{}, loaded{}, loaded{}
	for i, id := range m.orders.ids {
		if m.orders.fates[i] != ended {
			m.orders.note(orderView{ID: id, Status: order.Paid, UpdatedAt: fakeapi.Epoch().Add(2500 * time.Millisecond)})
		}
	}
	return m
}

// A run that did nothing is not a success.
func TestNothingSent(t *testing.T) {
	t.Parallel()
	m := measured{load: loaded{latency: newHistogram()}}
	m.orders, _ = newLedger(nil)
	r := m.report()
	if diff := cmp.Diff([]string{"no request was sent"}, r.Failures); diff != "" || r.OK || r.DrainMs != nil {
		t.Errorf("the report says %+v", r)
	}
}

// Failures on the floor make its figures, and so the ratio, worthless.
func TestFloorFails(t *testing.T) {
	t.Parallel()
	m := wellDone()
	m.floorBefore = loaded{elapsed: time.Second, latency: newHistogram(), errors: failures{}}
	m.floorAfter = loaded{elapsed: time.Second, latency: newHistogram(), errors: failures{}}
	m.floorAfter.errors.add(errors.New("gone"))
	r := m.report()
	if diff := cmp.Diff([]string{"failed requests to the floor server: 1"}, r.Failures); diff != "" || r.OK || r.Floor.Ratio != 0 {
		t.Errorf("the report says %+v", r)
	}
}
