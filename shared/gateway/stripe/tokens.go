package stripe

import (
	"errors"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// methodPattern is of the ids of PaymentMethods.
const methodPattern = "^pm_[A-Za-z0-9_]{1,61}$"

// CheckToken implements [gateway.Tokens].
func (g *Gateway) CheckToken(token order.Token) error {
	if g.methods.MatchString(string(token)) {
		return nil
	}
	return errors.New("must be the id of a PaymentMethod at Stripe, which begins with pm_; create it with Stripe.js, never send a card number")
}

// Describe implements [gateway.Tokens]. In live mode Stripe knows none of the example tokens,
// and declines them.
func (g *Gateway) Describe() gateway.TokenDescription {
	d := gateway.TokenDescription{
		Approved: "pm_card_visa", Declined: "pm_card_chargeDeclinedInsufficientFunds", Pattern: methodPattern,
		Doc: "It is the id of a Stripe PaymentMethod that belongs to no customer and was not used before, as Stripe.js creates it.",
	}
	if g.Livemode() {
		d.Approved = ""
	} else {
		d.Doc += " In test mode, pm_card_visa is approved, and the others of Stripe's test PaymentMethods do what their names say."
	}
	return d
}
