// Package bulk does the same to many orders, over the API of a running paylane.
package bulk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"paylane/cmd/paylane/internal/apiclient"
	"paylane/shared/order"
	"paylane/shared/smoke"
)

// Config says what to do to which orders. All fields down to PerSecond are required.
type Config struct {
	Target *apiclient.Client
	// Action is the last part of the path of POST /orders/{id}/retry, for example.
	Action string
	// Query is that of the list of the orders.
	Query url.Values
	// Choose reports whether something is to be done to a listed order, and whether the list
	// is to be read on.
	Choose func(Order) (chosen, more bool)
	// PerSecond is how many orders to change per second, at most.
	PerSecond int
	// Tenant is whose orders they are, for a token of an operator over all tenants; empty for
	// any other token, whose tenant's orders they then are.
	Tenant string
	// DryRun changes nothing.
	DryRun bool
	// Out gets the id of each order that was changed, or would be.
	Out io.Writer
	// Progress gets a line that is written again and again; nil is nobody.
	Progress io.Writer
}

// Report counts orders.
type Report struct {
	Found   int // chosen from the list
	Done    int
	Changed int // no longer as they were listed: left alone
	Failed  int // not done, for another reason
	// Why is the first such reason.
	Why error
}

// Order is an order as it was listed.
type Order struct {
	ID        string       `json:"id"`
	Status    order.Status `json:"status"`
	Version   int64        `json:"version"`
	CreatedAt time.Time    `json:"createdAt"`
	Failure   struct {
		Code string `json:"code"`
	} `json:"failure"`
}

const (
	pageSize = 100 // the API's most
	tries    = 5   // of one request
	// firstPause precedes the second try, unless the answer says when; it doubles with each.
	firstPause = time.Second
)

// Run finds the orders, and then asks for the action on each that is still as it was found. If
// the action takes an order off the list, a run that ended early can be repeated. The error is
// one that concerns every order; the report then says how far it came.
func Run(ctx context.Context, c Config) (Report, error) {
	var r Report
	if c.Tenant != "" {
		if err := c.checkTenant(ctx); err != nil {
			return r, err
		}
	}
	found, err := c.find(ctx)
	defer c.line("")
	if r.Found = len(found); err != nil {
		return r, err
	}
	ticks := time.NewTicker(time.Second / time.Duration(c.PerSecond))
	defer ticks.Stop()
	for i, o := range found {
		c.line("%s %d of %d", bar(i, len(found)), i, len(found))
		if c.DryRun {
			fmt.Fprintln(c.Out, o.ID)
			continue
		}
		select {
		case <-ticks.C:
		case <-ctx.Done():
			return r, ctx.Err()
		}
		// Only in the version that was listed: what has changed since is somebody's doing.
		answer, err := c.ask(ctx, http.MethodPost, "/orders/"+o.ID+"/"+c.Action, nil, http.Header{"If-Match": {`"` + strconv.FormatInt(o.Version, 10) + `"`}})
		switch {
		case ctx.Err() != nil:
			return r, ctx.Err()
		case err == nil && (answer.Status == http.StatusOK || answer.Status == http.StatusAccepted):
			r.Done++
			c.line("")
			fmt.Fprintln(c.Out, o.ID)
		case err == nil && (answer.Status == http.StatusConflict || answer.Status == http.StatusPreconditionFailed || answer.Status == http.StatusNotFound):
			r.Changed++
		case err == nil && (answer.Status == http.StatusUnauthorized || answer.Status == http.StatusForbidden):
			return r, fmt.Errorf("%s the order %s: %w: the token needs the scope orders/operate", c.Action, o.ID, apiclient.Refusal(answer))
		default:
			if err == nil {
				err = apiclient.Refusal(answer)
			}
			if r.Failed++; r.Why == nil {
				r.Why = fmt.Errorf("%s the order %s: %w", c.Action, o.ID, err)
			}
		}
	}
	return r, nil
}

// find lists the orders, newest first.
func (c Config) find(ctx context.Context) (found []Order, err error) {
	query := maps.Clone(c.Query)
	query.Set("limit", strconv.Itoa(pageSize))
	for {
		answer, err := c.ask(ctx, http.MethodGet, "/orders", query, nil)
		if err == nil && answer.Status != http.StatusOK {
			err = apiclient.Refusal(answer)
		}
		var page struct {
			Orders []Order `json:"orders"`
			Next   string  `json:"next"`
		}
		if err == nil {
			err = json.Unmarshal(answer.Body, &page)
		}
		if err != nil {
			return nil, fmt.Errorf("list the orders: %w", err)
		}
		for _, o := range page.Orders {
			chosen, more := c.Choose(o)
			if chosen {
				found = append(found, o)
			}
			if !more {
				return found, nil
			}
		}
		if page.Next == "" {
			return found, nil
		}
		query.Set("cursor", page.Next)
		c.line("found %d", len(found))
	}
}

// checkTenant returns an error if the token is one tenant's own: the API would ignore the
// tenant that was named. To an operator over all, it does not answer a request that names none.
func (c Config) checkTenant(ctx context.Context) error {
	c.Tenant = ""
	answer, err := c.ask(ctx, http.MethodGet, "/orders", url.Values{"limit": {"1"}}, nil)
	switch {
	case err != nil:
		return fmt.Errorf("list the orders: %w", err)
	case answer.Status == http.StatusOK:
		return errors.New("the token is not of an operator over all tenants: omit --tenant, and the orders are those of its own tenant")
	case answer.Status != http.StatusBadRequest:
		return fmt.Errorf("list the orders: %w", apiclient.Refusal(answer))
	}
	return nil
}

// ask sends a request, again and later if the answer is that it came too soon.
func (c Config) ask(ctx context.Context, method, path string, query url.Values, header http.Header) (smoke.Answer, error) {
	if c.Tenant != "" {
		if query == nil {
			query = url.Values{}
		}
		query.Set("tenant", c.Tenant)
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	pause := firstPause
	for try := 1; ; try++ {
		answer, err := c.Target.Ask(ctx, method, path, header, nil)
		soon := err != nil || answer.Status == http.StatusTooManyRequests || answer.Status >= http.StatusInternalServerError
		if !soon || try == tries || ctx.Err() != nil {
			return answer, err
		}
		wait := pause
		if seconds, err := strconv.Atoi(answer.Header.Get("Retry-After")); err == nil && seconds >= 0 {
			wait = time.Duration(min(seconds, int(time.Minute/time.Second))) * time.Second
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return answer, ctx.Err()
		}
		pause *= 2
	}
}

// line replaces the line of progress.
func (c Config) line(format string, args ...any) {
	if c.Progress != nil {
		fmt.Fprintf(c.Progress, "\r\x1b[K"+format, args...)
	}
}

// bar draws how much is done.
func bar(done, of int) string {
	const width = 30
	full := done * width / of
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", width-full) + "]"
}
