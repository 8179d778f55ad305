package dynamostore

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/order"
)

// The schemas of items. An order is written in the oldest that holds it, so that the build
// before can read what it can understand.
const (
	schemaFirst   = 1
	schemaRefunds = 2 // with a list of refunds
)

// The attributes of an item.
const (
	attrKey          = "pk"
	attrSchema       = "v"
	attrStatus       = "s"
	attrVersion      = "n"
	attrFirstVersion = "n0" // absent: 1
	attrAmount       = "a"
	attrCurrency     = "c"
	attrItems        = "i"
	attrCustomer     = "cu"
	attrToken        = "t"
	attrMetadata     = "m"
	attrFingerprint  = "f"
	attrLivemode     = "lm" // absent: false
	attrRound        = "r"
	attrLease        = "l"  // ms; absent: no lease
	attrRetry        = "nt" // ms; absent: no next attempt is due
	attrPaymentRef   = "p"
	attrRefundRef    = "rr" // of the whole refund, before there was a list
	attrRefunds      = "rf"
	attrFailCode     = "fc"
	attrFailMessage  = "fm"
	attrCreated      = "cr" // ms
	attrUpdated      = "up" // ms
	attrExpires      = "x"  // seconds: the table's TTL attribute
	attrWrite        = "w"  // the token of the newest update or claim
	attrCreation     = "w0" // the token of the write that created the order
	attrByTenant     = "g"  // partition key of byTenant
	attrByOutcome    = "o"  // partition key of byOutcome
	attrByCustomer   = "gc" // partition key of byCustomer
	attrSort         = "gs" // sort key of all indexes
)

// legAttrs are the attributes of one leg.
type legAttrs struct{ keySeq, tries, since, attempts, omitted string }

//nolint:gochecknoglobals // a table, never written
var (
	chargeAttrs = legAttrs{"ck", "ct", "cb", "ca", "co"}
	refundAttrs = legAttrs{"rk", "rt", "rb", "ra", "ro"}
)

// The attributes of an attempt.
const (
	attrStarted = "t" // ms
	attrOutcome = "o"
	attrCode    = "c"
	attrTook    = "d" // ms from its start to its end; absent: no end is known
)

// The attributes of a refund.
const (
	attrRefundID     = "id"
	attrRefundAmount = "a"
	attrRefundAll    = "l" // absent: a part
	attrReason       = "r"
	attrRefundStatus = "s"
	attrReference    = "p"
	attrDecline      = "c"
	attrRequested    = "q" // ms
	attrEnded        = "e" // ms; absent: open
)

// The attributes of an order's item.
const (
	attrSKU      = "s"
	attrQuantity = "q"
	attrPrice    = "u"
)

type item = map[string]types.AttributeValue

func partitionKey(ref order.Ref) string { return ref.Tenant + "/" + ref.ID }

func keyOf(ref order.Ref) item { return item{attrKey: text(partitionKey(ref))} }

// encode returns the item of an order. Attributes that it leaves out must be absent from
// the table; see names.
func (s *Store) encode(o order.Order) item {
	it := item{
		attrKey:      text(partitionKey(o.Ref)),
		attrSchema:   number(schemaFirst),
		attrStatus:   text(string(o.Status)),
		attrVersion:  number(o.Version),
		attrAmount:   number(o.Total.Amount),
		attrCurrency: text(string(o.Total.Currency)),
		attrRound:    number(int64(o.Round)),
		attrCreated:  millis(o.CreatedAt),
		attrUpdated:  millis(o.UpdatedAt),
	}
	if o.FirstVersion != 1 {
		it[attrFirstVersion] = number(o.FirstVersion)
	}
	if o.Livemode {
		it[attrLivemode] = number(1)
	}
	setText(it, attrCustomer, o.CustomerID)
	setText(it, attrToken, string(o.PaymentToken))
	setText(it, attrPaymentRef, o.PaymentRef)
	setLeg(it, chargeAttrs, o.Charge)
	setLeg(it, refundAttrs, o.Refund)
	if !o.LeaseUntil.IsZero() {
		it[attrLease] = millis(o.LeaseUntil)
	}
	if !o.RetryAt.IsZero() {
		it[attrRetry] = millis(o.RetryAt)
	}
	switch {
	case o.Status == order.Void && !o.ExpiresAt.IsZero():
		it[attrExpires] = number(o.ExpiresAt.Unix())
	case o.Status.End() && s.retention > 0:
		it[attrExpires] = number(o.UpdatedAt.Add(s.retention).Unix())
	}
	if o.Failure != nil {
		it[attrFailCode], it[attrFailMessage] = text(o.Failure.Code), text(o.Failure.Message)
	}
	if len(o.Fingerprint) > 0 {
		it[attrFingerprint] = &types.AttributeValueMemberB{Value: o.Fingerprint}
	}
	if len(o.Metadata) > 0 {
		m := make(item, len(o.Metadata))
		for k, v := range o.Metadata {
			m[k] = text(v)
		}
		it[attrMetadata] = &types.AttributeValueMemberM{Value: m}
	}
	if len(o.Items) > 0 {
		items := make([]types.AttributeValue, len(o.Items))
		for i, line := range o.Items {
			items[i] = &types.AttributeValueMemberM{Value: item{
				attrSKU: text(line.SKU), attrQuantity: number(line.Quantity), attrPrice: number(line.UnitPrice),
			}}
		}
		it[attrItems] = &types.AttributeValueMemberL{Value: items}
	}
	if len(o.Refunds) > 0 {
		it[attrSchema], it[attrRefunds] = number(schemaRefunds), encodeRefunds(o.Refunds)
	}
	if o.Status != order.Void {
		it[attrByTenant] = text(tenantPartition(o.Tenant, shardOf(o.ID)))
		it[attrSort] = text(sortKey(o.Position()))
		if o.CustomerID != "" {
			it[attrByCustomer] = text(customerPartition(o.Tenant, o.CustomerID))
		}
	}
	if o.Status.Sparse() {
		it[attrByOutcome] = text(outcomePartition(o.Tenant, o.Status, shardOf(o.ID)))
	}
	return it
}

// names returns the attributes that encode may set, except the key.
func names() []string {
	return []string{
		attrSchema, attrStatus, attrVersion, attrFirstVersion, attrAmount, attrCurrency, attrItems, attrCustomer,
		attrToken, attrMetadata, attrFingerprint, attrLivemode, attrRound, attrLease, attrRetry,
		attrPaymentRef, attrRefundRef, attrRefunds,
		attrFailCode, attrFailMessage, attrCreated, attrUpdated, attrExpires, attrByTenant, attrByOutcome, attrByCustomer, attrSort,
		chargeAttrs.keySeq, chargeAttrs.tries, chargeAttrs.since, chargeAttrs.attempts, chargeAttrs.omitted,
		refundAttrs.keySeq, refundAttrs.tries, refundAttrs.since, refundAttrs.attempts, refundAttrs.omitted,
	}
}

func setLeg(it item, names legAttrs, l order.Leg) {
	setNumber(it, names.keySeq, l.KeySeq)
	setNumber(it, names.tries, l.Tries)
	setNumber(it, names.omitted, l.Omitted)
	if !l.Since.IsZero() {
		it[names.since] = millis(l.Since)
	}
	if len(l.Attempts) == 0 {
		return
	}
	attempts := make([]types.AttributeValue, len(l.Attempts))
	for i, a := range l.Attempts {
		attempts[i] = encodeAttempt(a)
	}
	it[names.attempts] = &types.AttributeValueMemberL{Value: attempts}
}

func encodeAttempt(a order.Attempt) types.AttributeValue {
	it := item{attrStarted: millis(a.StartedAt), attrOutcome: text(string(a.Outcome))}
	setText(it, attrCode, a.Code)
	if !a.EndedAt.IsZero() {
		// There may be many attempts; this has fewer digits than a time.
		it[attrTook] = number(a.EndedAt.UnixMilli() - a.StartedAt.UnixMilli())
	}
	return &types.AttributeValueMemberM{Value: it}
}

func encodeRefunds(refunds []order.Refund) types.AttributeValue {
	list := make([]types.AttributeValue, len(refunds))
	for i, r := range refunds {
		it := item{
			attrRefundID: text(r.ID), attrRefundAmount: number(r.Amount), attrRefundStatus: text(string(r.Status)),
			attrRequested: millis(r.RequestedAt),
		}
		if r.All {
			it[attrRefundAll] = number(1)
		}
		setText(it, attrReason, r.Reason)
		setText(it, attrReference, r.Ref)
		setText(it, attrDecline, r.Code)
		if !r.EndedAt.IsZero() {
			it[attrEnded] = millis(r.EndedAt)
		}
		list[i] = &types.AttributeValueMemberM{Value: it}
	}
	return &types.AttributeValueMemberL{Value: list}
}

// decode reads an item that this build or an older one wrote.
func decode(it item) (order.Order, error) {
	r := reader{item: it}
	if v := r.number(attrSchema); v > schemaRefunds {
		return order.Order{}, fmt.Errorf("decode an order: it has schema %d and this build reads up to %d: "+
			"it was written by a newer build", v, schemaRefunds)
	}
	tenant, id, ok := cutLast(r.text(attrKey))
	if r.err == nil && !ok {
		return order.Order{}, errors.New("decode an order: its key has no tenant")
	}
	o := order.Order{
		Ref:          order.Ref{Tenant: tenant, ID: id},
		Status:       order.Status(r.text(attrStatus)),
		Version:      r.number(attrVersion),
		FirstVersion: 1,
		Total:        order.Money{Amount: r.number(attrAmount), Currency: order.Currency(r.text(attrCurrency))},
		CustomerID:   r.optionalText(attrCustomer),
		PaymentToken: order.Token(r.optionalText(attrToken)),
		Livemode:     r.optional(attrLivemode) != 0,
		Round:        int(r.optional(attrRound)),
		Charge:       r.leg(chargeAttrs),
		Refund:       r.leg(refundAttrs),
		LeaseUntil:   r.time(attrLease),
		RetryAt:      r.time(attrRetry),
		PaymentRef:   r.optionalText(attrPaymentRef),
		CreatedAt:    r.time(attrCreated),
		UpdatedAt:    r.time(attrUpdated),
	}
	if it[attrFirstVersion] != nil {
		o.FirstVersion = r.number(attrFirstVersion)
	}
	if it[attrFailCode] != nil {
		o.Failure = &order.Failure{Code: r.text(attrFailCode), Message: r.optionalText(attrFailMessage)}
	}
	if seconds := r.optional(attrExpires); seconds != 0 && o.Status == order.Void {
		o.ExpiresAt = time.Unix(seconds, 0).UTC()
	}
	if it[attrFingerprint] != nil {
		o.Fingerprint = r.bytes(attrFingerprint)
	}
	o.Metadata = r.texts(attrMetadata)
	for _, line := range r.list(attrItems) {
		l := reader{item: line}
		o.Items = append(o.Items, order.Item{
			SKU: l.text(attrSKU), Quantity: l.number(attrQuantity), UnitPrice: l.number(attrPrice),
		})
		r.err = errors.Join(r.err, l.err)
	}
	if it[attrRefunds] != nil {
		o.Refunds = r.refunds()
	} else {
		o = o.WithWholeRefund(r.optionalText(attrRefundRef))
	}
	if r.err != nil {
		return order.Order{}, fmt.Errorf("decode an order: %w", r.err)
	}
	return o, nil
}

// cutLast splits a key at its last slash.
func cutLast(key string) (tenant, id string, ok bool) {
	i := strings.LastIndexByte(key, '/')
	if i < 0 {
		return "", "", false
	}
	return key[:i], key[i+1:], true
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func millis(t time.Time) types.AttributeValue { return number(t.UnixMilli()) }

func setText(it item, name, value string) {
	if value != "" {
		it[name] = text(value)
	}
}

func setNumber(it item, name string, value int) {
	if value != 0 {
		it[name] = number(int64(value))
	}
}
