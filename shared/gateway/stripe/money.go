package stripe

import (
	"errors"
	"strings"

	"paylane/shared/order"
)

// units is how Stripe counts a currency: the amount in the minor unit of ISO 4217, times
// Multiply, divided by Divide, must be a whole multiple of Step.
type units struct{ multiply, divide, step int64 }

// unitsOf returns where Stripe differs from ISO 4217 ("Supported currencies"). It has no units
// for IQD and LYD, of which Stripe does not say how it counts them.
func unitsOf(c order.Currency) (u units, ok bool) {
	switch c {
	case "ISK", "UGX": // two digits, for compatibility
		return units{100, 1, 1}, true
	case "MGA": // no digits
		return units{1, 100, 1}, true
	case "BHD", "JOD", "KWD", "OMR", "TND": // three digits, of which the last must be 0
		return units{1, 1, 10}, true
	case "IQD", "LYD":
		return units{}, false
	default:
		return units{1, 1, 1}, true
	}
}

// CheckMoney implements [gateway.Tokens]. What Stripe takes depends on the account and the
// payment method too; that it says itself, as a decline.
func (g *Gateway) CheckMoney(m order.Money) error {
	_, err := toStripe(m)
	return err
}

// toStripe returns an amount in Stripe's units. The error's text completes "the amount".
func toStripe(m order.Money) (int64, error) {
	u, ok := unitsOf(m.Currency)
	amount := m.Amount * u.multiply // at most 2^53 times 100
	switch {
	case !ok:
		return 0, errors.New("must be in a currency that Stripe takes")
	case amount%u.divide != 0:
		return 0, errors.New("must be a multiple of 100: Stripe takes no fractions of " + string(m.Currency))
	case amount/u.divide%u.step != 0:
		return 0, errors.New("must be a multiple of 10: Stripe takes two digits of " + string(m.Currency))
	}
	return amount / u.divide, nil
}

// fromStripe returns what Stripe calls an amount of a currency.
func fromStripe(amount int64, code string) order.Money {
	m := order.Money{Amount: amount, Currency: order.Currency(strings.ToUpper(code))}
	if u, ok := unitsOf(m.Currency); ok {
		m.Amount = amount * u.divide / u.multiply
	}
	return m
}

// currency is Stripe's name of a currency.
func currency(m order.Money) string { return strings.ToLower(string(m.Currency)) }
