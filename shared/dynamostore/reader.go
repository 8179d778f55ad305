package dynamostore

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/order"
)

// reader reads attributes and keeps the first error.
type reader struct {
	item item
	err  error
}

func (r *reader) fail(name string) {
	if r.err == nil {
		r.err = fmt.Errorf("attribute %q is missing or of another type", name)
	}
}

func (r *reader) text(name string) string {
	s, ok := r.item[name].(*types.AttributeValueMemberS)
	if !ok {
		r.fail(name)
		return ""
	}
	return s.Value
}

func (r *reader) optionalText(name string) string {
	if r.item[name] == nil {
		return ""
	}
	return r.text(name)
}

func (r *reader) number(name string) int64 {
	n, ok := r.item[name].(*types.AttributeValueMemberN)
	if !ok {
		r.fail(name)
		return 0
	}
	value, err := strconv.ParseInt(n.Value, 10, 64)
	if err != nil {
		r.fail(name)
	}
	return value
}

func (r *reader) optional(name string) int64 {
	if r.item[name] == nil {
		return 0
	}
	return r.number(name)
}

func (r *reader) time(name string) time.Time {
	if r.item[name] == nil {
		return time.Time{}
	}
	return time.UnixMilli(r.number(name)).UTC()
}

func (r *reader) bytes(name string) []byte {
	b, ok := r.item[name].(*types.AttributeValueMemberB)
	if !ok {
		r.fail(name)
		return nil
	}
	return b.Value
}

// texts reads a map of texts; it returns nil if the attribute is absent.
func (r *reader) texts(name string) map[string]string {
	if r.item[name] == nil {
		return nil
	}
	m, ok := r.item[name].(*types.AttributeValueMemberM)
	if !ok {
		r.fail(name)
		return nil
	}
	out := make(map[string]string, len(m.Value))
	values := reader{item: m.Value}
	for k := range m.Value {
		out[k] = values.text(k)
	}
	r.err = errors.Join(r.err, values.err)
	return out
}

// list reads a list of maps; it returns nil if the attribute is absent.
func (r *reader) list(name string) []item {
	if r.item[name] == nil {
		return nil
	}
	l, ok := r.item[name].(*types.AttributeValueMemberL)
	if !ok {
		r.fail(name)
		return nil
	}
	var out []item
	for _, v := range l.Value {
		m, ok := v.(*types.AttributeValueMemberM)
		if !ok {
			r.fail(name)
			return nil
		}
		out = append(out, m.Value)
	}
	return out
}

func (r *reader) leg(names legAttrs) order.Leg {
	l := order.Leg{
		KeySeq: int(r.optional(names.keySeq)), Tries: int(r.optional(names.tries)),
		Since: r.time(names.since), Omitted: int(r.optional(names.omitted)),
	}
	for _, it := range r.list(names.attempts) {
		a := reader{item: it}
		attempt := order.Attempt{
			StartedAt: a.time(attrStarted), Outcome: order.Outcome(a.text(attrOutcome)), Code: a.optionalText(attrCode),
		}
		if it[attrTook] != nil {
			attempt.EndedAt = time.UnixMilli(attempt.StartedAt.UnixMilli() + a.number(attrTook)).UTC()
		}
		l.Attempts = append(l.Attempts, attempt)
		r.err = errors.Join(r.err, a.err)
	}
	return l
}

func (r *reader) refunds() (refunds []order.Refund) {
	for _, it := range r.list(attrRefunds) {
		f := reader{item: it}
		refunds = append(refunds, order.Refund{
			ID: f.text(attrRefundID), Amount: f.number(attrRefundAmount), All: f.optional(attrRefundAll) != 0,
			Reason: f.optionalText(attrReason), Status: order.RefundStatus(f.text(attrRefundStatus)),
			Ref: f.optionalText(attrReference), Code: f.optionalText(attrDecline),
			RequestedAt: f.time(attrRequested), EndedAt: f.time(attrEnded),
		})
		r.err = errors.Join(r.err, f.err)
	}
	return refunds
}
