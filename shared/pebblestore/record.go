package pebblestore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"paylane/shared/order"
)

// The schemas of an order's record. To add a field: add a schema, append the field at the end
// of appendOrder, and read it in decodeOrder only if the record's schema has it. An order is
// written in the oldest schema that holds it, so that the build before can read what it can
// understand. testdata has a record of every schema so far. What the build before may do
// without needs no schema; see appendTimes.
const (
	schemaFirst   = 1
	schemaRefunds = 2 // with a list of refunds
	schemaModes   = 3 // with the mode, and of the legs when they began and what they leave out
)

// header is the beginning of an order's record. It has a fixed size, so that a write can
// check its condition and update the indexes without reading the rest.
type header struct {
	schema  byte
	status  order.Status
	version int64
	created stamp
	expires stamp
}

const headerBytes = 1 + 1 + 8 + 8 + 8

var errRecord = errors.New("the record is cut short or garbled")

// statuses maps the codes in records and keys to statuses; never reorder it.
//
//nolint:gochecknoglobals // a table, never written
var statuses = [...]order.Status{
	1: order.Pending, 2: order.Processing, 3: order.Paid, 4: order.Failed,
	5: order.Canceled, 6: order.Refunding, 7: order.Refunded, 8: order.Void,
}

// statusCode returns the code of a status, or 0 if there is no such status.
func statusCode(s order.Status) byte {
	return byte(max(slices.Index(statuses[1:], s)+1, 0))
}

// appendOrder encodes an order, except its Ref, which is its key.
func appendOrder(b []byte, o *order.Order) ([]byte, error) {
	code := statusCode(o.Status)
	if code == 0 {
		return nil, fmt.Errorf("an order can't have the status %q", o.Status)
	}
	schema := byte(schemaFirst)
	switch {
	case o.Livemode || !plain(&o.Charge) || !plain(&o.Refund):
		schema = schemaModes
	case len(o.Refunds) > 0, o.Status == order.Refunding, o.Status == order.Refunded: // or its readers add one
		schema = schemaRefunds
	}
	b = append(b, schema, code)
	b = binary.BigEndian.AppendUint64(b, uint64(o.Version))
	b = binary.BigEndian.AppendUint64(b, uint64(stampOf(o.CreatedAt)))
	b = binary.BigEndian.AppendUint64(b, uint64(stampOf(o.ExpiresAt)))

	b = binary.AppendVarint(b, o.FirstVersion)
	b = binary.AppendVarint(b, o.Total.Amount)
	b = appendText(b, string(o.Total.Currency))
	b = binary.AppendUvarint(b, uint64(len(o.Items)))
	for _, item := range o.Items {
		b = appendText(b, item.SKU)
		b = binary.AppendVarint(b, item.Quantity)
		b = binary.AppendVarint(b, item.UnitPrice)
	}
	b = appendText(b, o.CustomerID)
	b = appendText(b, string(o.PaymentToken))
	b = binary.AppendUvarint(b, uint64(len(o.Metadata)))
	for _, k := range slices.Sorted(maps.Keys(o.Metadata)) {
		b = appendText(appendText(b, k), o.Metadata[k])
	}
	b = appendText(b, string(o.Fingerprint))
	b = binary.AppendVarint(b, int64(o.Round))
	b = appendLeg(b, &o.Charge)
	b = appendLeg(b, &o.Refund)
	b = binary.BigEndian.AppendUint64(b, uint64(stampOf(o.LeaseUntil)))
	b = appendText(b, o.PaymentRef)
	b = appendTimes(b, o)
	if o.Failure == nil {
		b = append(b, 0)
	} else {
		b = append(b, 1)
		b = appendText(appendText(b, o.Failure.Code), o.Failure.Message)
	}
	b = binary.BigEndian.AppendUint64(b, uint64(stampOf(o.UpdatedAt)))
	if schema >= schemaRefunds {
		b = appendRefunds(b, o.Refunds)
	}
	if schema >= schemaModes {
		b = appendBool(b, o.Livemode)
		for _, l := range []*order.Leg{&o.Charge, &o.Refund} {
			b = binary.BigEndian.AppendUint64(b, uint64(stampOf(l.Since)))
			b = binary.AppendVarint(b, int64(l.Omitted))
		}
	}
	return b, nil
}

// timesMark begins the text of appendTimes. No reference of a gateway's begins with it.
const timesMark = "\x00"

// appendTimes encodes when the next attempt is due and when the others ended. These are for
// people, so no schema of their own keeps the order from the build before: they are in the text
// that was the reference of a refund, before there was a list, and which that build skips.
func appendTimes(b []byte, o *order.Order) []byte {
	times := []time.Time{o.RetryAt}
	for _, l := range []*order.Leg{&o.Charge, &o.Refund} {
		for _, a := range l.Attempts {
			times = append(times, a.EndedAt)
		}
	}
	if !slices.ContainsFunc(times, func(t time.Time) bool { return !t.IsZero() }) {
		return appendText(b, "")
	}
	b = binary.AppendUvarint(b, uint64(len(timesMark)+8*len(times)))
	b = append(b, timesMark...)
	for _, t := range times {
		b = binary.BigEndian.AppendUint64(b, uint64(stampOf(t)))
	}
	return b
}

// plain reports whether the schemas before schemaModes hold all of a leg.
func plain(l *order.Leg) bool {
	return l.Omitted == 0 && stampOf(l.Since) == stampOf(begun(l))
}

// begun is when the first attempt of a leg's round began, as far as its attempts tell.
func begun(l *order.Leg) time.Time {
	if l.Tries < 1 || l.Tries > len(l.Attempts) {
		return time.Time{}
	}
	return l.Attempts[len(l.Attempts)-l.Tries].StartedAt
}

func appendBool(b []byte, v bool) []byte {
	if v {
		return append(b, 1)
	}
	return append(b, 0)
}

func appendRefunds(b []byte, refunds []order.Refund) []byte {
	b = binary.AppendUvarint(b, uint64(len(refunds)))
	for _, r := range refunds {
		b = appendBool(binary.AppendVarint(appendText(b, r.ID), r.Amount), r.All)
		b = appendText(appendText(appendText(appendText(b, r.Reason), string(r.Status)), r.Ref), r.Code)
		b = binary.BigEndian.AppendUint64(b, uint64(stampOf(r.RequestedAt)))
		b = binary.BigEndian.AppendUint64(b, uint64(stampOf(r.EndedAt)))
	}
	return b
}

func appendLeg(b []byte, l *order.Leg) []byte {
	b = binary.AppendVarint(b, int64(l.KeySeq))
	b = binary.AppendVarint(b, int64(l.Tries))
	b = binary.AppendUvarint(b, uint64(len(l.Attempts)))
	for _, a := range l.Attempts {
		b = binary.BigEndian.AppendUint64(b, uint64(stampOf(a.StartedAt)))
		b = appendText(appendText(b, string(a.Outcome)), a.Code)
	}
	return b
}

// readHeader reads the beginning of an order's record.
func readHeader(record []byte) (header, error) {
	if len(record) < 1 {
		return header{}, errRecord
	}
	if schema := record[0]; schema > schemaModes {
		return header{}, fmt.Errorf("the record has schema %d and this build reads up to %d: it was written by a newer build",
			schema, schemaModes)
	}
	if len(record) < headerBytes || record[0] == 0 || record[1] == 0 || int(record[1]) >= len(statuses) {
		return header{}, errRecord
	}
	return header{
		schema:  record[0],
		status:  statuses[record[1]],
		version: int64(binary.BigEndian.Uint64(record[2:])),
		created: stamp(binary.BigEndian.Uint64(record[10:])),
		expires: stamp(binary.BigEndian.Uint64(record[18:])),
	}, nil
}

// decodeOrder reads an order's record of any schema.
func decodeOrder(ref order.Ref, record []byte) (order.Order, error) {
	h, err := readHeader(record)
	if err != nil {
		return order.Order{}, err
	}
	// Copy the record once; all of the order's texts are parts of the copy.
	r := reader{rest: string(record[headerBytes:])}
	o := order.Order{
		Ref: ref, Status: h.status, Version: h.version,
		CreatedAt: h.created.time(), ExpiresAt: h.expires.time(),
	}
	r.front(&o)
	o.PaymentToken = order.Token(r.text())
	if n := r.count(); n > 0 {
		o.Metadata = make(map[string]string, n)
		for range n {
			k := r.text()
			o.Metadata[k] = r.text()
		}
	}
	if text := r.text(); text != "" {
		o.Fingerprint = []byte(text)
	}
	o.Round = int(r.varint())
	o.Charge = r.leg()
	o.Refund = r.leg()
	o.LeaseUntil = r.stamp().time()
	o.PaymentRef = r.text()
	refundRef := r.text() // or times
	r.times(&o, refundRef)
	if r.byte() != 0 {
		o.Failure = &order.Failure{Code: r.text(), Message: r.text()}
	}
	o.UpdatedAt = r.stamp().time()
	if h.schema >= schemaRefunds {
		o.Refunds = r.refunds()
	} else {
		o = o.WithWholeRefund(refundRef)
	}
	o.Charge.Since, o.Refund.Since = begun(&o.Charge), begun(&o.Refund)
	if h.schema >= schemaModes {
		o.Livemode = r.byte() != 0
		for _, l := range []*order.Leg{&o.Charge, &o.Refund} {
			l.Since, l.Omitted = r.stamp().time(), int(r.varint())
		}
	}
	if r.failed || r.rest != "" {
		return order.Order{}, errRecord
	}
	return o, nil
}

// readCustomer reads only the customer of an order's record.
func readCustomer(record []byte) (string, error) {
	r, o := reader{rest: string(record[headerBytes:])}, order.Order{}
	r.front(&o)
	if r.failed {
		return "", errRecord
	}
	return o.CustomerID, nil
}

// reader takes values off the front of a record. Past the record's end it returns zeros and
// has failed.
type reader struct {
	rest   string
	failed bool
}

func (r *reader) take(n uint64) string {
	if n > uint64(len(r.rest)) {
		r.rest, r.failed = "", true
		return ""
	}
	taken := r.rest[:n]
	r.rest = r.rest[n:]
	return taken
}

func (r *reader) byte() byte {
	if b := r.take(1); b != "" {
		return b[0]
	}
	return 0
}

func (r *reader) uvarint() uint64 {
	var v uint64
	for shift := uint(0); shift < 64; shift += 7 {
		b := r.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
	}
	r.rest, r.failed = "", true
	return 0
}

func (r *reader) varint() int64 {
	v := r.uvarint()
	return int64(v>>1) ^ -int64(v&1)
}

// count reads the length of a list. No list is longer than the bytes that are left, so
// garbage can't make the caller allocate much memory.
func (r *reader) count() int {
	n := r.uvarint()
	if n > uint64(len(r.rest)) {
		r.rest, r.failed = "", true
		return 0
	}
	return int(n)
}

func (r *reader) text() string { return r.take(r.uvarint()) }

func (r *reader) stamp() stamp {
	b := r.take(8)
	if b == "" {
		return 0
	}
	return stamp(binary.BigEndian.Uint64([]byte(b)))
}

// front reads the part of an order's record from the header to the customer.
func (r *reader) front(o *order.Order) {
	o.FirstVersion = r.varint()
	o.Total.Amount = r.varint()
	o.Total.Currency = order.Currency(r.text())
	if n := r.count(); n > 0 {
		o.Items = make([]order.Item, n)
	}
	for i := range o.Items {
		o.Items[i] = order.Item{SKU: r.text(), Quantity: r.varint(), UnitPrice: r.varint()}
	}
	o.CustomerID = r.text()
}

func (r *reader) leg() order.Leg {
	l := order.Leg{KeySeq: int(r.varint()), Tries: int(r.varint())}
	if n := r.count(); n > 0 {
		l.Attempts = make([]order.Attempt, n)
	}
	for i := range l.Attempts {
		l.Attempts[i] = order.Attempt{
			StartedAt: r.stamp().time(), Outcome: order.Outcome(r.text()), Code: r.text(),
		}
	}
	return l
}

// times reads what appendTimes encoded, if a text is that.
func (r *reader) times(o *order.Order, text string) {
	text, ok := strings.CutPrefix(text, timesMark)
	if !ok {
		return
	}
	times := reader{rest: text}
	o.RetryAt = times.stamp().time()
	for _, l := range []*order.Leg{&o.Charge, &o.Refund} {
		for i := range l.Attempts {
			l.Attempts[i].EndedAt = times.stamp().time()
		}
	}
	r.failed = r.failed || times.failed || times.rest != ""
}

func (r *reader) refunds() []order.Refund {
	var refunds []order.Refund
	if n := r.count(); n > 0 {
		refunds = make([]order.Refund, n)
	}
	for i := range refunds {
		refunds[i] = order.Refund{
			ID: r.text(), Amount: r.varint(), All: r.byte() != 0,
			Reason: r.text(), Status: order.RefundStatus(r.text()), Ref: r.text(), Code: r.text(),
			RequestedAt: r.stamp().time(), EndedAt: r.stamp().time(),
		}
	}
	return refunds
}
