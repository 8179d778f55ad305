package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/google/uuid"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/shared/order"
)

// pauseBetweenLooks is the time between two looks at an order that is not at its end.
const pauseBetweenLooks = 250 * time.Millisecond

// errInterrupted reports that following ended before its limit.
var errInterrupted = errors.New("interrupted")

// fate is what is known of an order that was accepted.
type fate byte

const (
	unread     fate = iota
	unfinished      // found, but not at an end
	ended
	missing // the API does not find it
)

// ledger holds which orders were accepted and what became of each, in 17 bytes an order.
type ledger struct {
	ids    []uuid.UUID // sorted, each once
	fates  []fate      // by the same index
	counts [missing + 1]int
	ends   map[order.Status]int
	// lastEnd and lastPaid are the newest updatedAt of orders at an end, and of PAID ones.
	lastEnd, lastPaid time.Time
}

// newLedger takes over ids. It also returns how many of them repeat another.
func newLedger(ids []uuid.UUID) (l *ledger, duplicates int) {
	slices.SortFunc(ids, compareIDs)
	unique := slices.Compact(ids)
	l = &ledger{ids: unique, fates: make([]fate, len(unique)), ends: map[order.Status]int{}}
	l.counts[unread] = len(unique)
	return l, len(ids) - len(unique)
}

func compareIDs(a, b uuid.UUID) int { return bytes.Compare(a[:], b[:]) }

// note records the state of an order. It reports whether the order is worth waiting for:
// those of others are not.
func (l *ledger) note(o orderView) (wait bool) {
	i, ours := slices.BinarySearchFunc(l.ids, o.ID, compareIDs)
	if !ours || l.fates[i] == ended {
		return false
	}
	if !o.Status.End() {
		l.set(i, unfinished)
		return true
	}
	l.set(i, ended)
	l.ends[o.Status]++
	l.lastEnd = latest(l.lastEnd, o.UpdatedAt)
	if o.Status == order.Paid {
		l.lastPaid = latest(l.lastPaid, o.UpdatedAt)
	}
	return false
}

func (l *ledger) set(i int, f fate) {
	l.counts[l.fates[i]]--
	l.counts[f]++
	l.fates[i] = f
}

func latest(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// follower finds out what became of orders.
type follower struct {
	target *apiclient.Client
	limit  time.Duration // for orders to reach their ends
	now    func() time.Time
	show   *progress
}

// run follows the orders of a ledger. Oldest is the createdAt of the first. The list is
// cheap, a hundred orders a request; an order that it did not show is asked for by its id.
// After an error some orders may be unread.
func (f *follower) run(ctx context.Context, l *ledger, oldest time.Time) error {
	deadline := f.now().Add(f.limit)
	err := f.walk(ctx, l, oldest, deadline)
	for i, id := range l.ids {
		if l.fates[i] != unread {
			continue
		}
		look := func() (wait bool, err error) { return f.lookAt(ctx, l, i, id) }
		if err := f.settle(ctx, l, deadline, look); err != nil {
			return err
		}
	}
	return err
}

// lookAt asks for the order at index i of the ledger by its id.
func (f *follower) lookAt(ctx context.Context, l *ledger, i int, id uuid.UUID) (wait bool, err error) {
	var o orderView
	a, err := askFor(ctx, f.target, http.StatusOK, &o, http.MethodGet, "/orders/"+id.String(), nil)
	switch {
	case a.Status == http.StatusNotFound:
		l.set(i, missing)
		return false, nil
	case err != nil:
		return false, err
	case o.ID != id:
		return false, fmt.Errorf("asked for order %s, the answer is order %s", id, o.ID)
	}
	return l.note(o), nil
}

// walk goes through the list once, from the newest order to the oldest of the run, and
// stays at a page until its orders are at their ends. New orders do not change what is
// behind a page's cursor, so nothing is skipped.
func (f *follower) walk(ctx context.Context, l *ledger, oldest, deadline time.Time) error {
	cursor := ""
	for l.counts[unread] > 0 {
		var page struct {
			Orders []orderView `json:"orders"`
			Next   string      `json:"next"`
		}
		past := false
		err := f.settle(ctx, l, deadline, func() (wait bool, err error) {
			page.Orders, page.Next = nil, ""
			query := url.Values{"limit": {"100"}}
			if cursor != "" {
				query.Set("cursor", cursor)
			}
			_, err = askFor(ctx, f.target, http.StatusOK, &page, http.MethodGet, "/orders?"+query.Encode(), nil)
			for _, o := range page.Orders {
				wait = l.note(o) || wait
				past = past || o.CreatedAt.Before(oldest)
			}
			return wait, err
		})
		if err != nil {
			return err
		}
		if past || page.Next == "" {
			return nil
		}
		cursor = page.Next
	}
	return nil
}

// settle looks again and again, with pauses, until there is nothing to wait for or the
// deadline has passed. It returns the last look's error.
func (f *follower) settle(ctx context.Context, l *ledger, deadline time.Time, look func() (wait bool, err error)) error {
	for {
		wait, err := look()
		f.show.line("%d of %d orders at their ends", l.counts[ended], len(l.ids))
		if ctx.Err() != nil {
			return errInterrupted
		}
		if (!wait && err == nil) || !f.now().Before(deadline) {
			return err
		}
		sleep(ctx, pauseBetweenLooks)
	}
}
