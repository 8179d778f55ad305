package order

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Errors of a [Store].
var (
	// ErrNotFound reports that there is no such order.
	ErrNotFound = errors.New("no such order")
	// ErrUnavailable reports that the store or queue can't do it now: throttled,
	// unreachable, closing. A write may or may not have happened; the same call may be
	// made again later.
	ErrUnavailable = errors.New("unavailable, try again later")
)

// ConflictError reports that a write's condition did not hold, and what is stored instead.
// Nothing was written.
type ConflictError struct {
	Current Order
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("the order is %s at version %d", e.Current.Status, e.Current.Version)
}

// Store keeps orders.
//
// Every method may be called concurrently. Each write is one atomic step against
// all others on the same order, and durable once it returned nil: it survives the
// loss of the process and of power. What a read or a [*ConflictError] shows is
// durable too. A method that returns an error other than those it names is
// [ErrUnavailable] (wrapped) or the context's; then a write may have happened, and
// the caller decides whether to call again. Only what repeating can't fix, such as a missing
// table or a record of a newer build, is an error of its own. A store retries nothing that
// the caller could not retry itself, and never beyond the context's deadline.
//
// Tombstones (status [Void]) are stored and returned like orders, but are not listed, and may
// disappear after their ExpiresAt.
type Store interface {
	// Create stores an order if there is neither an order nor a tombstone with its Ref.
	// Otherwise the error is a [*ConflictError]. It is not a conflict if the store repeats
	// a call whose first try had in fact succeeded.
	Create(ctx context.Context, o Order) error

	// Get returns the order. The error is [ErrNotFound]. It sees every write that
	// returned before it was called.
	Get(ctx context.Context, ref Ref) (Order, error)

	// Claim applies [Order.Claimed] in one conditional write, without a read
	// before it, and returns the order as it then is. The error is [ErrNotFound],
	// or a [*ConflictError] if Claimed refuses.
	Claim(ctx context.Context, ref Ref, c Claim) (Order, error)

	// Update replaces the order if its stored version is next.Version-1. The error
	// is a [*ConflictError], or [ErrNotFound].
	Update(ctx context.Context, next Order) error

	// List returns a page of the tenant's orders, newest first: by CreatedAt, then
	// ID, both descending. A page has at most q.Limit orders; with a status it may
	// have fewer, or none, and still a Next. No Next means the end. Following Next
	// visits every order that existed, of that customer and with that status, from
	// before the first page until after the last exactly once, whatever is written
	// meanwhile. A list may lag behind writes; each order it returns is whole. What a
	// page reads is bounded: a list of a customer reads no other customer's orders, and
	// with a status a page ends short once it has read [MaxFiltered] orders.
	List(ctx context.Context, q Query) (Page, error)
}

// Watcher is implemented by stores that can announce changes.
type Watcher interface {
	// Watch returns a channel that receives after the order changed, at least once
	// for any number of changes since the last receive, and only once the change is
	// durable. A change right after Watch returned is seen. Call stop to end it.
	Watch(ref Ref) (changed <-chan struct{}, stop func())
}

// Query asks for a page of a tenant's orders.
type Query struct {
	Tenant string
	// CustomerID leaves out orders of any other customer, compared byte by byte; empty keeps
	// all, with a customer or without.
	CustomerID string
	// Status leaves out orders of any other status; empty keeps all.
	Status Status
	// Limit is at least 1.
	Limit int
	// After is the place to continue from; nil is the newest order.
	After *Position
}

// Position is a place between orders in a list: right after the order with these.
type Position struct {
	CreatedAt time.Time
	ID        string
}

// Position returns the place right after the order.
func (o Order) Position() Position {
	return Position{CreatedAt: o.CreatedAt, ID: o.ID}
}

// MaxFiltered is how many orders a page of a list with a status reads at most: as many as the
// largest page that callers may ask for, so that no filter makes a page cost more.
const MaxFiltered = 100

// Page is a part of a list.
type Page struct {
	Orders []Order
	// Next is where to continue; nil at the end.
	Next *Position
}
