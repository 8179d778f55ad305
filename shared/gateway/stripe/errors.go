package stripe

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	api "github.com/stripe/stripe-go/v85"

	"paylane/shared/gateway"
)

// explain returns what an error of [call] means for the caller of the gateway, by this table
// ("Errors", "Error codes" and "Advanced error handling" in Stripe's documentation):
//
//	not sent; 429                                     unavailable
//	card_error, any other 402                         declined, with Stripe's code
//	invalid_request of payment method, amount,        declined, with Stripe's code
//	  currency, or of a charge that can't be refunded
//	401, 403, any other invalid_request of 400, 404   unavailable, as misconfigured
//	any other status, idempotency_error, no answer    unknown
//	  that can be read, and any that says that
//	  nothing was done, if the request was sent twice
//
// Doing says what was being done. No text of Stripe's gets into an error but that of a
// card_error, which is made for a customer: others repeat what was sent.
func explain(err error, doing string) error {
	var declined *gateway.DeclinedError
	var notSent notSentError
	var repeated repeatedError
	var e *api.Error
	switch {
	case err == nil:
		return nil
	case errors.As(err, &declined), errors.Is(err, gateway.ErrMisconfigured):
		return err
	case errors.As(err, &notSent):
		return fmt.Errorf("%s at Stripe: %w: %w", doing, gateway.ErrUnavailable, reason(err))
	case !errors.As(err, &e):
		return fmt.Errorf("%s at Stripe: %w", doing, reason(err))
	}
	told := fmt.Errorf("%s: Stripe answered %d (%s), request %s",
		doing, e.HTTPStatusCode, strings.Trim(string(e.Type)+" "+string(e.Code)+" "+e.Param, " "), e.RequestID)
	refused := refusal(e)
	switch {
	case refused != nil && (e.HTTPStatusCode == http.StatusPaymentRequired || !errors.As(err, &repeated)):
		return refused
	case errors.As(err, &repeated):
		return told
	case e.HTTPStatusCode == http.StatusTooManyRequests:
		return fmt.Errorf("%w: %w", gateway.ErrUnavailable, told)
	case e.HTTPStatusCode == http.StatusUnauthorized, e.HTTPStatusCode == http.StatusForbidden, invalid(e):
		return misconfigured(told)
	}
	return told
}

// refusal is the decline that an answer amounts to; nil if it is something else.
func refusal(e *api.Error) *gateway.DeclinedError {
	text := blameless(e)
	switch {
	case e.Type == api.ErrorTypeCard, e.HTTPStatusCode == http.StatusPaymentRequired:
		return declinedBy(e)
	case !invalid(e):
		return nil
	case e.Code == api.ErrorCodePaymentIntentActionRequired:
		return authenticationRequired()
	case text != "":
		return &gateway.DeclinedError{Code: string(cmp.Or(e.Code, "invalid_request")), Message: text}
	}
	return nil
}

// invalid reports whether Stripe refused the request itself, and so did nothing.
func invalid(e *api.Error) bool {
	return e.Type == api.ErrorTypeInvalidRequest &&
		(e.HTTPStatusCode == http.StatusBadRequest || e.HTTPStatusCode == http.StatusNotFound)
}

// reason is why there was no answer.
func reason(err error) error {
	var failed *url.Error
	if errors.As(err, &failed) {
		return failed.Err
	}
	return errors.New("the answer can't be read")
}

// blameless returns the text for an invalid request that is no fault of this side's; empty if
// it is.
func blameless(e *api.Error) string {
	switch e.Code {
	case api.ErrorCodeAmountTooSmall, api.ErrorCodeAmountTooLarge:
		return "The amount is too small or too large for this currency at Stripe."
	case api.ErrorCodeChargeDisputed:
		return "The charge is disputed, and can't be refunded."
	case api.ErrorCodeChargeNotRefundable, "refund_disputed_payment":
		return "The charge can't be refunded."
	case api.ErrorCodePaymentIntentAuthenticationFailure, api.ErrorCodePaymentIntentIncompatiblePaymentMethod,
		api.ErrorCodePaymentIntentPaymentAttemptFailed:
		return "The payment failed. Pay with another payment method."
	default:
	}
	switch {
	case strings.HasPrefix(e.Param, "payment_method"), strings.HasPrefix(string(e.Code), "payment_method_"),
		// That one was used before has neither a code nor a parameter.
		e.Code == "" && e.Param == "" && strings.Contains(e.Msg, "PaymentMethod"):
		return "The payment method can't be used: it is unknown, belongs to a customer or to the other mode, or was used before. Create another."
	case e.Param == "currency":
		return "Stripe does not take this currency with this payment method and account."
	case e.Param == "amount":
		return "The amount can't be charged or refunded: it is too small or too large, or more than is left."
	}
	return ""
}

// declinedBy is a decline for which Stripe has a code and a text. The issuer's code says more
// than Stripe's own; but who stole a card, or is suspected of it, must not learn what is known
// ("Decline codes": "present it in the same manner as generic_decline").
func declinedBy(e *api.Error) *gateway.DeclinedError {
	if e == nil {
		e = &api.Error{}
	}
	d := &gateway.DeclinedError{Code: cmp.Or(string(e.DeclineCode), string(e.Code), "card_declined"), Message: "The card was declined."}
	switch {
	case e.Code == api.ErrorCodeAuthenticationRequired, e.DeclineCode == "authentication_not_handled":
		return authenticationRequired()
	case e.DeclineCode == api.DeclineCodeFraudulent, e.DeclineCode == api.DeclineCodeMerchantBlacklist,
		e.DeclineCode == api.DeclineCodeLostCard, e.DeclineCode == api.DeclineCodeStolenCard:
		d.Code = string(api.DeclineCodeGenericDecline)
	case e.Type == api.ErrorTypeCard:
		d.Message = cmp.Or(e.Msg, d.Message)
	}
	return d
}

func authenticationRequired() *gateway.DeclinedError {
	return &gateway.DeclinedError{
		Code: "authentication_required", Message: "The card requires authentication by its holder, who is not there.",
	}
}

func refundFailed(refund *api.Refund) error {
	return &gateway.DeclinedError{
		Code: cmp.Or(string(refund.FailureReason), "refund_failed"), Message: "The refund failed.",
	}
}

// neverCreated reports whether an error of a request for something new says that nobody has
// learned, or will learn, what it made: it was refused, or Stripe has stored its own failure
// as the answer that everybody gets under this key.
func neverCreated(err error) bool {
	var declined *gateway.DeclinedError
	var repeated repeatedError
	var e *api.Error
	switch {
	case errors.As(err, &declined):
		return true
	case errors.As(err, &repeated), !errors.As(err, &e):
		return false
	case e.HTTPStatusCode >= http.StatusInternalServerError:
		return e.LastResponse != nil && e.LastResponse.Header.Get("Idempotent-Replayed") == "true"
	}
	return refusal(e) != nil
}

// unexpectedState returns the intent as it is, if the error says that its state does not
// allow what was asked for; nil otherwise.
func unexpectedState(err error) *api.PaymentIntent {
	var e *api.Error
	if errors.As(err, &e) && e.Code == "payment_intent_unexpected_state" {
		return e.PaymentIntent
	}
	return nil
}

func missing(err error) bool { return hasCode(err, api.ErrorCodeResourceMissing) }

func hasCode(err error, code api.ErrorCode) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == code
}

// status is that of the answer, if Stripe gave one.
func status(err error) int {
	var e *api.Error
	if errors.As(err, &e) {
		return e.HTTPStatusCode
	}
	return 0
}
