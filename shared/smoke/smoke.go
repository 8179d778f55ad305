// Package smoke checks the main paths of a deployment through its HTTP API: placing,
// paying, declining, replaying. The caller decides how a request gets there: over HTTP from
// anywhere, or straight into the api function during a release.
package smoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"path"

	"github.com/google/uuid"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// Ask sends a request to the deployment and returns the answer, whatever its status. A body
// is JSON. The error means that there was no answer.
type Ask func(ctx context.Context, method, path string, header http.Header, body []byte) (Answer, error)

// Answer is an HTTP response that was read.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Checks yields the name of each check and what is wrong, nil for nothing, as it goes.
// The checks place orders with the example tokens of the payment gateway, and wait for
// their ends: up to 20 s for each. Where nothing can be paid without moving money, all of
// them are declined.
func Checks(ctx context.Context, ask Ask, tokens gateway.TokenDescription) iter.Seq2[string, error] {
	r := &run{ask: ask, tokens: tokens}
	type check struct {
		name  string
		check func(context.Context) error
	}
	checks := []check{{"an order is accepted at once, PENDING", r.place}}
	if tokens.Approved == "" {
		r.tokens.Approved = tokens.Declined
	} else {
		checks = append(checks, check{"a caller who waits sees it PAID", r.paid})
	}
	checks = append(checks, []check{
		{"a declined payment ends FAILED", r.declined},
		{"a repeated Idempotency-Key gets the first answer again", r.replayed},
		{"an unknown order is a 404 problem", r.unknown},
	}...)
	return func(yield func(string, error) bool) {
		for _, c := range checks {
			if !yield(c.name, c.check(ctx)) {
				return
			}
		}
	}
}

type run struct {
	ask    Ask
	tokens gateway.TokenDescription
	placed uuid.UUID // by place
}

func (r *run) place(ctx context.Context) error {
	a, err := r.post(ctx, r.tokens.Approved, "")
	if err != nil {
		return err
	}
	r.placed = a.order.ID
	if a.order.Status != order.Pending || a.order.Amount != amount {
		return fmt.Errorf("the order is %s with the amount %d", a.order.Status, a.order.Amount)
	}
	if location := a.Header.Get("Location"); path.Base(location) != a.order.ID.String() {
		return fmt.Errorf("the header Location is %q for the order %s", location, a.order.ID)
	}
	return nil
}

func (r *run) paid(ctx context.Context) error {
	if r.placed == uuid.Nil {
		return errors.New("no order was placed")
	}
	o, err := r.end(ctx, r.placed)
	if err != nil {
		return err
	}
	if o.Status != order.Paid || o.PaymentRef == "" {
		return fmt.Errorf("the order is %s, with paymentRef %q", o.Status, o.PaymentRef)
	}
	return nil
}

func (r *run) declined(ctx context.Context) error {
	a, err := r.post(ctx, r.tokens.Declined, "")
	if err != nil {
		return err
	}
	o, err := r.end(ctx, a.order.ID)
	if err != nil {
		return err
	}
	if o.Status != order.Failed || o.Failure.Code == "" {
		return fmt.Errorf("the order is %s, with failure code %q", o.Status, o.Failure.Code)
	}
	return nil
}

func (r *run) replayed(ctx context.Context) error {
	key := "smoke-" + uuid.NewString()
	first, err := r.post(ctx, r.tokens.Approved, key)
	if err != nil {
		return err
	}
	again, err := r.post(ctx, r.tokens.Approved, key)
	if err != nil {
		return err
	}
	const header = "Idempotency-Replayed"
	if !bytes.Equal(first.Body, again.Body) {
		return fmt.Errorf("the answers differ: %s and %s", bytes.TrimSpace(first.Body), bytes.TrimSpace(again.Body))
	}
	if a, b := first.Header.Get(header), again.Header.Get(header); a != "" || b != "true" {
		return fmt.Errorf("%s is %q at first and then %q", header, a, b)
	}
	return nil
}

func (r *run) unknown(ctx context.Context) error {
	a, err := r.ask(ctx, http.MethodGet, "/orders/"+uuid.NewString(), nil, nil)
	if err != nil {
		return err
	}
	if kind := a.Header.Get("Content-Type"); a.Status != http.StatusNotFound || kind != "application/problem+json" {
		return fmt.Errorf("the status is %d and the Content-Type %q", a.Status, kind)
	}
	return nil
}

const amount = 12000

// shown is an order as an answer shows it.
type shown struct {
	Answer
	order view
}

// view is the part of an order that the checks read.
type view struct {
	ID         uuid.UUID    `json:"id"`
	Status     order.Status `json:"status"`
	Amount     int64        `json:"amount"`
	PaymentRef string       `json:"paymentRef"`
	Failure    struct {
		Code string `json:"code"`
	} `json:"failure"`
}

// post places an order; the key is empty for none.
func (r *run) post(ctx context.Context, token order.Token, key string) (shown, error) {
	body, err := json.Marshal(map[string]any{
		"amount": amount, "currency": "KRW", "customerId": "smoke", "paymentToken": token,
		"items": []map[string]any{{"sku": "TEA-1", "quantity": 2, "unitPrice": amount / 2}},
	})
	if err != nil {
		return shown{}, fmt.Errorf("encode the order: %w", err)
	}
	header := http.Header{}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	return r.askFor(ctx, http.StatusCreated, http.MethodPost, "/orders", header, body)
}

// end waits until an order is at its end.
func (r *run) end(ctx context.Context, id uuid.UUID) (view, error) {
	a, err := r.askFor(ctx, http.StatusOK, http.MethodGet, "/orders/"+id.String(), http.Header{"Prefer": {"wait=20"}}, nil)
	return a.order, err
}

// askFor sends a request whose answer must be an order with that HTTP status.
func (r *run) askFor(ctx context.Context, status int, method, path string, header http.Header, body []byte) (shown, error) {
	a, err := r.ask(ctx, method, path, header, body)
	if err != nil {
		return shown{}, err
	}
	if a.Status != status {
		return shown{}, fmt.Errorf("%s %s: status %d: %s", method, path, a.Status, bytes.TrimSpace(a.Body))
	}
	s := shown{Answer: a}
	if err := json.Unmarshal(a.Body, &s.order); err != nil {
		return shown{}, fmt.Errorf("decode the answer to %s %s: %w", method, path, err)
	}
	return s, nil
}
