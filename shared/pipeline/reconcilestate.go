package pipeline

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"paylane/shared/order"
)

// ReconcileVersion is the version of [ReconcileState] that this build writes and reads.
const ReconcileVersion = 1

const (
	// MaxReconcileRate is the most that a walk asks the gateway per second.
	MaxReconcileRate = 1000
	// reconcileSegments is how many orders a walk handles at once. They ask a gateway that
	// takes 200 ms to answer 80 times a second.
	reconcileSegments = 16
)

// ErrReconcileState reports a state that is not a walk's, or is of a version that this build
// can't read.
var ErrReconcileState = errors.New("not the state of a reconciliation")

// ReconcileState is a walk over all orders: what it is to do, how far it has come, and what it
// has found. As JSON it is a message's body.
type ReconcileState struct {
	Version int `json:"version"`
	// From and To select orders by their creation: not before From, and before To. A
	// zero time leaves its side open.
	From time.Time `json:"from,omitzero"`
	To   time.Time `json:"to,omitzero"`
	// Apply settles open orders. Without it nothing is written.
	Apply bool `json:"apply"`
	// RatePerSecond is how often the gateway is called, 1 to [MaxReconcileRate].
	RatePerSecond int `json:"ratePerSecond"`
	// StuckAfter is as in [ReconcilerConfig], for this walk; 0 is the reconciler's.
	StuckAfter time.Duration `json:"stuckAfter,omitempty"`
	// Nightly marks a walk that the schedule began, and Continued counts the messages by which
	// a walk went on so far. Both are for whoever calls Run, which leaves them alone.
	Nightly   bool               `json:"nightly,omitempty"`
	Continued int                `json:"continued,omitempty"`
	Segments  []ReconcileSegment `json:"segments"`
	Books     ReconcileBooks     `json:"books,omitzero"`
	Report    ReconcileReport    `json:"report"`
}

// ReconcileSegment is how far a walk has come in one segment of the store.
type ReconcileSegment struct {
	// Cursor is where to continue, unless Ended says that nothing is left to read.
	Cursor string `json:"cursor,omitempty"`
	Ended  bool   `json:"ended,omitempty"`
	// Rest holds the orders that were read before the cursor and not visited yet.
	Rest []RestOrder `json:"rest,omitempty"`
}

// RestOrder is an [order.Ref] in JSON.
type RestOrder struct {
	Tenant string `json:"tenant"`
	ID     string `json:"orderId"`
}

// ReconcileReport counts orders. One that was changed during the walk may be visited, and
// counted, more than once; a difference may be found both at the order and in the gateway's
// books.
type ReconcileReport struct {
	// Scanned counts the orders in the window; Checked those of them that the gateway was
	// asked about.
	Scanned int64 `json:"scanned"`
	Checked int64 `json:"checked"`
	// Listed counts the charges and refunds that were read in the gateway's books.
	Listed int64 `json:"listed,omitempty"`
	// Stuck counts open orders that a walk with Apply would settle.
	Stuck int64 `json:"stuck"`
	// Settled counts open orders that reached an end, by its status in lower case.
	Settled map[string]int64 `json:"settled"`
	// Differences counts orders that a person must look at.
	Differences map[FindingKind]int64 `json:"differences"`
	// Unknown counts orders whose outcome the gateway could not determine. They stay as they
	// are.
	Unknown int64 `json:"unknown"`
	// Errors counts orders at which the store failed.
	Errors int64 `json:"errors"`
}

// FindingKind is what was found about an order.
type FindingKind string

// The differences: the gateway has another record of how an order ended.
const (
	ChargeMissing    FindingKind = "charge_missing"    // PAID, but not charged
	ChargeReference  FindingKind = "charge_reference"  // PAID, but charged under another reference
	ChargeUnexpected FindingKind = "charge_unexpected" // FAILED or CANCELED, but charged; or charged twice
	RefundMissing    FindingKind = "refund_missing"    // refunded, but the money is not back
	RefundReference  FindingKind = "refund_reference"  // REFUNDED, but under another reference
	RefundUnexpected FindingKind = "refund_unexpected" // refunded, without the order knowing
	OrderMissing     FindingKind = "order_missing"     // charged or refunded, but there is no such order
)

// The other findings.
const (
	FindingStuck   FindingKind = "stuck"
	FindingSettled FindingKind = "settled"
	FindingUnknown FindingKind = "unknown"
	FindingError   FindingKind = "error"
)

// Difference reports whether a person must look.
func (k FindingKind) Difference() bool {
	switch k {
	case ChargeMissing, ChargeReference, ChargeUnexpected, RefundMissing, RefundReference, RefundUnexpected, OrderMissing:
		return true
	case FindingStuck, FindingSettled, FindingUnknown, FindingError:
	}
	return false
}

// Finding is what a walk found about one order.
type Finding struct {
	Kind FindingKind
	// Order is as it was read, before anything was done about it.
	Order order.Order
	// GatewayRef is the gateway's reference, if it acted.
	GatewayRef string
	// Settled is the status in which the order ended, in lower case.
	Settled string
	Err     error
}

// NewReconcileState returns the state of a walk that has not begun.
func NewReconcileState(from, to time.Time, apply bool, ratePerSecond int) ReconcileState {
	return ReconcileState{
		Version: ReconcileVersion, From: from, To: to, Apply: apply, RatePerSecond: ratePerSecond,
		Segments: make([]ReconcileSegment, reconcileSegments),
		Report:   ReconcileReport{Settled: map[string]int64{}, Differences: map[FindingKind]int64{}},
	}
}

// ParseReconcileState parses what [ReconcileState.Encode] returned. The error wraps
// [ErrReconcileState].
func ParseReconcileState(body string) (ReconcileState, error) {
	var s ReconcileState
	// The version first: what else a newer build writes may not fit.
	var version struct{ Version int }
	err := json.Unmarshal([]byte(body), &version)
	if err == nil && version.Version == ReconcileVersion {
		err = json.Unmarshal([]byte(body), &s)
	}
	if err != nil {
		return ReconcileState{}, fmt.Errorf("%w: it is not the JSON of one", ErrReconcileState)
	}
	s.Version = version.Version
	return s, s.Check()
}

// Encode returns the state as JSON.
func (s ReconcileState) Encode() string {
	body, err := json.Marshal(s)
	if err != nil {
		panic(err) // only a time past the year 9999 can't be encoded, and Check refuses it
	}
	return string(body)
}

// Check reports what is wrong with a state. The error wraps [ErrReconcileState].
func (s ReconcileState) Check() error {
	const lastYear = 9999 // of RFC 3339
	switch {
	case s.Version != ReconcileVersion:
		return fmt.Errorf("%w: version %d, this build reads %d", ErrReconcileState, s.Version, ReconcileVersion)
	case s.RatePerSecond < 1 || s.RatePerSecond > MaxReconcileRate:
		return fmt.Errorf("%w: ratePerSecond must be from 1 to %d", ErrReconcileState, MaxReconcileRate)
	case s.StuckAfter < 0:
		return fmt.Errorf("%w: stuckAfter must not be negative", ErrReconcileState)
	case s.Continued < 0:
		return fmt.Errorf("%w: continued must not be negative", ErrReconcileState)
	case !s.From.IsZero() && !s.To.IsZero() && !s.From.Before(s.To):
		return fmt.Errorf("%w: from must be before to", ErrReconcileState)
	case s.From.Year() > lastYear || s.To.Year() > lastYear:
		return fmt.Errorf("%w: the year is past %d", ErrReconcileState, lastYear)
	case len(s.Segments) < 1 || len(s.Segments) > reconcileSegments:
		return fmt.Errorf("%w: it has %d segments", ErrReconcileState, len(s.Segments))
	}
	return nil
}

// visited reports whether every order was.
func (s ReconcileState) visited() bool {
	return !slices.ContainsFunc(s.Segments, func(seg ReconcileSegment) bool { return !seg.Ended || len(seg.Rest) > 0 })
}

// clone returns a copy that shares nothing that a walk changes.
func (s ReconcileState) clone() ReconcileState {
	s.Segments = slices.Clone(s.Segments)
	settled, differences := make(map[string]int64), make(map[FindingKind]int64)
	maps.Copy(settled, s.Report.Settled)
	maps.Copy(differences, s.Report.Differences)
	s.Report.Settled, s.Report.Differences = settled, differences
	return s
}
