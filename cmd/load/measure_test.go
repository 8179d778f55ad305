package main

import (
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"paylane/shared/order"
)

// drive measures a fake API with one connection, until the fake has seen stopAt
// requests.
func drive(t *testing.T, api *fakeAPI, flags ...string) report {
	t.Helper()
	stop := make(chan struct{})
	api.stop = func() { close(stop) }
	api.start(t)
	o, err := parseOptions(append([]string{"-url", api.url, "-c", "1", "-d", "1h"}, flags...), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	r, err := measure(t.Context(), stop, o, &progress{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestMeasure(t *testing.T) {
	t.Parallel()
	ms := func(n float64) *float64 { return &n }
	for _, tt := range []struct {
		name  string
		api   *fakeAPI
		flags []string
		want  report
	}{
		{
			name: "all is well",
			api:  &fakeAPI{stopAt: 101},
			// From 1 ms to 2101 ms after the epoch: 101 in 2.1 s; the newest is from 101 ms.
			want: report{Accepted: 101, Ends: ends("PAID", 101), PaidPerSecond: 48.095, DrainMs: ms(2000)},
		},
		{
			name:  "a declined payment is an end, too",
			api:   &fakeAPI{stopAt: 10},
			flags: []string{"-payment-token", "tok_declined"},
			want:  report{Accepted: 10, Ends: ends("FAILED", 10), DrainMs: ms(2000)},
		},
		{
			name: "orders of others are neither counted nor waited for",
			api:  &fakeAPI{stopAt: 101, companion: every(3)},
			want: report{Accepted: 101, Ends: ends("PAID", 101), PaidPerSecond: 48.095, DrainMs: ms(2000)},
		},
		{
			name: "orders end late",
			api:  &fakeAPI{stopAt: 101, looks: 1},
			want: report{Accepted: 101, Ends: ends("PAID", 101), PaidPerSecond: 48.095, DrainMs: ms(2000)},
		},
		{
			name: "the list lags, the orders are there by their ids, and end late",
			api:  &fakeAPI{stopAt: 10, unlisted: every(5), looks: 1},
			want: report{Accepted: 10, Ends: ends("PAID", 10), PaidPerSecond: 4.978, DrainMs: ms(2000)},
		},
		{
			name: "the list fails for a while",
			api:  &fakeAPI{stopAt: 10, listFails: 1},
			want: report{Accepted: 10, Ends: ends("PAID", 10), PaidPerSecond: 4.978, DrainMs: ms(2000)},
		},
		{
			name:  "the list fails for ever",
			api:   &fakeAPI{stopAt: 10, listFails: 1 << 30},
			flags: []string{"-drain", "1ms"},
			want: report{
				Accepted: 10, Ends: ends("PAID", 10), PaidPerSecond: 4.978, DrainMs: ms(2000),
				FollowError: "GET /orders?limit=100: 503: come back later",
				Failures:    []string{"following the orders: GET /orders?limit=100: 503: come back later"},
			},
		},
		{
			name: "orders are lost",
			api:  &fakeAPI{stopAt: 250, lost: every(100)},
			want: report{
				Accepted: 250, Ends: ends("PAID", 248), PaidPerSecond: 110.271, Missing: 2,
				Failures: []string{"orders accepted but missing: 2"},
			},
		},
		{
			name:  "orders do not end",
			api:   &fakeAPI{stopAt: 250, endless: every(100)},
			flags: []string{"-drain", "1ms"},
			want: report{
				Accepted: 250, Ends: ends("PAID", 248), PaidPerSecond: 110.271, Unfinished: 2,
				Failures: []string{"orders not at an end 1ms after the load: 2"},
			},
		},
		{
			name: "ids come twice",
			api:  &fakeAPI{stopAt: 10, repeated: every(4)},
			want: report{
				Accepted: 10, Ends: ends("PAID", 8), PaidPerSecond: 3.982, DrainMs: ms(2000), Duplicates: 2,
				Failures: []string{"answers that name an order another had named: 2"},
			},
		},
		{
			name: "requests fail",
			api:  &fakeAPI{stopAt: 10, refused: every(5), nameless: every(3)},
			want: report{
				Accepted: 5, Ends: ends("PAID", 5), PaidPerSecond: 2.491, DrainMs: ms(2000),
				Errors: []failureReport{
					{Kind: "answer", Count: 3, Example: `201, but Location is ""`},
					{Kind: "http_500", Count: 2, Example: "500: no luck"},
				},
				Failures: []string{"failed requests: 5 of 10"},
			},
		},
		{
			name: "every request fails",
			api:  &fakeAPI{stopAt: 2, refused: every(1)},
			want: report{
				Errors:   []failureReport{{Kind: "http_500", Count: 2, Example: "500: no luck"}},
				Failures: []string{"failed requests: 2 of 2"},
			},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := tt.api
			got := drive(t, api, tt.flags...)
			tt.want.URL, tt.want.Connections, tt.want.Interrupted = api.url, 1, true
			tt.want.Requests = api.stopAt
			tt.want.OK = len(tt.want.Failures) == 0
			clocked := cmpopts.IgnoreFields(report{}, "LoadMs", "AcceptedPerSecond", "LatencyMs")
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

// While the load runs it must have the target to itself, and the following is to be
// cheap: no page twice without need, none that is older than the run.
func TestFollowingIsCheap(t *testing.T) {
	t.Parallel()
	for orders, pages := range map[int]int{1: 1, 100: 1, 101: 2, 250: 3} {
		api := &fakeAPI{stopAt: orders}
		drive(t, api)
		want := append([]string{"POST /orders"}, slices.Repeat([]string{"GET /orders"}, pages)...)
		if diff := cmp.Diff(want, api.requests); diff != "" {
			t.Errorf("requests for %d orders (-want +got):\n%s", orders, diff)
		}
	}
}

// An order that the list does not show makes the walk go on, but not past the run.
func TestWalkEndsAtTheOldestOrder(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{stopAt: 50, unlisted: every(50)}
	drive(t, api)
	want := []string{"POST /orders", "GET /orders", "GET /orders/" + api.orders[len(api.orders)-1].ID}
	if diff := cmp.Diff(want, api.requests); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

func TestManyConnections(t *testing.T) {
	t.Parallel()
	api := &fakeAPI{stopAt: 2000, refused: every(7)}
	got := drive(t, api, "-c", "8", "-keys", "-token", "secret")
	if got.Requests != api.posts || got.Accepted != api.posts-api.posts/7 || got.Ends[order.Paid] != got.Accepted || got.Duplicates != 0 {
		t.Errorf("of %d requests, %d were refused; the report says %+v", api.posts, api.posts/7, got)
	}
	last := api.posts // the newest order is from that many milliseconds after the epoch
	if last%7 == 0 {
		last--
	}
	rate := float64(got.Accepted) / (float64(last-1+2000) / 1000)
	if got.DrainMs == nil || *got.DrainMs != 2000 || math.Abs(got.PaidPerSecond-rate) > 0.001 {
		t.Errorf("the drain is %v ms, want 2000; the rate of payments %v/s, want %v", got.DrainMs, got.PaidPerSecond, rate)
	}
	if api.posts >= 2008 {
		t.Errorf("%d requests came after the end", api.posts-2000)
	}
	if len(api.keys) != got.Accepted {
		t.Errorf("%d orders came with %d different keys", got.Accepted, len(api.keys))
	}
	if api.connections > 8 {
		t.Errorf("8 connections were asked for, %d were made", api.connections)
	}
	if diff := cmp.Diff(map[string]bool{"Bearer secret": true}, api.bearers); diff != "" {
		t.Errorf("Authorization (-want +got):\n%s", diff)
	}
}

// The duration alone ends the load, too.
func TestDuration(t *testing.T) {
	t.Parallel()
	got := drive(t, &fakeAPI{}, "-d", "50ms")
	if !got.OK || got.Interrupted || got.Accepted == 0 || got.LoadMs < 50 || got.AcceptedPerSecond > float64(got.Accepted)/0.05 {
		t.Errorf("the report says %+v", got)
	}
}

// With the floor, the same figures stand next to what net/http does alone.
func TestFloorFigures(t *testing.T) {
	t.Parallel()
	api := (&fakeAPI{}).start(t)
	o, err := parseOptions([]string{"-url", api.url, "-c", "2", "-d", "50ms", "-floor", "-keys"}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if o.floorTime != minFloorTime {
		t.Errorf("the floor is measured for %s, the least is %s", o.floorTime, minFloorTime)
	}
	o.floorTime = 50 * time.Millisecond
	r, err := measure(t.Context(), nil, o, &progress{})
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
	if err := r.writeText(&text); err != nil || !strings.Contains(text.String(), "of the floor") {
		t.Errorf("the report (error %v) is\n%s", err, &text)
	}
}
