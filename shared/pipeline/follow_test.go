package pipeline_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// script is a store of one order that returns scripted answers, each from a given time
// on, and counts the reads.
type script struct {
	mu      sync.Mutex
	began   time.Time
	answers []scripted
	reads   int
}

type scripted struct {
	from    time.Duration
	version int64
	status  order.Status
	err     error
}

func (s *script) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reads++
	if ctx.Err() != nil {
		return order.Order{}, ctx.Err()
	}
	var now scripted
	for _, answer := range s.answers {
		if time.Since(s.began) >= answer.from {
			now = answer
		}
	}
	return order.Order{Ref: ref, Version: now.version, Status: now.status}, now.err
}

// announcing is a script that implements order.Watcher. It announces every answer except
// the one after an outage.
type announcing struct {
	script
	stopped bool
}

func (a *announcing) Watch(order.Ref) (<-chan struct{}, func()) {
	changed := make(chan struct{}, 1)
	for i, answer := range a.answers {
		if i > 0 && a.answers[i-1].err != nil {
			continue
		}
		time.AfterFunc(answer.from, func() {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	}
	return changed, func() { a.stopped = true }
}

// TestFollow checks what an iterator over an order's states yields, when, and with how many
// reads, on a store that is polled and on one that announces changes.
func TestFollow(t *testing.T) {
	unavailable := fmt.Errorf("throttled: %w", order.ErrUnavailable)
	broken := errors.New("a record of a newer build")
	for _, tt := range []struct {
		name              string
		answers           []scripted
		polled, announced []string
		reads             [2]int
	}{
		{
			"to the end",
			[]scripted{{0, 1, order.Pending, nil}, {250 * time.Millisecond, 2, order.Processing, nil}, {350 * time.Millisecond, 3, order.Paid, nil}},
			[]string{"0s 1 PENDING", "300ms 2 PROCESSING", "400ms 3 PAID"},
			[]string{"0s 1 PENDING", "250ms 2 PROCESSING", "350ms 3 PAID"},
			[2]int{4, 4}, // the first announcement is of a state already read
		},
		{
			"changes between two reads",
			[]scripted{{0, 1, order.Pending, nil}, {10 * time.Millisecond, 2, order.Processing, nil}, {10 * time.Millisecond, 3, order.Failed, nil}},
			[]string{"0s 1 PENDING", "100ms 3 FAILED"},
			[]string{"0s 1 PENDING", "10ms 3 FAILED"},
			[2]int{2, 3},
		},
		{
			"an end that is not the order's last version",
			[]scripted{{0, 4, order.Refunding, nil}, {time.Second, 3, order.Paid, nil}, {2 * time.Second, 5, order.Refunded, nil}},
			[]string{"0s 4 REFUNDING", "3.1s 5 REFUNDED"},
			[]string{"0s 4 REFUNDING", "2s 5 REFUNDED"},
			[2]int{6, 4},
		},
		{
			"an outage, once, though nothing announces its end",
			[]scripted{{0, 1, order.Pending, nil}, {time.Second, 0, "", unavailable}, {1600 * time.Millisecond, 2, order.Paid, nil}},
			[]string{"0s 1 PENDING", "1.5s throttled: unavailable, try again later", "3.1s 2 PAID"},
			[]string{"0s 1 PENDING", "1s throttled: unavailable, try again later", "1.7s 2 PAID"},
			[2]int{6, 6},
		},
		{
			"unreachable at first",
			[]scripted{{0, 0, "", unavailable}, {50 * time.Millisecond, 1, order.Paid, nil}},
			[]string{"0s throttled: unavailable, try again later", "100ms 1 PAID"},
			[]string{"0s throttled: unavailable, try again later", "200ms 1 PAID"},
			[2]int{2, 3},
		},
		{
			"an error that is final",
			[]scripted{{0, 1, order.Pending, nil}, {time.Second, 0, "", broken}},
			[]string{"0s 1 PENDING", "1.5s " + broken.Error()},
			[]string{"0s 1 PENDING", "1s " + broken.Error()},
			[2]int{5, 3},
		},
		{
			"a tombstone",
			[]scripted{{0, 1, order.Void, nil}},
			[]string{"0s " + order.ErrNotFound.Error()}, []string{"0s " + order.ErrNotFound.Error()},
			[2]int{1, 1},
		},
		{
			"the context ends",
			[]scripted{{0, 1, order.Pending, nil}},
			[]string{"0s 1 PENDING"}, []string{"0s 1 PENDING"},
			[2]int{8, 2}, // at 0, 0.1, 0.3, 0.7, 1.5, 3.1, 5.1, 7.1 s
		},
	} {
		for i, want := range [][]string{tt.polled, tt.announced} {
			t.Run(tt.name+[]string{", polled", ", announced"}[i], func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store := &announcing{script: script{began: time.Now(), answers: tt.answers}}
					var getter pipeline.Getter = store
					if i == 0 {
						getter = &store.script
					}
					ctx, cancel := context.WithTimeout(t.Context(), 8*time.Second)
					defer cancel()
					var got []string
					for o, err := range pipeline.NewReader(getter).Follow(ctx, order.Ref{Tenant: tenant, ID: order.KeyedID(tenant, "k")}) {
						text := fmt.Sprint(o.Version, " ", o.Status)
						if err != nil {
							text = errors.Unwrap(err).Error()
						}
						got = append(got, fmt.Sprint(time.Since(store.began), " ", text))
					}
					if diff := cmp.Diff(want, got); diff != "" || store.reads != tt.reads[i] {
						t.Errorf("%d reads, want %d (-want +got):\n%s", store.reads, tt.reads[i], diff)
					}
					if i == 1 && !store.stopped {
						t.Error("the store still announces changes")
					}
				})
			})
		}
	}
}

// TestFollowBreaksOff: nothing is read once the caller has left the loop.
func TestFollowBreaksOff(t *testing.T) {
	for name, first := range map[string]scripted{
		"at a state": {0, 1, order.Pending, nil}, "at an outage": {0, 0, "", order.ErrUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			store := &announcing{script: script{answers: []scripted{first}}}
			for o, err := range pipeline.NewReader(store).Follow(t.Context(), order.Ref{Tenant: tenant, ID: order.KeyedID(tenant, "k")}) {
				if o.Version != first.version || !errors.Is(err, first.err) {
					t.Errorf("version %d, %v", o.Version, err)
				}
				break
			}
			if store.reads != 1 || !store.stopped {
				t.Errorf("%d reads, stopped %v", store.reads, store.stopped)
			}
		})
	}
}

// TestAwaitPastTheEnd: an order that has ended may still change, and a caller may wait for that.
func TestAwaitPastTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &script{began: time.Now(), answers: []scripted{{0, 3, order.Paid, nil}, {time.Second, 4, order.Refunding, nil}}}
		o, err := pipeline.NewReader(store).Await(t.Context(), order.Ref{Tenant: tenant, ID: order.KeyedID(tenant, "k")}, patience(t, time.Minute),
			func(o order.Order) bool { return o.Version > 3 })
		if err != nil || o.Status != order.Refunding || time.Since(store.began) != 1500*time.Millisecond {
			t.Errorf("%s, %v after %v", o.Status, err, time.Since(store.began))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := pipeline.NewReader(store).Await(ctx, o.Ref, patience(t, time.Minute), func(order.Order) bool { return false }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("the context ended: %v", err)
		}
	})
}

// patience is a context that ends after a while.
func patience(t *testing.T, while time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), while)
	t.Cleanup(cancel)
	return ctx
}
