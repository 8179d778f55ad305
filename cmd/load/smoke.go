package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"path"

	"github.com/google/uuid"

	"paylane/shared/order"
)

// smoke checks the main paths of a deployment, with a line for each. It tells whether
// all are well.
func smoke(ctx context.Context, t *target, w io.Writer) bool {
	s := &smokeRun{target: t}
	checks := []struct {
		name  string
		check func(context.Context) error
	}{
		{"an order is accepted at once, PENDING", s.place},
		{"a caller who waits sees it PAID", s.paid},
		{"a declined payment ends FAILED", s.declined},
		{"a repeated Idempotency-Key gets the first answer again", s.replayed},
		{"an unknown order is a 404 problem", s.unknown},
	}
	ok := true
	for _, c := range checks {
		if err := c.check(ctx); err != nil {
			ok = false
			fmt.Fprintf(w, "FAIL  %s: %v\n", c.name, err)
		} else {
			fmt.Fprintf(w, "ok    %s\n", c.name)
		}
	}
	return ok
}

type smokeRun struct {
	target *target
	placed uuid.UUID // by place
}

func (s *smokeRun) place(ctx context.Context) error {
	a, err := s.post(ctx, "tok_ok", "")
	if err != nil {
		return err
	}
	s.placed = a.order.ID
	if a.order.Status != order.Pending || a.order.Amount != 12000 {
		return fmt.Errorf("the order is %s over %d", a.order.Status, a.order.Amount)
	}
	if location := a.header.Get("Location"); path.Base(location) != a.order.ID.String() {
		return fmt.Errorf("the header Location is %q for the order %s", location, a.order.ID)
	}
	return nil
}

func (s *smokeRun) paid(ctx context.Context) error {
	o, err := s.end(ctx, s.placed)
	if err != nil {
		return err
	}
	if o.Status != order.Paid || o.PaymentRef == "" {
		return fmt.Errorf("the order is %s, with paymentRef %q", o.Status, o.PaymentRef)
	}
	return nil
}

func (s *smokeRun) declined(ctx context.Context) error {
	a, err := s.post(ctx, "tok_declined", "")
	if err != nil {
		return err
	}
	o, err := s.end(ctx, a.order.ID)
	if err != nil {
		return err
	}
	if o.Status != order.Failed || o.Failure.Code == "" {
		return fmt.Errorf("the order is %s, with failure code %q", o.Status, o.Failure.Code)
	}
	return nil
}

func (s *smokeRun) replayed(ctx context.Context) error {
	key := "smoke-" + uuid.NewString()
	first, err := s.post(ctx, "tok_ok", key)
	if err != nil {
		return err
	}
	again, err := s.post(ctx, "tok_ok", key)
	if err != nil {
		return err
	}
	const header = "Idempotency-Replayed"
	if !bytes.Equal(first.body, again.body) {
		return fmt.Errorf("the answers differ: %s and %s", bytes.TrimSpace(first.body), bytes.TrimSpace(again.body))
	}
	if a, b := first.header.Get(header), again.header.Get(header); a != "" || b != "true" {
		return fmt.Errorf("%s is %q at first and %q then", header, a, b)
	}
	return nil
}

func (s *smokeRun) unknown(ctx context.Context) error {
	a, err := s.target.ask(ctx, http.MethodGet, "/orders/"+uuid.NewString(), nil, nil)
	if err != nil {
		return err
	}
	if kind := a.header.Get("Content-Type"); a.status != http.StatusNotFound || kind != "application/problem+json" {
		return fmt.Errorf("the answer is a %d of type %q", a.status, kind)
	}
	return nil
}

// shown is an order as an answer shows it.
type shown struct {
	answer
	order orderView
}

// post places an order; the key is empty for none.
func (s *smokeRun) post(ctx context.Context, paymentToken, key string) (shown, error) {
	body, err := orderRequest(paymentToken)
	if err != nil {
		return shown{}, err
	}
	header := http.Header{}
	if key != "" {
		header.Set("Idempotency-Key", key)
	}
	var o orderView
	a, err := s.target.askFor(ctx, http.StatusCreated, &o, http.MethodPost, "/orders", header, body)
	return shown{a, o}, err
}

// end waits for an order's end.
func (s *smokeRun) end(ctx context.Context, id uuid.UUID) (orderView, error) {
	var o orderView
	_, err := s.target.askFor(ctx, http.StatusOK, &o, http.MethodGet, "/orders/"+id.String(), http.Header{"Prefer": {"wait=20"}}, nil)
	return o, err
}
