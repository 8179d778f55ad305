package reference

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"paylane/shared/order"
)

// Action is what a request asks for.
type Action string

// The actions. Retry and Erase are an operator's.
const (
	Create Action = "create"
	Get    Action = "get"
	Cancel Action = "cancel"
	Refund Action = "refund"
	Pay    Action = "pay"
	Retry  Action = "retry"
	Erase  Action = "erase"
)

// Input is a request about one order.
type Input struct {
	Tenant string
	// ID is the order's. It is empty for an order that is created without a key, until the
	// answer names it.
	ID     string
	Action Action
	Key    string // Idempotency-Key
	// IfMatch and IfNoneMatch are the versions in those headers; 0 without.
	IfMatch, IfNoneMatch int64
	Request              Request // of Create
	Amount               int64   // of Refund; 0 is all that is left
	Reason               string  // of Refund
	Token                string  // of Pay
}

// Request is what an order is created from. Requests that mean the same are equal.
type Request struct {
	Amount               int64
	Currency, CustomerID string
	Token                string
	// Items and Metadata are canonical JSON, or empty.
	Items, Metadata string
}

// Output is the answer to a request. The zero Output is a lost one.
type Output struct {
	Status int
	// Problem is the type of the problem, without where it is explained.
	Problem string
	// Refused is the order's status, if the problem names it.
	Refused  string
	Replayed bool
	// Version is that of the ETag; 0 without.
	Version int64
	// Order is the body; nil if that is none.
	Order *Order
}

// Order is an order as a body shows it.
type Order struct {
	ID, Status           string
	Version              int64
	Amount               int64
	Currency, CustomerID string
	Items, Metadata      string
	CreatedAt            string
	PaymentRef           string
	Failure              string // its code
	// Attempts is the number of the latest attempt, and Outcome what came of it.
	Attempts       int
	Outcome        string
	RefundedAmount int64
	Refunds        []ShownRefund
}

// ShownRefund is a refund as a body shows it.
type ShownRefund struct {
	ID, Status, Reason string
	Amount             int64
}

// declined reports whether the order failed because the gateway declined it.
func (o Order) declined() bool { return o.Status == failed && o.Outcome == "declined" }

// What a request leaves out.
const (
	defaultCurrency = "KRW"
	defaultToken    = "tok_ok"
)

// Observe returns the Input that a tenant's request is. The error says that the specification
// does not know such a request: a list, for example, or a body that is not valid.
func Observe(tenant, method, path string, header http.Header, body []byte) (Input, error) {
	in := Input{
		Tenant: tenant, Key: header.Get("Idempotency-Key"),
		IfMatch: version(header.Get("If-Match")), IfNoneMatch: version(header.Get("If-None-Match")),
	}
	id, action, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(path, "/orders"), "/"), "/")
	in.ID = strings.ToLower(id)
	var err error
	switch {
	case method == http.MethodPost && path == "/orders":
		in.Action = Create
		if in.Key != "" {
			in.ID = order.KeyedID(tenant, in.Key)
		}
		in.Request, err = request(body)
	case method == http.MethodGet && id != "" && action == "":
		in.Action = Get
	case method == http.MethodPost && action != "":
		in.Action = Action(action)
		err = in.parameters(body)
	default:
		err = fmt.Errorf("%s %s is not specified", method, path)
	}
	return in, err
}

// parameters reads what the body of an action asks for.
func (in *Input) parameters(body []byte) error {
	var given struct {
		Amount               int64
		Reason, PaymentToken string
	}
	if len(body) > 0 {
		if err := json.Unmarshal(body, &given); err != nil {
			return fmt.Errorf("read the body of %s: %w", in.Action, err)
		}
	}
	switch in.Action {
	case Refund:
		in.Amount, in.Reason = given.Amount, given.Reason
	case Pay:
		in.Token = given.PaymentToken
	case Cancel, Retry, Erase:
	case Create, Get:
		return fmt.Errorf("%s is not specified for an order", in.Action)
	default:
		return fmt.Errorf("%q is not specified", in.Action)
	}
	return nil
}

// content is what a request and an order have in common.
type content struct {
	Amount     int64
	Currency   string
	CustomerID string
	Items      []struct {
		SKU       string
		Quantity  int64
		UnitPrice int64
	}
	Metadata map[string]string
}

// texts returns the items and the metadata as canonical JSON.
func (c content) texts() (items, metadata string) {
	text := func(v any, n int) string {
		if n == 0 {
			return ""
		}
		canonical, err := json.Marshal(v)
		if err != nil {
			panic(err) // these types always encode
		}
		return string(canonical)
	}
	return text(c.Items, len(c.Items)), text(c.Metadata, len(c.Metadata))
}

func request(body []byte) (Request, error) {
	var given struct {
		content

		PaymentToken string
	}
	if err := json.Unmarshal(body, &given); err != nil {
		return Request{}, fmt.Errorf("read the body of an order: %w", err)
	}
	r := Request{Amount: given.Amount, Currency: given.Currency, CustomerID: given.CustomerID, Token: given.PaymentToken}
	r.Items, r.Metadata = given.texts()
	if r.Currency == "" {
		r.Currency = defaultCurrency
	}
	if r.Token == "" {
		r.Token = defaultToken
	}
	if r.Amount == 0 {
		for _, i := range given.Items {
			r.Amount += i.Quantity * i.UnitPrice
		}
	}
	return r, nil
}

// named is how problems name an order's status.
var named = regexp.MustCompile(`this one is ([A-Z]+)\.`)

// Observed returns the Output that an answer is. An answer of 5xx is as good as none. The error
// says that the answer is not one that the API gives.
func Observed(status int, header http.Header, body []byte) (Output, error) {
	if status >= http.StatusInternalServerError {
		return Output{}, nil
	}
	out := Output{Status: status, Replayed: header.Get("Idempotency-Replayed") == "true", Version: version(header.Get("ETag"))}
	switch {
	case status >= http.StatusBadRequest:
		var problem struct{ Type, Detail string }
		if err := json.Unmarshal(body, &problem); err != nil {
			return Output{}, fmt.Errorf("read a problem of status %d: %w", status, err)
		}
		_, out.Problem, _ = strings.Cut(problem.Type, "#")
		if found := named.FindStringSubmatch(problem.Detail); found != nil {
			out.Refused = found[1]
		}
	case len(body) > 0:
		o, err := shown(body)
		if err != nil {
			return Output{}, fmt.Errorf("read an order of status %d: %w", status, err)
		}
		out.Order = &o
	}
	return out, nil
}

func shown(body []byte) (Order, error) {
	var given struct {
		content

		ID, Status     string
		Version        int64
		CreatedAt      string
		PaymentRef     string
		Failure        struct{ Code string }
		RefundedAmount int64
		Refunds        []ShownRefund
		Attempts       []struct {
			Number  int
			Outcome string
		}
	}
	if err := json.Unmarshal(body, &given); err != nil {
		return Order{}, err
	}
	o := Order{
		ID: given.ID, Status: given.Status, Version: given.Version, Amount: given.Amount, Currency: given.Currency,
		CustomerID: given.CustomerID, CreatedAt: given.CreatedAt, PaymentRef: given.PaymentRef, Failure: given.Failure.Code,
		RefundedAmount: given.RefundedAmount, Refunds: given.Refunds,
	}
	o.Items, o.Metadata = given.texts()
	if n := len(given.Attempts); n > 0 {
		o.Attempts, o.Outcome = given.Attempts[n-1].Number, given.Attempts[n-1].Outcome
	}
	return o, nil
}

// version returns what an entity tag stands for; 0 if there is none.
func version(tag string) int64 {
	n, err := strconv.ParseInt(strings.Trim(tag, `"`), 10, 64)
	if err != nil {
		return 0
	}
	return n
}
