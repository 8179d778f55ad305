package reference

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"
)

// ErrUndecided reports that the time for a check was too short.
var ErrUndecided = errors.New("it is not decided whether the history is linearizable")

// History is what clients asked and were answered. It may be written concurrently; its zero
// value is empty.
type History struct {
	mu         sync.Mutex
	operations []porcupine.Operation
}

// Handle is a request that has begun.
type Handle int

// Begin records the call of a request at a time, which may be of any clock that all clients
// share. A client makes one request after the other.
func (h *History) Begin(client int, in Input, at int64) Handle {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.operations = append(h.operations, porcupine.Operation{
		ClientId: client, Input: in, Call: at, Output: Output{}, Return: math.MaxInt64,
	})
	return Handle(len(h.operations) - 1)
}

// End records the answer, and when it came. Without End, or with the zero Output, the outcome
// of the request is unknown.
func (h *History) End(request Handle, out Output, at int64) {
	if out.Status == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	op := &h.operations[request]
	if in, ok := op.Input.(Input); ok && in.ID == "" && out.Order != nil {
		in.ID = out.Order.ID
		op.Input = in
	}
	op.Output, op.Return = out, at
}

// String counts what was recorded.
func (h *History) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	lost := 0
	kinds := make(map[string]int)
	for _, op := range h.operations {
		in, out := op.Input.(Input), op.Output.(Output)
		if out.Status == 0 {
			lost++
		}
		kinds[fmt.Sprintf("%s %d", in.Action, out.Status)]++
	}
	return fmt.Sprintf("%d requests, %d without an answer: %v", len(h.operations), lost, kinds)
}

// name identifies an order: each tenant has its own.
type name struct{ tenant, id string }

// orders returns the operations on each order. Those that say nothing are left out: reads
// without an answer, orders whose id nobody learned, and what was refused before it reached
// the order.
func (h *History) orders() map[name][]porcupine.Operation {
	h.mu.Lock()
	defer h.mu.Unlock()
	orders := make(map[name][]porcupine.Operation)
	for _, op := range h.operations {
		in, out := op.Input.(Input), op.Output.(Output)
		lost := out.Status == 0
		if lost && in.Action == Get || in.ID == "" || out.Status == http.StatusTooManyRequests {
			continue
		}
		of := name{in.Tenant, in.ID}
		orders[of] = append(orders[of], op)
	}
	return orders
}

// Check returns an error unless the history is linearizable. The error names the first order
// that is not, and the file in folder in which its history is drawn. If there is none, but the
// timeout, which is for each order, was too short for some, it is [ErrUndecided]: many lost
// requests about one order can be too many.
func Check(h *History, timeout time.Duration, folder string) error {
	orders := h.orders()
	var undecided []error
	for _, of := range slices.SortedFunc(maps.Keys(orders), func(a, b name) int {
		return strings.Compare(a.tenant+" "+a.id, b.tenant+" "+b.id)
	}) {
		operations := rows(orders[of])
		about := fmt.Sprintf("order %s of tenant %s, %d requests", of.id, of.tenant, len(operations))
		m := model(operations)
		switch result, info := porcupine.CheckOperationsVerbose(m, operations, timeout); result {
		case porcupine.Ok:
		case porcupine.Unknown:
			undecided = append(undecided, fmt.Errorf("%s: %w within %v", about, ErrUndecided, timeout))
		case porcupine.Illegal:
			path, err := draw(m, info, folder)
			if err != nil {
				return fmt.Errorf("%s: the history is not linearizable; draw it: %w", about, err)
			}
			return fmt.Errorf("%s: the history is not linearizable; it is drawn in %s", about, path)
		}
	}
	return errors.Join(undecided...)
}

// rows numbers the clients of one order's operations for a drawing: a client whose request was
// lost is another from then on.
func rows(operations []porcupine.Operation) []porcupine.Operation {
	rows, next := make(map[int]int), 0
	for i, op := range operations {
		row, known := rows[op.ClientId]
		if !known {
			row, next = next, next+1
		}
		operations[i].ClientId, rows[op.ClientId] = row, row
		if op.Output.(Output).Status == 0 {
			delete(rows, op.ClientId)
		}
	}
	return operations
}

func draw(m porcupine.Model, info porcupine.LinearizationInfo, folder string) (path string, err error) {
	file, err := os.CreateTemp(folder, "history-*.html")
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	return file.Name(), porcupine.Visualize(m, info, file)
}

// soon is how many changes further an order can have come by itself in any way that matters:
// from PENDING over PROCESSING to an end.
const soon = 2

// model is the specification of one order, as the checker wants it: a state stands for itself
// and all to which it may go by itself.
func model(operations []porcupine.Operation) porcupine.Model {
	var latest int64 // of the versions that anybody saw
	for _, op := range operations {
		if o := op.Output.(Output).Order; o != nil {
			latest = max(latest, o.Version)
		}
	}
	nondeterministic := porcupine.NondeterministicModel{
		Init: func() []any { return []any{state{}} },
		Step: func(s, in, out any) (next []any) {
			for _, s := range s.(state).after(in.(Input), out.(Output), latest) {
				next = append(next, s)
			}
			return next
		},
		Equal:             func(a, b any) bool { return a.(state).equal(b.(state)) },
		Hash:              func(s any) uint64 { return uint64(s.(state).version) },
		DescribeOperation: func(in, out any) string { return in.(Input).String() + " → " + out.(Output).String() },
		DescribeState:     func(s any) string { return s.(state).String() },
	}
	return nondeterministic.ToModel()
}

// after returns the states in which the order may be once the request was answered so.
// Nobody ever sees a version past latest.
func (s state) after(in Input, out Output, latest int64) (states []state) {
	lost := out.Status == 0
	if lost {
		states = append(states, s) // it never had an effect
	}
	latest = max(latest, s.version+soon)
	switch {
	case out.Version != 0:
		latest = out.Version
	case out.Order != nil && !out.Replayed:
		latest = out.Order.Version
	}
	for _, at := range s.reach(latest) {
		next, a := at.do(in)
		switch {
		case lost && !next.equal(at):
			states = append(states, next)
		case lost:
		default:
			if next, ok := a.is(in, out, next); ok {
				states = append(states, next)
			}
		}
	}
	return states
}

// reach returns the states to which an order may have come by itself, up to a version.
func (s state) reach(latest int64) []state {
	all := []state{s}
	for i := 0; i < len(all); i++ {
		if all[i].version >= latest {
			continue
		}
		for _, next := range all[i].step() {
			if !slices.ContainsFunc(all, next.equal) {
				all = append(all, next)
			}
		}
	}
	return all
}

// is reports whether an answer is the one that a client got, and returns the next state with
// what the client learned.
func (a answer) is(in Input, out Output, next state) (learned state, ok bool) {
	switch {
	case a.status != out.Status, a.problem != out.Problem, a.replayed != out.Replayed,
		out.Refused != "" && out.Refused != a.refused, (a.shown != nil) != (out.Order != nil):
		return next, false
	case out.Order == nil:
		return next, out.Version == 0 || out.Version == next.version
	case out.Order.ID != in.ID, out.Version != 0 && out.Version != out.Order.Version:
		return next, false
	}
	learned, ok = a.shown.shows(*out.Order)
	if in.Action == Create && a.replayed { // the order as it was
		next.createdAt = learned.createdAt
		return next, ok
	}
	return learned, ok
}

func (s state) equal(t state) bool {
	return slices.Equal(s.refunds, t.refunds) && s.status == t.status && s.version == t.version && s.first == t.first &&
		s.request == t.request && s.token == t.token && s.round == t.round && s.declined == t.declined &&
		s.erased == t.erased && s.createdAt == t.createdAt && s.paymentRef == t.paymentRef && s.attempts == t.attempts
}

// String describes the request, for drawings.
func (in Input) String() string {
	text := string(in.Action)
	add := func(format string, given bool, value any) {
		if given {
			text += fmt.Sprintf(format, value)
		}
	}
	add(" key %s", in.Key != "", in.Key)
	add(" %+v", in.Action == Create, in.Request)
	add(" %d", in.Amount != 0, in.Amount)
	add(" for %q", in.Reason != "", in.Reason)
	add(" with %s", in.Token != "", in.Token)
	add(" if %d", in.IfMatch != 0, in.IfMatch)
	add(" if not %d", in.IfNoneMatch != 0, in.IfNoneMatch)
	return text
}

// String describes the answer, for drawings.
func (out Output) String() string {
	var text strings.Builder
	switch o := out.Order; {
	case out.Status == 0:
		text.WriteString("unknown")
	case o == nil:
		text.WriteString(strings.TrimSpace(fmt.Sprintf("%d %s %s", out.Status, out.Problem, out.Refused)))
	default:
		fmt.Fprintf(&text, "%d %s, version %d", out.Status, o.Status, o.Version)
		if out.Replayed {
			text.WriteString(", replayed")
		}
		if o.Attempts > 0 {
			fmt.Fprintf(&text, ", attempt %d %s", o.Attempts, o.Outcome)
		}
		for _, r := range o.Refunds {
			fmt.Fprintf(&text, ", refund of %d %s", r.Amount, r.Status)
		}
	}
	return text.String()
}

func (s state) String() string {
	if s.status == absent {
		return "none"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "%s at version %d, round %d", s.status, s.version, s.round)
	if s.declined {
		text.WriteString(", declined")
	}
	for _, r := range s.refunds {
		fmt.Fprintf(&text, ", refund of %d %s", r.amount, r.status)
	}
	return text.String()
}
