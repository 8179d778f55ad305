package simulator

import (
	"fmt"
	"strconv"
	"strings"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

type kind int

const (
	approve kind = iota
	decline
	flaky
	outage
	timeoutCharged
	timeoutNotCharged
	unknown
	slow
	refundDeclined
)

// rule is one payment token, or with a number all tokens of one kind.
type rule struct {
	token string // with a number, what precedes it
	kind  kind
	// number names the number in texts; it is from least to most, written as digits
	// matches. Empty if the token has none.
	number      string
	least, most int
	example     int
	digits      string
	doc         string
}

// rules is the table of the tokens: what is accepted, and what is said about it.
func rules() []rule {
	return []rule{
		{token: "tok_ok", kind: approve, doc: "is approved"},
		{token: "tok_declined", kind: decline, doc: "is declined"},
		{token: "tok_insufficient_funds", kind: decline, doc: "is declined"},
		{token: "tok_expired_card", kind: decline, doc: "is declined"},
		{
			token: "tok_flaky_", kind: flaky, number: "N", least: 1, most: 9, example: 2, digits: `[1-9]`,
			doc: "is approved after N attempts at which the gateway is unavailable",
		},
		{token: "tok_outage", kind: outage, doc: "is always unavailable"},
		{token: "tok_timeout_charged", kind: timeoutCharged, doc: "times out at the first attempt, though it was charged"},
		{token: "tok_timeout_not_charged", kind: timeoutNotCharged, doc: "times out at the first attempt, and nothing was charged"},
		{
			token: "tok_unknown_", kind: unknown, number: "N", least: 0, most: 600, example: 5, digits: `([0-9]|[1-9][0-9]|[1-5][0-9]{2}|600)`,
			doc: "times out, and the gateway can't say what became of it for N seconds",
		},
		{
			token: "tok_slow_", kind: slow, number: "MS", least: 0, most: 8000, example: 800, digits: `([0-9]|[1-9][0-9]{1,2}|[1-7][0-9]{3}|8000)`,
			doc: "is approved after MS milliseconds",
		},
		//nolint:gosec // a token of the simulator is not a secret
		{token: "tok_refund_declined", kind: refundDeclined, doc: "is approved; a refund of it is declined"},
	}
}

func (r rule) String() string {
	if r.number == "" {
		return r.token
	}
	return fmt.Sprintf("%s%s (%d-%d)", r.token, r.number, r.least, r.most)
}

// instance returns a token of the rule.
func (r rule) instance() gateway.TokenExample {
	e := gateway.TokenExample{Token: order.Token(r.token), Doc: r.doc}
	if r.number != "" {
		n := strconv.Itoa(r.example)
		e.Token += order.Token(n)
		e.Doc = strings.Replace(r.doc, r.number, n, 1)
	}
	return e
}

// behaviour is what one token stands for.
type behaviour struct {
	kind kind
	n    int    // the token's number
	code string // of a decline
}

// parse returns ok = false for a token that is not one.
func (s *Simulator) parse(token order.Token) (b behaviour, ok bool) {
	for _, r := range s.rules {
		rest, found := strings.CutPrefix(string(token), r.token)
		switch {
		case !found:
		case r.number == "":
			if rest == "" {
				return behaviour{kind: r.kind, code: strings.TrimPrefix(r.token, "tok_")}, true
			}
		default:
			n, err := strconv.Atoi(rest)
			canonical := err == nil && strconv.Itoa(n) == rest
			return behaviour{kind: r.kind, n: n}, canonical && n >= r.least && n <= r.most
		}
	}
	return behaviour{}, false
}

// CheckToken implements [gateway.Tokens].
func (s *Simulator) CheckToken(token order.Token) error {
	if _, ok := s.parse(token); ok {
		return nil
	}
	all := make([]string, len(s.rules))
	for i, r := range s.rules {
		all[i] = r.String()
	}
	return fmt.Errorf("is not a token of the simulated gateway; take one of %s", strings.Join(all, ", "))
}

// CheckMoney implements [gateway.Tokens]: any will do.
func (*Simulator) CheckMoney(order.Money) error { return nil }

// Describe implements [gateway.Tokens].
func (s *Simulator) Describe() gateway.TokenDescription {
	patterns, docs, examples := make([]string, len(s.rules)), make([]string, len(s.rules)), make([]gateway.TokenExample, len(s.rules))
	for i, r := range s.rules {
		patterns[i], docs[i], examples[i] = r.token+r.digits, r.String()+" "+r.doc, r.instance()
	}
	return gateway.TokenDescription{
		Default: "tok_ok", Approved: "tok_ok", Declined: "tok_insufficient_funds", Reused: true,
		Pattern:  "^(" + strings.Join(patterns, "|") + ")$",
		Doc:      "The gateway is a simulator: " + strings.Join(docs, "; ") + ".",
		Examples: examples,
	}
}
