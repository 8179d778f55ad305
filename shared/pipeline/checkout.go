package pipeline

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// Errors of [Checkout], besides those of the store and [*order.InvalidError].
var (
	// ErrKeyReused reports that an idempotency key came again with another request.
	ErrKeyReused = errors.New("the idempotency key was used for another request")
	// ErrKeyMalformed reports that an idempotency key is not what [order.ValidKey] allows.
	ErrKeyMalformed = errors.New("the idempotency key must be 1 to 255 visible ASCII characters other than a comma")
	// ErrKeyRequired reports a request without an idempotency key that would move money
	// again if it were repeated.
	ErrKeyRequired = errors.New("an idempotency key is required")
)

// maxConflicts bounds how often one call starts anew because others change the same order;
// each round that fails means that another call succeeded.
const maxConflicts = 16

// Sender sends messages to a queue.
type Sender interface {
	// Send adds a message and returns its id. Once it returned nil, the message is durable
	// no later than any write to the [order.Store] that is begun afterwards, and by itself
	// within moments; it is delivered only once it is durable. After an error it may have
	// been added; where trying again may help, the error wraps [order.ErrUnavailable].
	// Delay is 0 to 15 minutes, in whole seconds.
	Send(ctx context.Context, body string, delay time.Duration) (messageID string, err error)
}

// Checkout is what callers do with orders. It holds no state.
type Checkout struct {
	Reader

	store  order.Store
	queue  Sender
	tokens gateway.Tokens
	token  order.Token // the default
	live   bool
	now    func() time.Time
	newID  func() (string, error)
	onlyIf func(order.Order) error
}

// CheckoutConfig is what a [Checkout] needs. All fields but Livemode are required.
type CheckoutConfig struct {
	Store order.Store
	// Queue takes the messages that [Payments] handles.
	Queue  Sender
	Tokens gateway.Tokens
	// Livemode says that orders are placed for a gateway that moves money.
	Livemode bool
	Now      func() time.Time
	// NewID returns the id of an order without an idempotency key.
	NewID func() (string, error)
}

// NewCheckout returns a Checkout.
func NewCheckout(c CheckoutConfig) *Checkout {
	return &Checkout{
		Reader: NewReader(c.Store), store: c.Store, queue: c.Queue,
		tokens: c.Tokens, token: c.Tokens.Describe().Default, live: c.Livemode, now: c.Now, newID: c.NewID,
	}
}

// OnlyIf returns a Checkout that changes an existing order only in a version of which
// condition returns nil, and otherwise returns the condition's error. No other version can
// be changed in between.
func (c *Checkout) OnlyIf(condition func(order.Order) error) *Checkout {
	conditional := *c
	conditional.onlyIf = condition
	return &conditional
}

// Create places an order. Once it returns nil the order is durable, and so is its
// message. With an idempotency key (empty for none), a repeated request returns the
// order as it was first created, and replayed is true.
//
// The error is an [*order.InvalidError], [ErrKeyMalformed], [ErrKeyReused], or the
// store's; after the last an order may exist, which only a request with the same
// idempotency key can find.
func (c *Checkout) Create(ctx context.Context, tenant, key string, r order.Request) (o order.Order, replayed bool, err error) {
	if key != "" && !order.ValidKey(key) {
		return order.Order{}, false, ErrKeyMalformed
	}
	r, err = c.normalize(r)
	if err != nil {
		return order.Order{}, false, err
	}
	ref := order.Ref{Tenant: tenant}
	if key != "" {
		ref.ID = order.KeyedID(tenant, key)
	} else if ref.ID, err = c.newID(); err != nil {
		return order.Order{}, false, fmt.Errorf("make an order id: %w", err)
	}
	o = order.New(ref, r, key, c.now())
	o.Livemode = c.live
	if err := c.send(ctx, order.KindCharge, o); err != nil {
		return order.Order{}, false, err
	}
	return c.put(ctx, o)
}

// put stores a new order whose message was sent, or finds the one that is there already.
func (c *Checkout) put(ctx context.Context, o order.Order) (order.Order, bool, error) {
	var tombstone *order.Order
	for range maxConflicts {
		var err error
		if tombstone == nil {
			err = c.store.Create(ctx, o)
		} else {
			o = o.InPlaceOf(*tombstone)
			err = c.store.Update(ctx, o)
		}
		var conflict *order.ConflictError
		switch {
		case err == nil:
			return o, false, nil
		case errors.As(err, &conflict) && conflict.Current.Status != order.Void:
			return replay(conflict.Current, o)
		case errors.As(err, &conflict):
			// The tombstone says that a message was dropped, perhaps the one just sent.
			if err := c.send(ctx, order.KindCharge, o); err != nil {
				return order.Order{}, false, err
			}
			tombstone = &conflict.Current
		case errors.Is(err, order.ErrNotFound):
			tombstone = nil // it expired
		default:
			return order.Order{}, false, fmt.Errorf("store the order: %w", err)
		}
	}
	return order.Order{}, false, fmt.Errorf("store the order: too many others change it: %w", order.ErrUnavailable)
}

func (c *Checkout) normalize(r order.Request) (order.Request, error) {
	normalized, err := r.Normalize(c.token)
	var bad *order.InvalidError
	if err != nil && !errors.As(err, &bad) {
		return order.Request{}, err
	}
	if bad == nil {
		bad = &order.InvalidError{}
	}
	if err == nil {
		bad.Fields = append(bad.Fields, c.checkMoney(order.Money{Amount: normalized.Amount, Currency: normalized.Currency})...)
	}
	if r.PaymentToken != "" { // otherwise it is the default, or refused already
		bad.Fields = append(bad.Fields, c.checkToken(r.PaymentToken)...)
	}
	if len(bad.Fields) > 0 {
		return order.Request{}, bad
	}
	return normalized, nil
}

func (c *Checkout) checkMoney(m order.Money) []order.FieldError {
	if err := c.tokens.CheckMoney(m); err != nil {
		return []order.FieldError{{Location: "amount", Message: err.Error()}}
	}
	return nil
}

func (c *Checkout) checkToken(token order.Token) []order.FieldError {
	if err := c.tokens.CheckToken(token); err != nil {
		return []order.FieldError{{Location: "paymentToken", Message: err.Error()}}
	}
	return nil
}

// replay returns the result of a create that found an order under its id.
func replay(existing, wanted order.Order) (order.Order, bool, error) {
	if len(wanted.Fingerprint) == 0 || !bytes.Equal(existing.Fingerprint, wanted.Fingerprint) {
		return order.Order{}, false, ErrKeyReused
	}
	return existing.AsCreated(), true, nil
}

// List returns a page of a tenant's orders; see [order.Store].
func (c *Checkout) List(ctx context.Context, q order.Query) (order.Page, error) {
	page, err := c.store.List(ctx, q)
	if err != nil {
		return order.Page{}, fmt.Errorf("list the orders: %w", err)
	}
	return page, nil
}

// Cancel withdraws an order that is still PENDING; one that is already CANCELED stays so. The
// error is an [*order.TransitionError] if it is too late, [order.ErrNotFound], or the
// store's.
func (c *Checkout) Cancel(ctx context.Context, ref order.Ref) (order.Order, error) {
	return c.change(ctx, ref, "", func(o order.Order) (order.Order, error) {
		if o.Status == order.Canceled {
			return o, nil
		}
		return o.Cancel(c.now())
	})
}

// Refund opens a refund of a PAID order, of a part or of all that is left, and sends the
// message by which the money is returned. Begun is false if the same was asked for before:
// with the same idempotency key (empty for none), or, without an amount, if all that was
// left is on its way back already or was returned. A part requires a key.
//
// The error is an [*order.InvalidError], an [*order.TransitionError], [ErrKeyRequired],
// [ErrKeyMalformed], [ErrKeyReused], [order.ErrNotFound], or the store's.
func (c *Checkout) Refund(ctx context.Context, ref order.Ref, key string, r order.RefundRequest) (o order.Order, begun bool, err error) {
	switch {
	case key != "" && !order.ValidKey(key):
		return order.Order{}, false, ErrKeyMalformed
	case key == "" && r.Amount != 0:
		return order.Order{}, false, ErrKeyRequired
	}
	o, err = c.change(ctx, ref, order.KindRefund, func(o order.Order) (order.Order, error) {
		id := o.NextRefundID()
		if key != "" {
			id = order.KeyedRefundID(o.ID, key)
		}
		begun = false
		if earlier, ok := o.FindRefund(id); ok {
			if !earlier.Asked(r) {
				return order.Order{}, ErrKeyReused
			}
			return o, nil
		}
		if r.Amount == 0 && (o.Status == order.Refunded || o.Status == order.Refunding && o.LastRefund().All) {
			return o, nil
		}
		begun = true
		next, err := o.BeginRefund(id, r, c.now())
		if err != nil {
			return order.Order{}, err
		}
		if bad := c.checkMoney(order.Money{Amount: next.LastRefund().Amount, Currency: o.Total.Currency}); bad != nil {
			return order.Order{}, &order.InvalidError{Fields: bad}
		}
		return next, nil
	})
	return o, begun, err
}

// Pay opens a new round of a FAILED order with another payment token. Begun is false if that
// token's round is open already. The error is an [*order.InvalidError], or one of those of
// [Checkout.Cancel].
func (c *Checkout) Pay(ctx context.Context, ref order.Ref, token order.Token) (o order.Order, begun bool, err error) {
	if bad := c.checkToken(token); bad != nil {
		return order.Order{}, false, &order.InvalidError{Fields: bad}
	}
	o, err = c.change(ctx, ref, order.KindCharge, func(o order.Order) (order.Order, error) {
		open := o.Status == order.Pending || o.Status == order.Processing
		if begun = true; open && o.Round > 1 && o.PaymentToken == token {
			begun = false
			return o, nil
		}
		return o.PayWith(token, c.now())
	})
	return o, begun, err
}

// Retry opens a new round for an order that FAILED without being declined. It returns the same
// errors as [Checkout.Cancel].
func (c *Checkout) Retry(ctx context.Context, ref order.Ref) (order.Order, error) {
	return c.change(ctx, ref, order.KindCharge, func(o order.Order) (order.Order, error) {
		return o.Retry(c.now())
	})
}

// Erase blanks what may be personal in an order that has ended; see [order.Order.Erased]. It
// returns the same errors as [Checkout.Cancel].
func (c *Checkout) Erase(ctx context.Context, ref order.Ref) (order.Order, error) {
	return c.change(ctx, ref, "", func(o order.Order) (order.Order, error) {
		return o.Erased(c.now())
	})
}

// change applies one step to an order as it now is. A step that needs a worker names the kind
// of its message, which is sent before the write, as for a new order.
func (c *Checkout) change(
	ctx context.Context, ref order.Ref, announce order.Kind, step func(order.Order) (order.Order, error),
) (order.Order, error) {
	current, err := c.Get(ctx, ref)
	if err != nil {
		return order.Order{}, err
	}
	for range maxConflicts {
		if c.onlyIf != nil {
			if err := c.onlyIf(current); err != nil {
				return order.Order{}, err
			}
		}
		next, err := step(current)
		if err != nil {
			return order.Order{}, err
		}
		if next.Version == current.Version {
			return current, nil
		}
		if announce != "" {
			if err := c.send(ctx, announce, next); err != nil {
				return order.Order{}, err
			}
		}
		err = c.store.Update(ctx, next)
		if err == nil {
			return next, nil
		}
		var conflict *order.ConflictError
		if !errors.As(err, &conflict) {
			return order.Order{}, fmt.Errorf("change the order: %w", err)
		}
		current = conflict.Current
	}
	return order.Order{}, fmt.Errorf("change the order: too many others do: %w", order.ErrUnavailable)
}

func (c *Checkout) send(ctx context.Context, kind order.Kind, o order.Order) error {
	m := order.Message{Kind: kind, Ref: o.Ref, Round: o.Round, Refund: len(o.Refunds)}
	if _, err := c.queue.Send(ctx, m.Encode(), 0); err != nil {
		return fmt.Errorf("send the %s message: %w", kind, err)
	}
	return nil
}
