package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/handlers"
	"paylane/shared/order"
	"paylane/shared/sim/reference"
)

// caller is a writer that goes on with its orders as callers do, and remembers what it was told.
// It repeats what had no answer, so it never has to guess.
type caller struct {
	writer

	t      testing.TB
	told   map[string]reference.Order // by id: the newest
	rounds map[string]rounds
	// client and url are of the runner that is alive.
	client *http.Client
	url    string
}

// rounds counts the further rounds of a FAILED order: the requests for one, and those of them
// that were told that it began. One whose answer was lost may have begun one.
type rounds struct{ asked, begun int }

// newCallers returns twenty callers: fourteen that place orders and look no further, two that
// read and retry what the gateway was away for, two that return money, one whose card is
// declined, and one that cancels.
func newCallers(t testing.TB) []*caller {
	const visa = "pm_card_visa"
	var all []*caller
	add := func(n int, token string, rest time.Duration, then func(c *caller, id string) error) {
		for range n {
			c := &caller{
				writer: writer{
					name: fmt.Sprintf("w%d", len(all)), rest: rest, answers: make(map[string]string),
					order: fmt.Sprintf(`{"amount": %d, "currency": "USD", "paymentToken": "%s"}`, 1200+len(all), token),
				},
				t: t, told: make(map[string]reference.Order), rounds: make(map[string]rounds),
			}
			if then != nil {
				c.then = func(client *http.Client, url, body string) error {
					c.client, c.url = client, url
					out, err := reference.Observed(http.StatusCreated, nil, []byte(body))
					if err != nil {
						return err
					}
					return then(c, out.Order.ID)
				}
			}
			all = append(all, c)
		}
	}
	add(14, visa, 200*time.Millisecond, nil)
	// What these do takes time too.
	add(2, visa, 100*time.Millisecond, (*caller).reads)
	add(2, visa, 100*time.Millisecond, (*caller).returns)
	add(1, "pm_card_chargeDeclined", 100*time.Millisecond, (*caller).paysOtherwise)
	add(1, visa, 200*time.Millisecond, (*caller).cancels)
	return all
}

// reads waits for an order's end, looks through the list, and retries what FAILED: half of it
// with another token.
func (c *caller) reads(id string) error {
	o, err := c.end(id)
	if err != nil {
		return err
	}
	if _, err := c.ask(http.MethodGet, "/orders?limit=20&status="+o.Status, "", "", http.StatusOK); err != nil {
		return err
	}
	switch {
	case o.Status != "FAILED":
		return nil
	case c.next%2 == 0:
		return c.round(id, "retry", "")
	}
	return c.round(id, "pay", `{"paymentToken": "pm_card_mastercard"}`)
}

// paysOtherwise pays every other order with another token once it has FAILED.
func (c *caller) paysOtherwise(id string) error {
	o, err := c.end(id)
	if err != nil || c.next%2 == 0 {
		return err
	}
	if o.Status != "FAILED" && c.rounds[id].asked == 0 {
		c.t.Errorf("order %s has a card that is declined, and is %s", id, o.Status)
	}
	return c.round(id, "pay", `{"paymentToken": "pm_card_visa"}`)
}

// round asks for another round, and waits for its end. If the request is a repeated one, that
// round may have begun, or ended, before: then it is refused.
func (c *caller) round(id, action, body string) error {
	r := c.rounds[id]
	r.asked++
	c.rounds[id] = r
	status := []int{http.StatusAccepted, http.StatusOK}
	if r.asked > 1 {
		status = append(status, http.StatusConflict)
	}
	got, err := c.ask(http.MethodPost, "/orders/"+id+"/"+action, "", body, status...)
	if err != nil {
		return err
	}
	if got == http.StatusAccepted {
		r.begun++
		c.rounds[id] = r
	}
	_, err = c.end(id)
	return err
}

// cancels cancels an order right after it was placed, for which it is mostly too late, and another
// one while it is being placed.
func (c *caller) cancels(id string) error {
	_, err := c.ask(http.MethodPost, "/orders/"+id+"/cancel", "", "", http.StatusOK, http.StatusConflict)
	if err != nil {
		return err
	}
	key := c.key() + "-at-once"
	placed := make(chan error, 1)
	go func() {
		body, err := place(c.client, c.url, key, c.order)
		if err == nil {
			c.answers[key] = body
		}
		placed <- err
	}()
	early := "/orders/" + order.KeyedID(handlers.LocalTenant, key) + "/cancel"
	for status := http.StatusNotFound; status == http.StatusNotFound && err == nil; {
		status, err = c.ask(http.MethodPost, early, "", "", http.StatusOK, http.StatusConflict, http.StatusNotFound)
	}
	return errors.Join(<-placed, err)
}

// returns returns the money of an order: all of it, or a part, or a part and then the rest. Each
// request is made twice.
func (c *caller) returns(id string) error {
	o, err := c.end(id)
	if err != nil || o.Status == "FAILED" {
		return err
	}
	part, rest := `{"amount": 500, "reason": "one of two"}`, `{}`
	refunds := [][]string{{rest}, {part}, {part, rest}}[c.next%3]
	for i, body := range refunds {
		for range 2 {
			_, err := c.ask(http.MethodPost, "/orders/"+id+"/refund", fmt.Sprintf("refund-%d", i), body, http.StatusAccepted, http.StatusOK)
			if err != nil {
				return err
			}
		}
		if o, err = c.end(id); err != nil {
			return err
		}
	}
	if len(o.Refunds) != len(refunds) {
		c.t.Errorf("after the refunds %v an order is %+v", refunds, o)
	}
	return nil
}

// end waits until an order has ended.
func (c *caller) end(id string) (reference.Order, error) {
	for {
		_, err := c.ask(http.MethodGet, "/orders/"+id, "", "", http.StatusOK)
		if err != nil {
			return reference.Order{}, err
		}
		switch o := c.told[id]; o.Status {
		case "PENDING", "PROCESSING", "REFUNDING":
		default:
			return o, nil
		}
	}
}

// ask makes a request and remembers what it was told of an order; the error says that there was
// no answer. Any status is wrong but those that are allowed.
func (c *caller) ask(method, path, key, body string, allowed ...int) (status int, err error) {
	request, err := http.NewRequest(method, c.url+path, strings.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Type", "application/json")
	if key != "" {
		request.Header.Set("Idempotency-Key", key)
	}
	if method == http.MethodGet {
		request.Header.Set("Prefer", "wait=20")
	}
	response, err := c.client.Do(request)
	if err != nil {
		return 0, err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return 0, err
	}
	if !slices.Contains(allowed, response.StatusCode) {
		c.t.Errorf("%s %s %s: %d %s", method, path, body, response.StatusCode, text)
		return response.StatusCode, nil
	}
	out, err := reference.Observed(response.StatusCode, response.Header, text)
	if err != nil {
		c.t.Errorf("%s %s: %v", method, path, err)
	}
	if out.Order != nil && out.Order.ID != "" { // and not a list
		c.hear(*out.Order)
	}
	return response.StatusCode, nil
}

// hear remembers what an order is like now, which must be able to follow what it was like.
func (c *caller) hear(now reference.Order) {
	before, ok := c.told[now.ID]
	if ok && !follows(before, now) {
		c.t.Errorf("an order was %+v, and then %+v", before, now)
	}
	c.told[now.ID] = now
}

// follows reports whether an order can become another, or is still the same.
func follows(before, now reference.Order) bool {
	if now.Version == before.Version {
		return reflect.DeepEqual(now, before)
	}
	for i, r := range before.Refunds {
		if i >= len(now.Refunds) || now.Refunds[i].ID != r.ID || now.Refunds[i].Amount != r.Amount || r.Status != "PENDING" && now.Refunds[i].Status != r.Status {
			return false
		}
	}
	paid := now.Status == "PAID" || now.Status == "REFUNDING" || now.Status == "REFUNDED"
	switch before.Status {
	case "CANCELED", "REFUNDED":
		return false
	case "PAID", "REFUNDING":
		return now.Version > before.Version && paid && now.PaymentRef == before.PaymentRef
	}
	return now.Version > before.Version
}

// check compares how orders ended with what the caller was told of them.
func (c *caller) check(ends map[string]reference.Order) {
	for key, body := range c.answers {
		var o struct{ ID string }
		if err := json.Unmarshal([]byte(body), &o); err != nil || ends[o.ID].ID == "" {
			c.t.Errorf("an acknowledged order is missing, of the key %s: %s, %v", key, body, err)
		}
	}
	for id := range c.told {
		c.hear(ends[id])
	}
}

// checkMoney compares the books of the gateway with how orders ended. A round that FAILED has
// charged nothing, so an order has one charge at most, whatever its rounds.
func checkMoney(t testing.TB, books map[string]stripetest.Book, ends map[string]reference.Order) {
	t.Helper()
	for id, o := range ends {
		var want stripetest.Book
		if o.Status == "PAID" || o.Status == "REFUNDED" {
			want = stripetest.Book{Charged: o.Amount, Charges: 1, Refunded: o.RefundedAmount}
		}
		for _, r := range o.Refunds {
			if r.Status == "DONE" {
				want.Refunds++
			}
		}
		got := books[id]
		if got.Open = 0; got != want { // what could still be charged, and nobody will
			t.Errorf("order %s is %s, and at the gateway it comes to %+v, want %+v", id, o.Status, got, want)
		}
		if (o.Status == "REFUNDED") != (o.RefundedAmount == o.Amount) {
			t.Errorf("order %s is %s, and of %d %d was returned", id, o.Status, o.Amount, o.RefundedAmount)
		}
	}
	for id, book := range books {
		if ends[id].ID == "" {
			t.Errorf("order %s does not exist; at the gateway it comes to %+v", id, book)
		}
	}
}
