package stripetest

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

const invalidRequest = "invalid_request_error"

// apiError is Stripe's error object.
type apiError struct {
	Type        string `json:"type"`
	Code        string `json:"code,omitempty"`
	DeclineCode string `json:"decline_code,omitempty"`
	Param       string `json:"param,omitempty"`
	Message     string `json:"message"`
	Intent      any    `json:"payment_intent,omitempty"`
}

func shown(object map[string]any) answer { return answer{status: http.StatusOK, body: object} }

func failed(status int, e apiError) answer {
	return answer{status: status, body: map[string]any{"error": e}}
}

// refused is the answer to a call that was begun, and that the state of things does not allow.
func refused(e apiError) answer {
	e.Type = invalidRequest
	return failed(http.StatusBadRequest, e)
}

// invalid is the answer to parameters that are no good.
func invalid(e apiError) answer {
	a := refused(e)
	a.notBegun = true
	return a
}

func notFound(e apiError) answer {
	a := invalid(e)
	a.status = http.StatusNotFound
	return a
}

func missing(what, param, id string) answer {
	return notFound(apiError{Code: "resource_missing", Param: param, Message: "No such " + what + ": '" + id + "'"})
}

// The PaymentMethods of test mode ("Test card numbers"), by what confirming with them does;
// empty is approved.
func declines() map[string]apiError {
	declined := func(code, decline string) apiError {
		return apiError{Type: "card_error", Code: code, DeclineCode: decline, Message: "Your card was declined."}
	}
	return map[string]apiError{
		"pm_card_visa":                            {},
		"pm_card_mastercard":                      {},
		"pm_card_chargeDeclined":                  declined("card_declined", "generic_decline"),
		"pm_card_chargeDeclinedInsufficientFunds": declined("card_declined", "insufficient_funds"),
		"pm_card_chargeDeclinedExpiredCard":       declined("expired_card", ""),
		"pm_card_chargeDeclinedIncorrectCvc":      declined("incorrect_cvc", ""),
		"pm_card_chargeDeclinedProcessingError":   declined("processing_error", ""),
		"pm_card_visa_chargeDeclinedLostCard":     declined("card_declined", "lost_card"),
		"pm_card_visa_chargeDeclinedStolenCard":   declined("card_declined", "stolen_card"),
		"pm_card_chargeDeclinedFraudulent":        declined("card_declined", "fraudulent"),
		"pm_card_authenticationRequired":          declined("authentication_required", "authentication_required"),
		"pm_card_authenticationRequiredOnSetup":   declined("card_declined", "authentication_not_handled"),
	}
}

// PaymentMethods that only the stand-in has.
const (
	// Processing is one whose intent stays processing until [Server.Settle].
	Processing = "pm_processing"
	// Action is one whose intent requires an action, even if it was asked to fail instead.
	Action = "pm_action"
)

// live reports whether the API key moves money.
func (s *Server) live() bool { return strings.Contains(s.key, "_live_") }

// checkMethod returns an error for a PaymentMethod that there is not, or that was used up: one
// that begins with pm_once_ is for a single payment, as all are outside of the tests' names.
func (s *Server) checkMethod(id string) *apiError {
	_, known := declines()[id]
	once := strings.HasPrefix(id, "pm_once_")
	switch {
	case s.methods[id]:
		return &apiError{Message: "The provided PaymentMethod was previously used with a PaymentIntent without Customer attachment, shared with a connected account without Customer attachment, or was detached from a Customer. It may not be used again."}
	case s.live() && known:
		return &apiError{Code: "resource_missing", Param: "payment_method", Message: "No such PaymentMethod: '" + id + "'; a similar object exists in test mode, but a live mode key was used to make this request."}
	case known, once, id == Processing, id == Action:
		return nil
	}
	return &apiError{Code: "resource_missing", Param: "payment_method", Message: "No such PaymentMethod: '" + id + "'"}
}

func (s *Server) createIntent(form url.Values) answer {
	amount, err := strconv.ParseInt(form.Get("amount"), 10, 64)
	currency, method := form.Get("currency"), form.Get("payment_method")
	least := int64(1)
	if currency == "usd" || currency == "eur" {
		least = 50
	}
	switch {
	case err != nil || amount < 1:
		return invalid(apiError{Code: "parameter_invalid_integer", Param: "amount", Message: "Invalid positive integer"})
	case len(currency) != 3 || currency != strings.ToLower(currency) || currency == "kpw":
		return invalid(apiError{Param: "currency", Message: "Invalid currency: " + currency})
	case amount < least:
		return invalid(apiError{Code: "amount_too_small", Param: "amount", Message: "Amount must be at least $0.50 usd"})
	case amount > 999_999_999_999: // twelve digits, for most cards
		return invalid(apiError{Code: "amount_too_large", Param: "amount", Message: "Amount must be no more than 999,999.99"})
	}
	if method != "" {
		if e := s.checkMethod(method); e != nil {
			return invalid(*e)
		}
	}
	i := &intent{
		id: "pi_" + short(), status: "requires_confirmation", currency: currency, amount: amount, method: method,
		metadata: metadata(form), created: s.Now(),
	}
	if method == "" {
		i.status = "requires_payment_method"
	}
	s.intents, s.byID[i.id] = append(s.intents, i), i
	return s.shown(i)
}

func (s *Server) confirm(i *intent) answer {
	if i.status != "requires_confirmation" {
		return s.unexpected(i, "confirm")
	}
	if e := s.checkMethod(i.method); e != nil {
		return refused(*e)
	}
	if strings.HasPrefix(i.method, "pm_once_") {
		s.methods[i.method] = true
	}
	switch e := declines()[i.method]; {
	case i.method == Processing:
		i.status = "processing"
	case i.method == Action:
		i.status = "requires_action"
	case e.Type != "":
		i.status, i.failure = "requires_payment_method", &e
		e.Intent = s.intentJSON(i)
		return failed(http.StatusPaymentRequired, e)
	default:
		i.status, i.received = "succeeded", i.amount
	}
	return s.shown(i)
}

func (s *Server) cancel(i *intent) answer {
	switch i.status {
	case "requires_confirmation", "requires_payment_method", "requires_action":
		i.status = "canceled"
		return s.shown(i)
	}
	return s.unexpected(i, "cancel")
}

func (s *Server) unexpected(i *intent, verb string) answer {
	return refused(apiError{
		Code: "payment_intent_unexpected_state", Intent: s.intentJSON(i),
		Message: "You cannot " + verb + " this PaymentIntent because it has a status of " + i.status + ".",
	})
}

func (s *Server) shown(i *intent) answer { return shown(s.intentJSON(i)) }

// intentJSON shows an intent.
func (s *Server) intentJSON(i *intent) map[string]any {
	shown := map[string]any{
		"id": i.id, "object": "payment_intent", "amount": i.amount, "amount_received": i.received, "currency": i.currency,
		"status": i.status, "payment_method": nil, "metadata": maps.Clone(i.metadata), "created": i.created.Unix(),
		"livemode": s.live(), "client_secret": i.id + "_secret_" + short(), "last_payment_error": nil,
	}
	if i.method != "" {
		shown["payment_method"] = i.method
	}
	if i.failure != nil {
		shown["last_payment_error"] = apiError{Type: i.failure.Type, Code: i.failure.Code, DeclineCode: i.failure.DeclineCode, Message: i.failure.Message}
	}
	return shown
}

func (s *Server) listIntents(form url.Values) answer {
	var ids []string
	var objects []any
	for _, i := range slices.Backward(s.intents) {
		if window(form, i.created) {
			ids, objects = append(ids, i.id), append(objects, s.intentJSON(i))
		}
	}
	return page("/v1/payment_intents", form, ids, objects)
}

// search knows one kind of query, metadata['name']:'value'.
func (s *Server) search(form url.Values) answer {
	name, value, ok := strings.Cut(strings.TrimPrefix(form.Get("query"), "metadata['"), "']:'")
	if !ok {
		return invalid(apiError{Param: "query", Message: "The query can't be parsed."})
	}
	found := []any{}
	for _, i := range slices.Backward(s.intents) {
		if i.metadata[name] == strings.TrimSuffix(value, "'") && s.Now().Sub(i.created) >= s.SearchLag {
			found = append(found, s.intentJSON(i))
		}
	}
	return shown(map[string]any{
		"object": "search_result", "url": "/v1/payment_intents/search", "has_more": false, "next_page": nil, "data": found,
	})
}

func (s *Server) createRefund(form url.Values) answer {
	i := s.byID[form.Get("payment_intent")]
	if i == nil {
		return missing("payment_intent", "payment_intent", form.Get("payment_intent"))
	}
	left := i.received
	for _, f := range s.refunds {
		if f.intent == i && f.status != "failed" && f.status != "canceled" {
			left -= f.amount
		}
	}
	amount := left
	if text := form.Get("amount"); text != "" {
		var err error
		if amount, err = strconv.ParseInt(text, 10, 64); err != nil || amount < 1 {
			return invalid(apiError{Code: "parameter_invalid_integer", Param: "amount", Message: "Invalid positive integer"})
		}
	}
	switch {
	case i.status != "succeeded":
		return refused(apiError{Param: "payment_intent", Message: "This PaymentIntent does not have a successful charge to refund."})
	case i.disputed:
		return refused(apiError{Code: "charge_disputed", Message: "The charge is disputed."})
	case left == 0:
		return refused(apiError{Code: "charge_already_refunded", Message: "Charge has already been refunded."})
	case amount > left:
		return refused(apiError{Param: "amount", Message: "Refund amount is greater than unrefunded amount on charge."})
	}
	f := &refund{id: "re_" + short(), status: "succeeded", amount: amount, intent: i, metadata: metadata(form), created: s.Now()}
	s.refunds = append(s.refunds, f)
	return shown(f.json())
}

func (f *refund) json() map[string]any {
	shown := map[string]any{
		"id": f.id, "object": "refund", "amount": f.amount, "currency": f.intent.currency, "status": f.status,
		"payment_intent": f.intent.id, "metadata": maps.Clone(f.metadata), "created": f.created.Unix(), "reason": nil,
	}
	if f.reason != "" {
		shown["failure_reason"] = f.reason
	}
	return shown
}

func (s *Server) listRefunds(form url.Values) answer {
	var ids []string
	var objects []any
	for _, f := range slices.Backward(s.refunds) {
		if of := form.Get("payment_intent"); (of == "" || of == f.intent.id) && window(form, f.created) {
			ids, objects = append(ids, f.id), append(objects, f.json())
		}
	}
	return page("/v1/refunds", form, ids, objects)
}
