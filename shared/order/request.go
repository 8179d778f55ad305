package order

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"
)

// Limits of a request; text is counted in characters.
const (
	// MaxAmount is the largest amount, price or sum: 2^53 − 1, up to which every reader of
	// JSON keeps integers exact (RFC 8259, section 6). Stored orders may exceed it.
	MaxAmount        = int64(1<<53 - 1)
	MaxItems         = 100
	MaxQuantity      = 10_000
	MaxSKU           = 64
	MaxCustomerID    = 64
	MaxMetadata      = 20
	MaxMetadataKey   = 40
	MaxMetadataValue = 500
	MaxKey           = 255 // of an idempotency key, in bytes
)

// Request is what a caller asks for. Only what [Request.Normalize] returned without an error
// may become an order.
type Request struct {
	Amount       int64             `json:"amount"` // 0 if the items determine it
	Currency     Currency          `json:"currency"`
	Items        []Item            `json:"items,omitempty"`
	CustomerID   string            `json:"customerId,omitempty"`
	PaymentToken Token             `json:"paymentToken"`
	Metadata     map[string]string `json:"metadata,omitempty"`
}

// FieldError is one thing wrong with a request.
type FieldError struct {
	// Location is the path of the field in the request's body, such as "items[2].sku".
	Location string
	Message  string
}

// InvalidError lists what is wrong with a request. Its texts never repeat a value.
type InvalidError struct {
	Fields []FieldError
}

func (e *InvalidError) Error() string {
	parts := make([]string, len(e.Fields))
	for i, f := range e.Fields {
		parts[i] = f.Location + ": " + f.Message
	}
	return "the request is not valid: " + strings.Join(parts, "; ")
}

// Normalize checks the request and fills in what it omits, so that two requests that mean
// the same become equal. The token is the gateway's default; if that is empty, a request
// must name one. The error is an [*InvalidError].
func (r Request) Normalize(token Token) (Request, error) {
	var bad InvalidError
	add := func(location, format string, args ...any) {
		bad.Fields = append(bad.Fields, FieldError{Location: location, Message: fmt.Sprintf(format, args...)})
	}
	if r.Currency == "" {
		r.Currency = DefaultCurrency
	}
	if r.PaymentToken == "" {
		r.PaymentToken = token
	}
	if r.PaymentToken == "" {
		add("paymentToken", "is required")
	}
	if _, ok := r.Currency.MinorDigits(); !ok {
		add("currency", "must be an active ISO 4217 code in upper case, for example KRW or USD")
	}
	if utf8.RuneCountInString(r.CustomerID) > MaxCustomerID {
		add("customerId", "must be at most %d characters", MaxCustomerID)
	}
	checkMetadata(r.Metadata, add)
	if len(r.Metadata) == 0 {
		r.Metadata = nil
	}
	if len(r.Items) == 0 {
		r.Items = nil
		if r.Amount < 1 {
			add("amount", "must be at least 1, in the currency's minor unit; it is required unless there are items")
		}
		if r.Amount > MaxAmount {
			add("amount", "must be at most %d", MaxAmount)
		}
	} else {
		before := len(bad.Fields)
		total := sumItems(r.Items, r.Currency, add)
		switch {
		case len(bad.Fields) > before:
		case r.Amount < 0:
			add("amount", "must be at least 1, in the currency's minor unit")
		case r.Amount != 0 && r.Amount != total.Amount:
			add("amount", "must equal the sum of the items, %d; omit it to have it computed", total.Amount)
		case total.Amount < 1:
			add("items", "must add up to at least 1, in the currency's minor unit")
		default:
			r.Amount = total.Amount
		}
	}
	if len(bad.Fields) > 0 {
		return Request{}, &bad
	}
	return r, nil
}

func checkMetadata(metadata map[string]string, add func(location, format string, args ...any)) {
	if len(metadata) > MaxMetadata {
		add("metadata", "must have at most %d entries", MaxMetadata)
	}
	for k, v := range metadata {
		if n := utf8.RuneCountInString(k); n < 1 || n > MaxMetadataKey {
			add("metadata", "keys must be 1 to %d characters", MaxMetadataKey)
		}
		if utf8.RuneCountInString(v) > MaxMetadataValue {
			add("metadata", "values must be at most %d characters", MaxMetadataValue)
		}
	}
}

// sumItems checks the items and adds them up.
func sumItems(items []Item, currency Currency, add func(location, format string, args ...any)) Money {
	if len(items) > MaxItems {
		add("items", "must be at most %d", MaxItems)
	}
	total := Money{Currency: currency}
	for i, item := range items {
		at := func(field string) string { return fmt.Sprintf("items[%d].%s", i, field) }
		if n := utf8.RuneCountInString(item.SKU); n < 1 || n > MaxSKU {
			add(at("sku"), "must be 1 to %d characters", MaxSKU)
		}
		if item.Quantity < 1 || item.Quantity > MaxQuantity {
			add(at("quantity"), "must be 1 to %d", MaxQuantity)
		}
		if item.UnitPrice < 0 {
			add(at("unitPrice"), "must not be negative")
			continue
		}
		if item.UnitPrice > MaxAmount {
			add(at("unitPrice"), "must be at most %d", MaxAmount)
			continue
		}
		line, err := Money{Amount: item.UnitPrice, Currency: currency}.Times(item.Quantity)
		if err == nil {
			total, err = total.Plus(line.Amount)
		}
		if err != nil || total.Amount > MaxAmount {
			add(at("unitPrice"), "the sum of the items must be at most %d", MaxAmount)
			return Money{}
		}
	}
	return total
}

// Fingerprint returns the SHA-256 of a normalized request: equal for two requests that mean
// the same, whatever their bytes were.
func (r Request) Fingerprint() []byte {
	// Struct fields are encoded in order and map keys sorted, so this is canonical; these
	// types can't fail to encode.
	canonical, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	sum := sha256.Sum256(canonical)
	return sum[:]
}

// New returns the PENDING order of a normalized request. With an idempotency key, the order
// carries the request's fingerprint.
func New(ref Ref, r Request, key string, now time.Time) Order {
	o := Order{
		Ref: ref, Status: Pending, Version: 1, FirstVersion: 1, Round: 1,
		Total: Money{Amount: r.Amount, Currency: r.Currency}, Items: r.Items,
		CustomerID: r.CustomerID, PaymentToken: r.PaymentToken, Metadata: r.Metadata,
		CreatedAt: instant(now), UpdatedAt: instant(now),
	}
	if key != "" {
		o.Fingerprint = r.Fingerprint()
	}
	return o
}

// KeyedID returns the id of the order that a tenant's idempotency key stands for: a UUIDv5
// (RFC 9562) of both, so finding the earlier order needs no table of keys.
func KeyedID(tenant, key string) string {
	// Each tenant has a namespace of its own, so no two pairs of tenant and key collide.
	space := uuid.NewSHA1(uuid.MustParse("5ffa9d8a-6ae4-5f3c-9c9d-6f2f3e1f6f6e"), []byte(tenant))
	return uuid.NewSHA1(space, []byte(key)).String()
}

// ValidKey reports whether an idempotency key is 1 to 255 visible ASCII characters without a
// comma, by which gateways join a header that was sent twice. Orders of earlier builds may
// have a key with one.
func ValidKey(key string) bool {
	if len(key) < 1 || len(key) > MaxKey {
		return false
	}
	for i := range len(key) {
		if key[i] < '!' || key[i] > '~' || key[i] == ',' {
			return false
		}
	}
	return true
}

// ValidID reports whether a text can be an order's id: a UUID in its canonical form.
func ValidID(id string) bool {
	parsed, err := uuid.Parse(id)
	return err == nil && parsed.String() == id
}
