package load_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/cmd/paylane/internal/fakeapi"
	"paylane/cmd/paylane/internal/load"
	"paylane/shared/order"
)

// drive measures a fake API with one connection, until the fake has seen StopAt requests.
func drive(t *testing.T, api *fakeapi.API, changes ...func(*load.Config)) load.Report {
	t.Helper()
	stop := make(chan struct{})
	api.Stop = func() { close(stop) }
	api.Start(t)
	c := config(t, api)
	for _, change := range changes {
		change(&c)
	}
	r, err := load.Run(t.Context(), stop, c)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// config drives a fake API with one connection and no end.
func config(t *testing.T, api *fakeapi.API) load.Config {
	t.Helper()
	return load.Config{
		Target: to(t, api, "", 1), Connections: 1, Duration: time.Hour, Drain: time.Minute, PaymentToken: "tok_ok", Now: time.Now,
	}
}

func to(t *testing.T, api *fakeapi.API, token string, connections int) *apiclient.Client {
	t.Helper()
	made, err := apiclient.New(api.URL, token, connections, false)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// drainAtOnce does not wait for orders to reach their ends.
func drainAtOnce(c *load.Config) { c.Drain = time.Millisecond }

func TestMeasure(t *testing.T) {
	t.Parallel()
	ms := func(n float64) *float64 { return &n }
	for _, tt := range []struct {
		name   string
		api    *fakeapi.API
		change func(*load.Config)
		want   load.Report
	}{
		{
			name: "all is well",
			api:  &fakeapi.API{StopAt: 101},
			// From 1 ms to 2101 ms after the epoch: 101 in 2.1 s; the newest is from 101 ms.
			want: load.Report{Accepted: 101, Ends: ends("PAID", 101), PaidPerSecond: 48.095, DrainMs: ms(2000)},
		},
		{
			name:   "a declined payment is an end, too",
			api:    &fakeapi.API{StopAt: 10},
			change: func(c *load.Config) { c.PaymentToken = "tok_declined" },
			want:   load.Report{Accepted: 10, Ends: ends("FAILED", 10), DrainMs: ms(2000)},
		},
		{
			name: "orders of others are neither counted nor waited for",
			api:  &fakeapi.API{StopAt: 101, Companion: fakeapi.Every(3)},
			want: load.Report{Accepted: 101, Ends: ends("PAID", 101), PaidPerSecond: 48.095, DrainMs: ms(2000)},
		},
		{
			name: "orders end late",
			api:  &fakeapi.API{StopAt: 101, Looks: 1},
			want: load.Report{Accepted: 101, Ends: ends("PAID", 101), PaidPerSecond: 48.095, DrainMs: ms(2000)},
		},
		{
			name: "the list lags, the orders are there by their ids, and end late",
			api:  &fakeapi.API{StopAt: 10, Unlisted: fakeapi.Every(5), Looks: 1},
			want: load.Report{Accepted: 10, Ends: ends("PAID", 10), PaidPerSecond: 4.978, DrainMs: ms(2000)},
		},
		{
			name: "the list fails for a while",
			api:  &fakeapi.API{StopAt: 10, ListFails: 1},
			want: load.Report{Accepted: 10, Ends: ends("PAID", 10), PaidPerSecond: 4.978, DrainMs: ms(2000)},
		},
		{
			name:   "the list fails forever",
			api:    &fakeapi.API{StopAt: 10, ListFails: 1 << 30},
			change: drainAtOnce,
			want: load.Report{
				Accepted: 10, Ends: ends("PAID", 10), PaidPerSecond: 4.978, DrainMs: ms(2000),
				FollowError: "GET /orders?limit=100: 503: come back later",
				Failures:    []string{"following the orders: GET /orders?limit=100: 503: come back later"},
			},
		},
		{
			name: "orders are lost",
			api:  &fakeapi.API{StopAt: 250, Lost: fakeapi.Every(100)},
			want: load.Report{
				Accepted: 250, Ends: ends("PAID", 248), PaidPerSecond: 110.271, Missing: 2,
				Failures: []string{"orders accepted but missing: 2"},
			},
		},
		{
			name:   "orders do not end",
			api:    &fakeapi.API{StopAt: 250, Endless: fakeapi.Every(100)},
			change: drainAtOnce,
			want: load.Report{
				Accepted: 250, Ends: ends("PAID", 248), PaidPerSecond: 110.271, Unfinished: 2,
				Failures: []string{"orders not at an end 1ms after the load: 2"},
			},
		},
		{
			name: "ids come twice",
			api:  &fakeapi.API{StopAt: 10, Repeated: fakeapi.Every(4)},
			want: load.Report{
				Accepted: 10, Ends: ends("PAID", 8), PaidPerSecond: 3.982, DrainMs: ms(2000), Duplicates: 2,
				Failures: []string{"answers that name an order another had named: 2"},
			},
		},
		{
			name: "requests fail",
			api:  &fakeapi.API{StopAt: 10, Refused: fakeapi.Every(5), Nameless: fakeapi.Every(3)},
			want: load.Report{
				Accepted: 5, Ends: ends("PAID", 5), PaidPerSecond: 2.491, DrainMs: ms(2000),
				Errors: []load.FailureReport{
					{Kind: "answer", Count: 3, Example: `201, but Location is ""`},
					{Kind: "http_500", Count: 2, Example: "500: no luck"},
				},
				Failures: []string{"failed requests: 5 of 10"},
			},
		},
		{
			name: "every request fails",
			api:  &fakeapi.API{StopAt: 2, Refused: fakeapi.Every(1)},
			want: load.Report{
				Errors:   []load.FailureReport{{Kind: "http_500", Count: 2, Example: "500: no luck"}},
				Failures: []string{"failed requests: 2 of 2"},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := tt.api
			changes := []func(*load.Config){}
			if tt.change != nil {
				changes = append(changes, tt.change)
			}
			got := drive(t, api, changes...)
			tt.want.URL, tt.want.Connections, tt.want.Interrupted = api.URL, 1, true
			tt.want.Requests = api.StopAt
			tt.want.OK = len(tt.want.Failures) == 0
			clocked := cmpopts.IgnoreFields(load.Report{}, "LoadMs", "AcceptedPerSecond", "LatencyMs")
			if diff := cmp.Diff(tt.want, got, clocked, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("the report (-want +got):\n%s", diff)
			}
			if l := got.LatencyMs; got.Accepted > 0 && (l.P50 <= 0 || l.P50 > l.P99 || l.P99 > l.Max || l.Max > 1.01*got.LoadMs) {
				t.Errorf("latencies are %+v, of a load of %v ms", l, got.LoadMs)
			}
		})
	}
}

func ends(status order.Status, n int) map[order.Status]int { return map[order.Status]int{status: n} }

// The load must have the target to itself while it runs, and following must be cheap: no
// page is read twice without need, and none that is older than the run.
func TestFollowingIsCheap(t *testing.T) {
	t.Parallel()
	for orders, pages := range map[int]int{1: 1, 100: 1, 101: 2, 250: 3} {
		api := &fakeapi.API{StopAt: orders}
		drive(t, api)
		want := append([]string{"POST /orders"}, slices.Repeat([]string{"GET /orders"}, pages)...)
		if diff := cmp.Diff(want, api.Requests); diff != "" {
			t.Errorf("requests for %d orders (-want +got):\n%s", orders, diff)
		}
	}
}

// The walk goes on for an order that the list does not show, but not past the run.
func TestWalkEndsAtTheOldestOrder(t *testing.T) {
	t.Parallel()
	api := &fakeapi.API{StopAt: 50, Unlisted: fakeapi.Every(50)}
	drive(t, api)
	want := []string{"POST /orders", "GET /orders", "GET /orders/" + api.Newest()}
	if diff := cmp.Diff(want, api.Requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestManyConnections(t *testing.T) {
	t.Parallel()
	api := &fakeapi.API{StopAt: 2000, Refused: fakeapi.Every(7)}
	got := drive(t, api, func(c *load.Config) {
		c.Target, c.Connections, c.Keys = to(t, api, "secret", 8), 8, true
	})
	if got.Requests != api.Posts || got.Accepted != api.Posts-api.Posts/7 || got.Ends[order.Paid] != got.Accepted || got.Duplicates != 0 {
		t.Errorf("of %d requests, %d were refused; the report says %+v", api.Posts, api.Posts/7, got)
	}
	last := api.Posts // the newest order is from that many milliseconds after the epoch
	if last%7 == 0 {
		last--
	}
	rate := float64(got.Accepted) / (float64(last-1+2000) / 1000)
	if got.DrainMs == nil || *got.DrainMs != 2000 || math.Abs(got.PaidPerSecond-rate) > 0.001 {
		t.Errorf("the drain is %v ms, want 2000; the rate of payments %v/s, want %v", got.DrainMs, got.PaidPerSecond, rate)
	}
	if api.Posts >= 2008 {
		t.Errorf("%d requests came after the end", api.Posts-2000)
	}
	if len(api.Keys) != got.Accepted {
		t.Errorf("%d orders came with %d different keys", got.Accepted, len(api.Keys))
	}
	if api.Connections > 8 {
		t.Errorf("8 connections were asked for, %d were made", api.Connections)
	}
	if diff := cmp.Diff(map[string]bool{"Bearer secret": true}, api.Bearers); diff != "" {
		t.Errorf("Authorization (-want +got):\n%s", diff)
	}
}

// The duration alone ends the load as well.
func TestDuration(t *testing.T) {
	t.Parallel()
	got := drive(t, &fakeapi.API{}, func(c *load.Config) { c.Duration = 50 * time.Millisecond })
	if !got.OK || got.Interrupted || got.Accepted == 0 || got.LoadMs < 50 || got.AcceptedPerSecond > float64(got.Accepted)/0.05 {
		t.Errorf("the report says %+v", got)
	}
}

// With the floor, the same figures are beside those of net/http alone.
func TestFloorFigures(t *testing.T) {
	t.Parallel()
	api := (&fakeapi.API{}).Start(t)
	c := config(t, api)
	c.Target, c.Connections, c.Keys = to(t, api, "", 2), 2, true
	c.Duration, c.FloorTime = 50*time.Millisecond, 50*time.Millisecond
	r, err := load.Run(t.Context(), nil, c)
	if err != nil {
		t.Fatal(err)
	}
	f := r.Floor
	if !r.OK || f.Before.Accepted == 0 || f.After.Accepted == 0 || f.Before.LatencyMs.P50 <= 0 || f.After.LatencyMs.P50 <= 0 {
		t.Fatalf("the report says %+v with floor %+v", r, f)
	}
	if f.Before == f.After {
		t.Errorf("before and after are one measurement: %+v", f.Before)
	}
	low, high := min(f.Before.PerSecond, f.After.PerSecond), max(f.Before.PerSecond, f.After.PerSecond)
	if f.PerSecond < low || f.PerSecond > high {
		t.Errorf("the floor's rate %v is not between %v and %v", f.PerSecond, low, high)
	}
	if want := r.AcceptedPerSecond / f.PerSecond; f.Ratio < want-0.001 || f.Ratio > want+0.001 {
		t.Errorf("the ratio of %v to %v is %v", r.AcceptedPerSecond, f.PerSecond, f.Ratio)
	}
	var text strings.Builder
	if err := r.WriteText(&text); err != nil || !strings.Contains(text.String(), "of the floor") {
		t.Errorf("the report (error %v) is\n%s", err, &text)
	}
}

// TestFloorTime: a third of the load's duration, and never too short to mean anything.
func TestFloorTime(t *testing.T) {
	t.Parallel()
	for duration, want := range map[time.Duration]time.Duration{
		50 * time.Millisecond: 3 * time.Second, 9 * time.Second: 3 * time.Second, 15 * time.Second: 5 * time.Second,
	} {
		if got := load.FloorTime(duration); got != want {
			t.Errorf("of %v: %v, want %v", duration, got, want)
		}
	}
}
