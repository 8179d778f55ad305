package reference

import (
	"net/http"
	"slices"
)

// The statuses of an order. [absent] is one that callers can't see.
const (
	absent     = ""
	pending    = "PENDING"
	processing = "PROCESSING"
	paid       = "PAID"
	failed     = "FAILED"
	canceled   = "CANCELED"
	refunding  = "REFUNDING"
	refunded   = "REFUNDED"
)

// state is one order. Its zero value is the order before anybody asked for it. States are
// values: what shares a slice never changes it.
type state struct {
	status  string
	version int64
	// first is the version that a caller saw first.
	first int64
	// request is what the order was created from; key says under which idempotency key.
	request Request
	key     string
	// token is the payment token of the round; rounds are counted from 1.
	token string
	round int
	// declined says why a FAILED order is: the gateway said no.
	declined bool
	erased   bool
	refunds  []refund

	// What the outside learns only once it is shown, and must be the same from then on.
	createdAt  string
	paymentRef string
	// attempts is how many were shown: they never become fewer.
	attempts int
}

// refund is one refund of an order, oldest first.
type refund struct {
	key    string // empty if it had none
	asked  int64  // 0 for all that was left
	amount int64
	reason string
	status string // PENDING, DONE or DECLINED
	id     string // once it was shown
}

// step returns the states to which an order may go by itself, one change further. Nobody calls
// for these changes, and nobody is told: workers claim the order, give it up again, and settle
// it with what the gateway said.
func (s state) step() []state {
	s.version++
	to := func(status string) state { next := s; next.status = status; return next }
	switch s.status {
	case absent: // a tombstone, which only its version tells from nothing
		return []state{s}
	case pending:
		return []state{to(processing)}
	case processing:
		declined := to(failed)
		declined.declined = true
		return []state{s, to(paid), to(failed), declined}
	case paid, failed: // a message that waited too long for a change is dropped, behind a fence
		return []state{s}
	case refunding:
		done, no := s.ended("DONE"), s.ended("DECLINED")
		done.status, no.status = paid, paid
		if done.left() == 0 {
			done.status = refunded
		}
		return []state{s, done, no}
	}
	return nil // CANCELED and REFUNDED are ends
}

// ended returns the order with an end of its newest refund.
func (s state) ended(status string) state {
	s.refunds = slices.Clone(s.refunds)
	s.refunds[len(s.refunds)-1].status = status
	return s
}

// returned is how much was refunded.
func (s state) returned() (sum int64) {
	for _, r := range s.refunds {
		if r.status == "DONE" {
			sum += r.amount
		}
	}
	return sum
}

// left is how much can still be refunded.
func (s state) left() int64 { return s.request.Amount - s.returned() }

// answer is what a request is answered with.
type answer struct {
	status   int
	problem  string // the type of the problem, if it is one
	replayed bool
	// shown is the order in the body, if there is one.
	shown *state
	// refused is the status of the order that does not allow the request.
	refused string
}

// do is the API: what a request makes of an order, and what it answers, if nothing else happens
// meanwhile.
func (s state) do(in Input) (next state, a answer) {
	ok := func(status int, next state) (state, answer) { return next, answer{status: status, shown: &next} }
	no := func(status int, problem string) (state, answer) { return s, answer{status: status, problem: problem} }
	wrongState := func() (state, answer) {
		return s, answer{status: http.StatusConflict, problem: "wrong-state", refused: s.status}
	}
	if in.Action == Refund && in.Amount != 0 && in.Key == "" {
		return no(http.StatusBadRequest, "idempotency-key-required")
	}
	switch {
	case in.Action == Create:
		return s.create(in)
	case s.status == absent:
		return no(http.StatusNotFound, "order-not-found")
	case in.IfMatch != 0 && in.IfMatch != s.version, in.Action != Get && in.IfNoneMatch == s.version:
		return no(http.StatusPreconditionFailed, "precondition-failed")
	}
	changed := s
	changed.version++
	open := s.status == pending || s.status == processing
	switch in.Action {
	case Create: // above
	case Get:
		if in.IfNoneMatch == s.version {
			return s, answer{status: http.StatusNotModified}
		}
		return ok(http.StatusOK, s)
	case Cancel:
		switch s.status {
		case canceled:
			return ok(http.StatusOK, s)
		case pending:
			changed.status = canceled
			return ok(http.StatusOK, changed)
		}
	case Pay:
		switch {
		case open && s.round > 1 && s.token == in.Token:
			return ok(http.StatusOK, s)
		case s.status == failed:
			changed.token = in.Token
			return ok(http.StatusAccepted, changed.again())
		}
	case Retry:
		if s.status == failed && !s.declined {
			return ok(http.StatusAccepted, changed.again())
		}
	case Erase:
		switch {
		case open || s.status == refunding:
		case s.personal():
			return ok(http.StatusOK, changed.blank())
		default:
			return ok(http.StatusOK, s)
		}
	case Refund:
		return s.refund(in)
	}
	return wrongState()
}

// create answers POST /orders: a key stands for one order, and its first answer.
func (s state) create(in Input) (state, answer) {
	switch {
	case s.status == absent:
		made := state{
			status: pending, version: s.version + 1, first: s.version + 1, request: in.Request, key: in.Key,
			token: in.Request.Token, round: 1,
		}
		return made, answer{status: http.StatusCreated, shown: &made}
	case in.Key == "":
		return s, answer{} // two orders never have one id
	case in.Key != s.key || in.Request != s.request:
		return s, answer{status: http.StatusUnprocessableEntity, problem: "idempotency-key-reused"}
	}
	first := state{
		status: pending, version: s.first, first: s.first, request: s.request, round: 1,
		createdAt: s.createdAt, erased: s.erased,
	}
	return s, answer{status: http.StatusCreated, replayed: true, shown: &first}
}

// refund answers POST /orders/{id}/refund: a key stands for one refund, and all that is left
// is asked for only once.
func (s state) refund(in Input) (state, answer) {
	same := answer{status: http.StatusOK, replayed: in.Key != "", shown: &s}
	i := slices.IndexFunc(s.refunds, func(r refund) bool { return in.Key != "" && r.key == in.Key })
	whole := len(s.refunds) > 0 && s.refunds[len(s.refunds)-1].asked == 0
	switch {
	case i >= 0 && (s.refunds[i].asked != in.Amount || s.refunds[i].reason != in.Reason):
		return s, answer{status: http.StatusUnprocessableEntity, problem: "idempotency-key-reused"}
	case i >= 0, in.Amount == 0 && (s.status == refunded || s.status == refunding && whole):
		return s, same
	case s.status != paid:
		return s, answer{status: http.StatusConflict, problem: "wrong-state", refused: s.status}
	case in.Amount > s.left():
		return s, answer{status: http.StatusUnprocessableEntity, problem: "invalid-request"}
	}
	r := refund{key: in.Key, asked: in.Amount, amount: in.Amount, reason: in.Reason, status: "PENDING"}
	if r.asked == 0 {
		r.amount = s.left()
	}
	s.version++
	s.status, s.refunds = refunding, append(slices.Clip(s.refunds), r)
	return s, answer{status: http.StatusAccepted, shown: &s}
}

// again returns the order in a new round.
func (s state) again() state {
	s.status, s.declined, s.round = pending, false, s.round+1
	return s
}

// personal reports whether there is anything to erase.
func (s state) personal() bool {
	reason := slices.ContainsFunc(s.refunds, func(r refund) bool { return r.reason != "" })
	return reason || !s.erased && (s.request.CustomerID != "" || s.request.Metadata != "")
}

// blank returns the order without what is personal. The request stays: a repeat of it is
// still recognized.
func (s state) blank() state {
	s.erased, s.refunds = true, slices.Clone(s.refunds)
	for i := range s.refunds {
		s.refunds[i].reason = ""
	}
	return s
}

// shows reports whether a body shows this order, and returns what there was to learn from it.
func (s state) shows(o Order) (learned state, ok bool) {
	want := s.request
	if s.erased {
		want.CustomerID, want.Metadata = "", ""
	}
	charged := s.status == paid || s.status == refunding || s.status == refunded
	switch {
	case o.Status != s.status, o.Version != s.version,
		o.Amount != want.Amount, o.Currency != want.Currency, o.CustomerID != want.CustomerID,
		o.Items != want.Items, o.Metadata != want.Metadata,
		o.CreatedAt == "", s.createdAt != "" && o.CreatedAt != s.createdAt,
		(o.PaymentRef != "") != charged, s.paymentRef != "" && o.PaymentRef != s.paymentRef,
		charged && o.Outcome != "approved", (o.Failure != "") != (s.status == failed), o.declined() != s.declined,
		o.Attempts < s.attempts, s.status == pending && s.round == 1 && o.Attempts > 0,
		o.RefundedAmount != s.returned(), len(o.Refunds) != len(s.refunds):
		return s, false
	}
	s.createdAt, s.paymentRef, s.attempts, s.refunds = o.CreatedAt, o.PaymentRef, o.Attempts, slices.Clone(s.refunds)
	for i, r := range o.Refunds {
		mine := &s.refunds[i]
		if r.Amount != mine.amount || r.Status != mine.status || r.Reason != mine.reason || mine.id != "" && r.ID != mine.id {
			return s, false
		}
		mine.id = r.ID
	}
	return s, true
}
