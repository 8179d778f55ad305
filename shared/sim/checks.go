package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"paylane/shared/handlers"
	"paylane/shared/order"
)

// checks are what must hold after every step, and at the end. They share no rule with what they
// check: the table of transitions is written down again.
type checks struct {
	*world
	// last is each order as it last was.
	last map[order.Ref]order.Order
	// promised are the orders that a caller was told of, by the highest version that it was told.
	promised map[order.Ref]int64
	ids      map[string][]string // by tenant, in the order in which they were told
	// answers are the first answers to idempotency keys.
	answers map[string]keyed
	// owed is what the tenant with the webhook must be told, and got how often it was.
	owed    []told
	got     map[told]int
	booked  int                      // how many entries of the gateway's books were looked at
	parsed  map[string]order.Message // by body
	failure *failure

	// unordered is set once the past is not what it was for those who call.
	unordered bool
	// gone are the orders whose retention is over.
	gone map[order.Ref]bool
	// After a restore, lost are the orders that changed since the point that was restored, and found
	// those that reconciling named.
	restored    bool
	lost, found map[order.Ref]bool
}

type keyed struct {
	variant int
	body    string
	id      string
	lost    bool // the order is: the key may be another's now
}

// failure is an invariant that does not hold.
type failure struct {
	rule, text string
}

func (f *failure) String() string { return f.rule + ": " + f.text }

func newChecks(w *world) checks {
	return checks{
		world: w, last: map[order.Ref]order.Order{}, promised: map[order.Ref]int64{}, ids: map[string][]string{}, answers: map[string]keyed{},
		got: map[told]int{}, parsed: map[string]order.Message{}, found: map[order.Ref]bool{}, gone: map[order.Ref]bool{},
	}
}

// fail records the first invariant that does not hold.
func (c *checks) fail(rule, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failure == nil {
		c.failure = &failure{rule: rule, text: fmt.Sprintf(format, args...)}
		fmt.Fprintf(&c.trace, "%12.6f FAILED %v\n", time.Since(c.began).Seconds(), c.failure)
	}
}

// keptAttempts is how many attempts that have ended an order keeps at most; others are only counted.
const keptAttempts = 10

// life is where an order may go from each status.
var life = map[order.Status][]order.Status{ //nolint:gochecknoglobals // never written
	"":               {order.Pending, order.Void},
	order.Void:       {order.Void, order.Pending},
	order.Pending:    {order.Processing, order.Canceled},
	order.Processing: {order.Processing, order.Paid, order.Failed},
	order.Paid:       {order.Paid, order.Refunding},
	order.Failed:     {order.Failed, order.Pending},
	order.Canceled:   {order.Canceled},
	order.Refunding:  {order.Refunding, order.Refunded, order.Paid},
	order.Refunded:   {order.Refunded},
}

// wrote looks at an order after a write that reported err.
func (s store) wrote(ctx context.Context, ref order.Ref, err error) {
	if err != nil {
		return
	}
	c := &s.checks
	now, err := s.inner.Get(context.WithoutCancel(ctx), ref)
	if err != nil {
		c.fail("durable", "%s was written and is not there: %v", s.short(ref), err)
		return
	}
	before, existed := c.last[ref]
	if existed && now.Version == before.Version {
		return // a write that was repeated
	}
	c.last[ref] = now
	if newBuild(ctx) {
		s.newer[ref] = true
	}
	if kind := event(before, now); kind != "" && s.hooks && ref.Tenant == hooked {
		c.owed = append(c.owed, told{ref, kind, now.Version})
	}
	c.change(s.short(ref), before, now)
}

// change checks one change of one order.
func (c *checks) change(name string, before, now order.Order) {
	switch {
	case !slices.Contains(life[before.Status], now.Status):
		c.fail("life", "%s went from %q to %s", name, before.Status, now.Status)
	case before.Version > 0 && now.Version != before.Version+1:
		c.fail("version", "%s went from version %d to %d", name, before.Version, now.Version)
	}
	if now.Status == order.Void || before.Status == order.Void || before.Status == "" {
		return
	}
	switch {
	case now.Total != before.Total, now.CreatedAt != before.CreatedAt, !bytes.Equal(now.Fingerprint, before.Fingerprint), now.Livemode != before.Livemode:
		c.fail("constant", "%s changed what never changes: %+v, %+v", name, before, now)
	case now.Round < before.Round, now.Round > before.Round+1, (now.Round > before.Round) != (before.Status == order.Failed && now.Status == order.Pending):
		c.fail("round", "%s went from round %d to %d, and from %s to %s", name, before.Round, now.Round, before.Status, now.Status)
	case before.PaymentRef != "" && now.PaymentRef != before.PaymentRef:
		c.fail("constant", "%s changed its payment from %s to %s", name, before.PaymentRef, now.PaymentRef)
	case now.Charge.Count() < before.Charge.Count(), len(now.Refunds) < len(before.Refunds), len(now.Refunds) == len(before.Refunds) && now.Refund.Count() < before.Refund.Count():
		c.fail("constant", "%s forgot an attempt or a refund", name)
	case now.Charge.KeySeq < before.Charge.KeySeq, now.Refund.KeySeq < before.Refund.KeySeq:
		c.fail("key", "%s went back to an earlier gateway key", name)
	}
	last, _ := now.Leg(order.KindCharge).Last()
	if now.Status == order.Refunding {
		last, _ = now.Leg(order.KindRefund).Last()
	}
	open := now.Status == order.Processing || now.Status == order.Refunding
	switch {
	case open && last.Outcome == order.OutcomePending && last.EndedAt.IsZero() && now.LeaseUntil.IsZero() && now.Status == before.Status && before.LeaseUntil.IsZero():
		c.fail("lease", "%s: an attempt began, and nobody holds the order", name)
	case !open && !now.LeaseUntil.IsZero():
		c.fail("lease", "%s is %s, and held until %v", name, now.Status, now.LeaseUntil.Sub(c.began))
	}
	began := now.Charge.Count() > before.Charge.Count() || len(now.Refunds) == len(before.Refunds) && now.Refund.Count() > before.Refund.Count()
	// Workers whose clocks are apart may both hold an order: what they then do is what is checked.
	if began && before.LeaseUntil.After(time.Now()) && c.faults.of[skewed] == 0 {
		c.fail("lease", "%s: an attempt began while another worker held the order, until %v", name, before.LeaseUntil.Sub(c.began))
	}
	if limit := c.config.Attempts; now.Charge.Tries > limit {
		c.fail("attempts", "%s had %d attempts in a round, the limit is %d", name, now.Charge.Tries, limit)
	}
	for _, l := range []order.Leg{now.Charge, now.Refund} {
		ended := 0
		for _, a := range l.Attempts {
			if a.Outcome != order.OutcomePending {
				ended++
			}
		}
		if ended > keptAttempts {
			c.fail("attempts", "%s keeps %d attempts, the limit is %d", name, ended, keptAttempts)
		}
	}
	ids := map[string]bool{}
	for _, r := range now.Refunds {
		if ids[r.ID] {
			c.fail("refund", "%s has the refund %s twice", name, r.ID)
		}
		ids[r.ID] = true
	}
	for _, r := range before.Refunds {
		if later, ok := now.FindRefund(r.ID); !ok || later.Amount != r.Amount || r.Status != order.RefundPending && later.Status != r.Status {
			c.fail("refund", "%s: the refund %s was %+v and is %+v", name, r.ID, r, later)
		}
	}
	if now.RefundedAmount() > now.Total.Amount {
		c.fail("refund", "%s: %d of %d refunded", name, now.RefundedAmount(), now.Total.Amount)
	}
	if before.Status == order.Failed && now.Status == order.Pending && before.Declined() && now.PaymentToken == before.PaymentToken {
		c.fail("declined", "%s was declined, and is charged again with the same token", name)
	}
	if !c.restored {
		c.money(name, now)
	}
}

// money compares an order with the gateway's books.
func (c *checks) money(name string, o order.Order) {
	charged, refunds := "", map[string]int64{}
	for _, e := range c.gateway.Books() {
		switch {
		case e.Order != o.Ref:
		case e.Refund:
			refunds[e.Ref] = e.Money.Amount
		default:
			charged = e.Ref
		}
	}
	switch o.Status {
	case order.Paid, order.Refunding, order.Refunded:
		if charged == "" || charged != o.PaymentRef {
			c.fail("paid", "%s is %s with %q, and the gateway's books have the charge %q", name, o.Status, o.PaymentRef, charged)
		}
	case order.Failed, order.Canceled:
		if charged != "" {
			c.fail("paid", "%s is %s, and was charged: %s", name, o.Status, charged)
		}
	case order.Pending, order.Processing, order.Void:
	}
	for _, r := range o.Refunds {
		if amount, there := refunds[r.Ref]; r.Status == order.RefundDone && (!there || amount != r.Amount) {
			c.fail("refund", "%s: the refund %s of %d is done, and the gateway's books have %d", name, r.Ref, r.Amount, amount)
		}
	}
}

// books looks at what is new in the gateway's books.
func (c *checks) books() {
	books := c.gateway.Books()
	for _, e := range books[c.booked:] {
		o, ok := c.last[e.Order]
		name := c.short(e.Order)
		charges, returned := 0, int64(0)
		for _, other := range books {
			switch {
			case other.Order != e.Order:
			case other.Refund:
				returned += other.Money.Amount
			default:
				charges++
			}
		}
		switch {
		case !ok:
			c.fail("charge", "%s was charged, and there is no such order", name)
		case charges > 1 && !c.lost[e.Order]: // such a one is to be found, see reconciled
			c.fail("charge", "%s was charged %d times", name, charges)
		case !e.Refund && e.Money != o.Total:
			c.fail("charge", "%s was charged %v instead of %v", name, e.Money, o.Total)
		case !e.Refund && o.Status != order.Processing:
			c.fail("charge", "%s was charged while it was %s", name, o.Status)
		case e.Refund && (o.Status != order.Refunding || e.Money.Amount != o.LastRefund().Amount || e.Money.Currency != o.Total.Currency):
			c.fail("refund", "%s was refunded %v while it was %s with the refunds %+v", name, e.Money, o.Status, o.Refunds)
		case returned > o.Total.Amount:
			c.fail("refund", "%s: %d of %d went back", name, returned, o.Total.Amount)
		}
	}
	c.booked = len(books)
	if c.restored {
		return // an order may come to a key again that it used in another round, for another token
	}
	for _, v := range c.gateway.Violations() {
		c.fail("gateway", "%s", v)
	}
}

// messages checks that every open order has a message that is about it as it is.
func (c *checks) messages() {
	open := map[order.Ref]order.Order{}
	for ref, o := range c.last {
		if o.Status == order.Pending || o.Status == order.Processing || o.Status == order.Refunding {
			open[ref] = o
		}
	}
	if len(open) == 0 {
		return
	}
	for _, queue := range []string{"PaymentQueue", "PaymentDLQ"} {
		for _, m := range c.of[queue].Messages() {
			message, ok := c.parse(m.Body)
			if !ok {
				continue
			}
			if o, ok := open[message.Ref]; ok && message.Disposition(&o, time.Now()) != order.Stale {
				delete(open, message.Ref)
			}
		}
	}
	for ref, o := range open {
		c.fail("message", "%s is %s in round %d with %d refunds, and no message is about it", c.short(ref), o.Status, o.Round, len(o.Refunds))
	}
}

// parse parses a message's body, each only once.
func (c *checks) parse(body string) (order.Message, bool) {
	m, known := c.parsed[body]
	if !known {
		m, _ = order.ParseMessage(read(body)) // the zero message is about no order
		c.parsed[body] = m
	}
	return m, m.Ref.ID != ""
}

// restarted checks that a machine that lost its power has every order as it last was.
func (c *checks) restarted() {
	for ref, o := range c.last {
		now, err := c.inner.Get(context.Background(), ref)
		if err != nil || now.Version != o.Version || now.Status != o.Status {
			c.fail("durable", "%s was %s at version %d, and after a loss of power %s at version %d: %v", c.short(ref), o.Status, o.Version, now.Status, now.Version, err)
		}
	}
}

// look checks what may have changed since the last step.
func (c *checks) look() {
	if len(c.gateway.Books()) > c.booked {
		c.books()
	}
	if !c.restored {
		c.messages()
	}
}

// orderBody is what answers tell of an order.
type orderBody struct {
	ID      string
	Status  order.Status
	Version int64
}

// created checks the answer to POST /orders.
func (c *checks) created(tenant, key string, variant int, got answer) {
	first, known := c.answers[tenant+" "+key]
	switch {
	case got.status == http.StatusCreated:
		body := strings.TrimSpace(got.body)
		var o orderBody
		if err := json.Unmarshal([]byte(body), &o); err != nil || o.ID == "" || o.Status != order.Pending {
			c.fail("created", "201 with %s", body)
			return
		}
		if _, ok := c.last[order.Ref{Tenant: tenant, ID: o.ID}]; !ok && !c.gone[order.Ref{Tenant: tenant, ID: o.ID}] {
			c.fail("durable", "201 for %s/%s, which is not there", tenant, o.ID[:8])
		}
		c.told(order.Ref{Tenant: tenant, ID: o.ID}, o.Version)
		switch {
		case key == "":
		case !known, first.lost:
			c.answers[tenant+" "+key] = keyed{variant: variant, body: body, id: o.ID}
		case first.variant != variant:
			c.fail("idempotency", "%s %s took two orders", tenant, key)
		case first.body != body && !c.erased(tenant, o.ID):
			c.fail("idempotency", "%s %s was answered %s and then %s", tenant, key, first.body, body)
		}
	case got.status == http.StatusUnprocessableEntity && known && first.variant == variant:
		c.fail("idempotency", "%s %s: the same request again is answered %d", tenant, key, got.status)
	case got.status != 0 && got.status < 500 && got.status != http.StatusUnprocessableEntity:
		c.fail("created", "POST /orders is answered %d %s", got.status, got.body)
	}
}

// erased reports whether what is personal in an order was blanked, also in its first answer.
func (c *checks) erased(tenant, id string) bool {
	return c.last[order.Ref{Tenant: tenant, ID: id}].CustomerID == ""
}

// told records that a caller knows of an order at a version.
func (c *checks) told(ref order.Ref, version int64) {
	if _, known := c.promised[ref]; !known {
		c.ids[ref.Tenant] = append(c.ids[ref.Tenant], ref.ID)
	}
	c.promised[ref] = max(c.promised[ref], version)
}

// floor is the version below which nobody may see the order from now on.
func (c *checks) floor(ref order.Ref) int64 { return c.promised[ref] }

// read checks the answer to GET.
func (c *checks) read(ref order.Ref, floor int64, got answer) {
	var o orderBody
	switch {
	case got.status == http.StatusOK:
		if err := json.Unmarshal([]byte(got.body), &o); err != nil || o.ID != ref.ID {
			c.fail("read", "200 with %s", got.body)
		}
		if o.Version < floor {
			c.fail("read", "%s is shown at version %d after version %d", c.short(ref), o.Version, floor)
		}
		if etag := got.header["Etag"]; etag != strconv.Quote(strconv.FormatInt(o.Version, 10)) {
			c.fail("read", "%s has the ETag %s at version %d", c.short(ref), etag, o.Version)
		}
		c.told(ref, o.Version)
	case got.status != 0 && got.status < 500:
		c.fail("read", "%s is answered %d", c.short(ref), got.status)
	}
}

// acted checks the answer to an action on an order.
func (c *checks) acted(got answer, kind string) {
	switch got.status {
	case 0, http.StatusInternalServerError, http.StatusOK, http.StatusAccepted, http.StatusConflict, http.StatusServiceUnavailable, http.StatusUnprocessableEntity, http.StatusTooManyRequests:
	default:
		c.fail("status", "%s is answered %d %s", kind, got.status, got.body)
	}
}

// acknowledged returns the ids of a tenant's orders that callers were told of, oldest first.
func (c *checks) acknowledged(tenant string) []string { return c.ids[tenant] }

// atEnd reports whether everything has come to its end.
func (c *checks) atEnd() bool {
	for _, o := range c.last {
		if !o.Status.End() && o.Status != order.Void {
			return false
		}
	}
	return len(c.got) == len(c.owed)
}

// final checks what must hold once everything has come to its end.
func (c *checks) final(ctx context.Context, inner handlers.Store) {
	for _, ref := range c.refs() {
		o := c.last[ref]
		now, err := inner.Get(ctx, ref)
		switch {
		case err != nil && o.Status == order.Void && errors.Is(err, order.ErrNotFound):
		case err != nil:
			c.fail("durable", "%s is lost: %v", c.short(ref), err)
		case now.Version != o.Version || now.Version < c.promised[ref]:
			c.fail("durable", "%s is at version %d after version %d, and %d was told", c.short(ref), now.Version, o.Version, c.promised[ref])
		case !o.Status.End() && o.Status != order.Void:
			c.fail("liveness", "%s is still %s with the attempts %+v and the refunds %+v", c.short(ref), o.Status, o.Charge.Attempts, o.Refunds)
		}
		if !c.found[ref] {
			c.money(c.short(ref), o)
		}
	}
	for _, e := range c.owed {
		if c.got[e] == 0 {
			c.fail("webhook", "%s: %s at version %d was never told", c.short(e.ref), e.kind, e.version)
		}
	}
}

// refs returns the orders there are, sorted.
func (c *checks) refs() []order.Ref { return slices.SortedFunc(maps.Keys(c.last), compareRefs) }

func compareRefs(a, b order.Ref) int {
	return strings.Compare(a.Tenant+"/"+a.ID, b.Tenant+"/"+b.ID)
}

func instant(text string) uint64 {
	h := fnv.New64a()
	_, _ = h.Write([]byte(text))
	return h.Sum64()
}
