package stripetest_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"paylane/shared/gateway/stripe/stripetest"
)

const apiKey = "sk_test_1"

var beginning = time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)

// world is a stand-in with a clock of its own, and names for what it made: $1 for the first id
// that it answered, $2 for the next.
type world struct {
	*stripetest.Server
	now atomic.Int64
	ids []string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{Server: stripetest.New(t, apiKey)}
	w.Now = func() time.Time { return beginning.Add(time.Duration(w.now.Load())) }
	return w
}

func (w *world) named(text string) string {
	for i, id := range slices.Backward(w.ids) {
		text = strings.ReplaceAll(text, fmt.Sprint("$", i+1), id)
	}
	return text
}

func (w *world) name(id string) string {
	i := slices.Index(w.ids, id)
	if i < 0 {
		i, w.ids = len(w.ids), append(w.ids, id)
	}
	return fmt.Sprint("$", i+1)
}

// step is a call and its answer, after what happened before it.
type step struct {
	after time.Duration    // passes before
	do    func(*world)     // happens before
	fault stripetest.Fault // happens to the call
	call  string           // such as "POST /v1/refunds key payment_intent=$1"; the key is - for none
	as    string           // the API key, if not the right one
	times int              // how often it is made; once is 0
	want  string           // the status and what the answer shows
}

const (
	create  = "POST /v1/payment_intents "
	usd     = " amount=1200&currency=usd&payment_method="
	visa    = usd + "pm_card_visa"
	refund  = "POST /v1/refunds "
	search  = "GET /v1/payment_intents/search - query="
	intents = "GET /v1/payment_intents - "
	refunds = "GET /v1/refunds - "
)

func confirm(id, key string) string {
	return "POST /v1/payment_intents/" + id + "/confirm " + key + " "
}
func cancel(id string) string { return "POST /v1/payment_intents/" + id + "/cancel - " }

// TestStandIn: each row is the life of one account. What an answer shows is told by [shown].
func TestStandIn(t *testing.T) {
	paid := []step{
		{call: create + "-" + visa, want: "200 $1 requires_confirmation"},
		{call: confirm("$1", "-"), want: "200 $1 succeeded"},
	}
	for _, tt := range []struct {
		name  string
		steps []step
	}{
		// Idempotency.
		{"a key gets its answer again", []step{
			{call: create + "k" + visa, want: "200 $1 requires_confirmation"},
			{call: create + "k" + visa, want: "200 $1 requires_confirmation, replayed"},
			{call: create + "l" + visa, want: "200 $2 requires_confirmation"},
			{call: intents, want: "200 $2 $1"},
		}},
		{"without a key nothing is repeated", []step{
			{call: create + "-" + visa, want: "200 $1 requires_confirmation"},
			{call: create + "-" + visa, want: "200 $2 requires_confirmation"},
		}},
		{"a replay shows what was, not what is", []step{
			{call: create + "k" + visa, want: "200 $1 requires_confirmation"},
			{call: cancel("$1"), want: "200 $1 canceled"},
			{call: create + "k" + visa, want: "200 $1 requires_confirmation, replayed"},
			{call: "GET /v1/payment_intents/$1 -", want: "200 $1 canceled"},
		}},
		{"a key expires after a day", []step{
			{call: create + "k" + visa, want: "200 $1 requires_confirmation"},
			{after: 24*time.Hour - time.Second, call: create + "k" + visa, want: "200 $1 requires_confirmation, replayed"},
			{after: time.Second, call: create + "k" + visa, want: "200 $2 requires_confirmation"},
			{after: 24*time.Hour - time.Second, call: create + "k" + visa, want: "200 $2 requires_confirmation, replayed"},
		}},
		{"a failure is stored, and nothing was done", []step{
			{fault: stripetest.StoredBefore, call: create + "k" + visa, want: "500 api_error"},
			{call: create + "k" + visa, want: "500 api_error, replayed"},
			{call: intents, want: "200"},
		}},
		{"a failure is stored, and it was done", []step{
			{fault: stripetest.StoredAfter, call: create + "k" + visa, want: "500 api_error"},
			{call: create + "k" + visa, want: "500 api_error, replayed"},
			{call: intents, want: "200 $1"},
		}},
		{"a stored failure expires", []step{
			{fault: stripetest.StoredBefore, call: create + "k" + visa, want: "500 api_error"},
			{after: 24 * time.Hour, call: create + "k" + visa, want: "200 $1 requires_confirmation"},
		}},
		{"a decline is stored", []step{
			{call: create + "-" + usd + "pm_card_chargeDeclined", want: "200 $1 requires_confirmation"},
			{call: confirm("$1", "k"), want: "402 card_error card_declined generic_decline, $1 requires_payment_method"},
			{call: confirm("$1", "k"), want: "402 card_error card_declined generic_decline, $1 requires_payment_method, replayed"},
			{call: confirm("$1", "l"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 requires_payment_method"},
		}},
		{"what the state does not allow is stored", append(paid[:2:2],
			step{call: confirm("$1", "k"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 succeeded"},
			step{call: confirm("$1", "k"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 succeeded, replayed"},
			step{call: refund + "r payment_intent=$1&amount=1201", want: "400 invalid_request_error of amount"},
			step{call: refund + "r payment_intent=$1&amount=1201", want: "400 invalid_request_error of amount, replayed"},
		)},
		{"invalid parameters are not stored", []step{
			{call: create + "k amount=0&currency=usd", want: "400 invalid_request_error parameter_invalid_integer of amount"},
			{call: create + "k" + visa, want: "200 $1 requires_confirmation"},
			{call: refund + "r payment_intent=pi_none", want: "404 invalid_request_error resource_missing of payment_intent"},
			{call: confirm("$1", "-"), want: "200 $1 succeeded"},
			{call: refund + "r payment_intent=$1", want: "200 $2 succeeded 1200"},
		}},
		{"other parameters under a key", []step{
			{call: create + "k" + visa, want: "200 $1 requires_confirmation"},
			{call: create + "k" + strings.Replace(visa, "1200", "1300", 1), want: "400 idempotency_error"},
			{call: refund + "k" + visa, want: "400 idempotency_error"},
			{call: confirm("$1", "k"), want: "400 idempotency_error"},
			{call: create + "k" + visa, want: "200 $1 requires_confirmation, replayed"},
		}},
		{"what came before the call began is not stored", []step{
			{fault: stripetest.RateLimited, call: create + "k" + visa, want: "429 invalid_request_error rate_limit"},
			{fault: stripetest.Locked, call: create + "k" + visa, want: "429 invalid_request_error lock_timeout"},
			{fault: stripetest.InUse, call: create + "k" + visa, want: "409 invalid_request_error idempotency_key_in_use"},
			{fault: stripetest.Unstored, call: create + "k" + visa, want: "503 api_error"},
			{fault: stripetest.NotPermitted, call: create + "k" + visa, want: "403 invalid_request_error"},
			{fault: stripetest.InvalidOther, call: create + "k" + visa, want: "400 invalid_request_error account_invalid"},
			{as: "sk_test_2", call: create + "k" + visa, want: "401 invalid_request_error"},
			{call: intents, want: "200"},
			{call: create + "k" + visa, want: "200 $1 requires_confirmation"},
		}},

		// A payment intent's states.
		{"requires_confirmation is canceled", []step{
			{call: create + "-" + visa, want: "200 $1 requires_confirmation"},
			{call: cancel("$1"), want: "200 $1 canceled"},
			{call: cancel("$1"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 canceled"},
			{call: confirm("$1", "-"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 canceled"},
			{call: "GET /v1/payment_intents/$1 -", want: "200 $1 canceled"},
		}},
		{"requires_payment_method is not confirmed, and is canceled", []step{
			{call: create + "- amount=1200&currency=usd", want: "200 $1 requires_payment_method"},
			{call: confirm("$1", "-"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 requires_payment_method"},
			{call: cancel("$1"), want: "200 $1 canceled"},
		}},
		{"requires_action is not confirmed, and is canceled", []step{
			{call: create + "-" + usd + stripetest.Action, want: "200 $1 requires_confirmation"},
			{call: confirm("$1", "-"), want: "200 $1 requires_action"},
			{call: confirm("$1", "-"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 requires_action"},
			{call: cancel("$1"), want: "200 $1 canceled"},
		}},
		{"processing is neither", []step{
			{call: create + "-" + usd + stripetest.Processing, want: "200 $1 requires_confirmation"},
			{call: confirm("$1", "-"), want: "200 $1 processing"},
			{call: confirm("$1", "-"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 processing"},
			{call: cancel("$1"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 processing"},
			{do: func(w *world) { w.Settle(w.ids[0], true) }, call: "GET /v1/payment_intents/$1 -", want: "200 $1 succeeded"},
		}},
		{"processing may fail", []step{
			{call: create + "-" + usd + stripetest.Processing, want: "200 $1 requires_confirmation"},
			{call: confirm("$1", "-"), want: "200 $1 processing"},
			{do: func(w *world) { w.Settle(w.ids[0], false) }, call: cancel("$1"), want: "200 $1 canceled"},
		}},
		{"succeeded is neither", append(paid[:2:2],
			step{call: confirm("$1", "-"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 succeeded"},
			step{call: cancel("$1"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 succeeded"},
			step{call: "GET /v1/payment_intents/$1 -", want: "200 $1 succeeded"},
		)},
		{"a declined one is not confirmed again, and is canceled", []step{
			{call: create + "-" + usd + "pm_card_chargeDeclinedExpiredCard", want: "200 $1 requires_confirmation"},
			{call: confirm("$1", "-"), want: "402 card_error expired_card, $1 requires_payment_method"},
			{call: confirm("$1", "-"), want: "400 invalid_request_error payment_intent_unexpected_state, $1 requires_payment_method"},
			{call: cancel("$1"), want: "200 $1 canceled"},
		}},
		{"there is no such intent", []step{
			{call: "GET /v1/payment_intents/pi_none -", want: "404 invalid_request_error resource_missing of intent"},
			{call: confirm("pi_none", "-"), want: "404 invalid_request_error resource_missing of intent"},
			{call: cancel("pi_none"), want: "404 invalid_request_error resource_missing of intent"},
			{call: "GET /v1/nothing -", want: "404 invalid_request_error"},
		}},

		// Declines, and what can't be charged at all.
		{"declines", []step{
			{call: create + "-" + usd + "pm_card_chargeDeclinedInsufficientFunds", want: "200 $1 requires_confirmation"},
			{call: confirm("$1", "-"), want: "402 card_error card_declined insufficient_funds, $1 requires_payment_method"},
			{call: create + "-" + usd + "pm_card_chargeDeclinedIncorrectCvc", want: "200 $2 requires_confirmation"},
			{call: confirm("$2", "-"), want: "402 card_error incorrect_cvc, $2 requires_payment_method"},
			{call: create + "-" + usd + "pm_card_chargeDeclinedProcessingError", want: "200 $3 requires_confirmation"},
			{call: confirm("$3", "-"), want: "402 card_error processing_error, $3 requires_payment_method"},
			{call: create + "-" + usd + "pm_card_authenticationRequired", want: "200 $4 requires_confirmation"},
			{call: confirm("$4", "-"), want: "402 card_error authentication_required authentication_required, $4 requires_payment_method"},
		}},
		{"payment methods", []step{
			{call: create + "-" + usd + "pm_nobodysknows", want: "400 invalid_request_error resource_missing of payment_method"},
			{call: create + "-" + usd + "pm_once_1", want: "200 $1 requires_confirmation"},
			{call: create + "-" + usd + "pm_once_1", want: "200 $2 requires_confirmation"},
			{call: confirm("$1", "-"), want: "200 $1 succeeded"},
			{call: confirm("$2", "-"), want: "400 invalid_request_error"},
			{call: create + "-" + usd + "pm_once_1", want: "400 invalid_request_error"},
			{do: func(w *world) { w.SetKey("sk_live_1") }, as: "sk_live_1", call: create + "-" + visa, want: "400 invalid_request_error resource_missing of payment_method"},
		}},
		{"amounts and currencies", []step{
			{call: create + "- amount=49&currency=usd", want: "400 invalid_request_error amount_too_small of amount"},
			{call: create + "- amount=50&currency=usd", want: "200 $1 requires_payment_method"},
			{call: create + "- amount=1&currency=jpy", want: "200 $2 requires_payment_method"},
			{call: create + "- amount=999999999999&currency=usd", want: "200 $3 requires_payment_method"},
			{call: create + "- amount=1000000000000&currency=usd", want: "400 invalid_request_error amount_too_large of amount"},
			{call: create + "- amount=-5&currency=usd", want: "400 invalid_request_error parameter_invalid_integer of amount"},
			{call: create + "- amount=5.5&currency=usd", want: "400 invalid_request_error parameter_invalid_integer of amount"},
			{call: create + "- amount=1200&currency=USD", want: "400 invalid_request_error of currency"},
			{call: create + "- amount=1200&currency=kpw", want: "400 invalid_request_error of currency"},
		}},

		// Refunds.
		{"a part, then the rest", append(paid[:2:2],
			step{call: refund + "- payment_intent=$1&amount=200", want: "200 $2 succeeded 200"},
			step{call: refund + "- payment_intent=$1&amount=1001", want: "400 invalid_request_error of amount"},
			step{call: refund + "- payment_intent=$1&amount=0", want: "400 invalid_request_error parameter_invalid_integer of amount"},
			step{call: refund + "- payment_intent=$1", want: "200 $3 succeeded 1000"},
			step{call: refund + "- payment_intent=$1", want: "400 invalid_request_error charge_already_refunded"},
			step{call: refund + "- payment_intent=$1&amount=1", want: "400 invalid_request_error charge_already_refunded"},
			step{call: "GET /v1/refunds/$2 -", want: "200 $2 succeeded 200"},
			step{call: "GET /v1/refunds/re_none -", want: "404 invalid_request_error resource_missing of refund"},
		)},
		{"all of it", append(paid[:2:2],
			step{call: refund + "k payment_intent=$1&amount=1200", want: "200 $2 succeeded 1200"},
			step{call: refund + "k payment_intent=$1&amount=1200", want: "200 $2 succeeded 1200, replayed"},
			step{call: refunds, want: "200 $2"},
		)},
		{"one that fails gives its amount back", append(paid[:2:2],
			step{call: refund + "- payment_intent=$1", want: "200 $2 succeeded 1200"},
			step{do: func(w *world) { w.FailRefund(w.ids[1]) }, call: "GET /v1/refunds/$2 -", want: "200 $2 failed 1200 lost_or_stolen_card"},
			step{call: refund + "- payment_intent=$1&amount=1200", want: "200 $3 succeeded 1200"},
		)},
		{"what can't be refunded", append(paid[:2:2],
			step{call: create + "-" + visa, want: "200 $2 requires_confirmation"},
			step{call: refund + "- payment_intent=$2", want: "400 invalid_request_error of payment_intent"},
			step{do: func(w *world) { w.Dispute(w.ids[0]) }, call: refund + "- payment_intent=$1", want: "400 invalid_request_error charge_disputed"},
		)},

		// Lists and the search.
		{"the search lags", []step{
			{call: create + "-" + visa + "&metadata[key]=a.1", want: "200 $1 requires_confirmation"},
			{call: create + "-" + visa + "&metadata[key]=a.10", want: "200 $2 requires_confirmation"},
			{after: 59 * time.Second, call: search + "metadata['key']:'a.1'", want: "200"},
			{after: time.Second, call: search + "metadata['key']:'a.1'", want: "200 $1"},
			{call: search + "metadata['key']:'a'", want: "200"},
			{call: search + "metadata['order']:'a.1'", want: "200"},
			{call: search + "key:a.1", want: "400 invalid_request_error of query"},
		}},
		{"lists are of what there is now, newest first, page by page", []step{
			{call: create + "-" + visa, want: "200 $1 requires_confirmation"},
			{call: create + "-" + visa, want: "200 $2 requires_confirmation"},
			{call: create + "-" + visa, want: "200 $3 requires_confirmation"},
			{call: intents, want: "200 $3 $2 $1"},
			{call: intents + "limit=3", want: "200 $3 $2 $1"},
			{call: intents + "limit=2", want: "200 $3 $2, more"},
			{call: intents + "limit=2&starting_after=$2", want: "200 $1"},
			{call: intents + "limit=2&starting_after=$1", want: "200"},
			{call: intents + "starting_after=pi_none", want: "404 invalid_request_error resource_missing of starting_after"},
			{call: intents + "limit=0", want: "400 invalid_request_error of limit"},
			{call: intents + "limit=100", want: "200 $3 $2 $1"},
			{call: intents + "limit=101", want: "400 invalid_request_error of limit"},
		}},
		{"a page is of ten, if nothing is said", []step{
			{call: create + "-" + visa, times: 11, want: "200 $11 requires_confirmation"},
			{call: intents, want: "200 $11 $10 $9 $8 $7 $6 $5 $4 $3 $2, more"},
		}},
		{"lists have a window", []step{
			{call: create + "-" + visa, want: "200 $1 requires_confirmation"},
			{after: time.Hour, call: create + "-" + visa, want: "200 $2 requires_confirmation"},
			{call: intents + at("gte", 0) + "&" + at("lt", time.Hour), want: "200 $1"},
			{call: intents + at("gte", time.Second) + "&" + at("lt", time.Hour+time.Second), want: "200 $2"},
			{call: intents + at("gte", time.Hour), want: "200 $2"},
		}},
		{"refunds are listed by intent, or all", append(paid[:2:2],
			step{call: refund + "- payment_intent=$1&amount=200", want: "200 $2 succeeded 200"},
			step{call: create + "-" + visa, want: "200 $3 requires_confirmation"},
			step{call: confirm("$3", "-"), want: "200 $3 succeeded"},
			step{call: refund + "- payment_intent=$3&amount=300", want: "200 $4 succeeded 300"},
			step{call: refunds + "payment_intent=$1", want: "200 $2"},
			step{call: refunds, want: "200 $4 $2"},
			step{call: refunds + "limit=1", want: "200 $4, more"},
		)},

		// Authentication.
		{"API keys", []step{
			{as: "none", call: intents, want: "401 invalid_request_error"},
			{as: "sk_test_2", call: intents, want: "401 invalid_request_error"},
			{call: intents, want: "200"},
			{do: func(w *world) { w.SetKey("sk_test_2") }, call: intents, want: "401 invalid_request_error"},
			{as: "sk_test_2", call: intents, want: "200"},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			stored := make(map[string]string)
			for _, s := range tt.steps {
				w.now.Add(int64(s.after))
				if s.do != nil {
					s.do(w)
				}
				w.Fault = func(stripetest.Call) stripetest.Fault { return s.fault }
				var got, body string
				for range max(s.times, 1) {
					got, body = w.ask(t, s.call, s.as)
				}
				if got != s.want {
					t.Fatalf("%s\n  %s\nwant\n  %s", s.call, got, s.want)
				}
				if !strings.HasSuffix(got, ", replayed") {
					stored[s.call] = body
				} else if body != stored[s.call] {
					t.Errorf("%s is replayed as\n  %s\nit was\n  %s", s.call, body, stored[s.call])
				}
			}
		})
	}
}

// at is a bound of a list's window.
func at(bound string, after time.Duration) string {
	return fmt.Sprintf("created[%s]=%d", bound, beginning.Add(after).Unix())
}

// TestKeyInUse: while a call is under way its key is taken; then its answer is everybody's. A
// call without a key is in nobody's way.
func TestKeyInUse(t *testing.T) {
	w := newWorld(t)
	begun, finish := make(chan struct{}), make(chan struct{})
	w.Fault = func(c stripetest.Call) stripetest.Fault {
		if c.Count == 1 {
			begun <- struct{}{}
			<-finish
		}
		return stripetest.None
	}
	slow := make(chan string, 1)
	for _, key := range []string{"k", "-"} {
		go func() {
			status, _, body, err := w.send(t.Context(), create+key+visa, apiKey)
			if key == "k" {
				slow <- fmt.Sprint(status, body, err)
			}
		}()
		<-begun
	}
	for key, want := range map[string]string{
		"k": "409 invalid_request_error idempotency_key_in_use", "-": "200 $1 requires_confirmation",
	} {
		if got, _ := w.ask(t, create+key+visa, ""); got != want {
			t.Errorf("meanwhile, under the key %s: %s", key, got)
		}
	}
	close(finish)
	was := <-slow
	got, body := w.ask(t, create+"k"+visa, "")
	if got != "200 $2 requires_confirmation, replayed" || was != fmt.Sprint(200, body, nil) {
		t.Errorf("afterwards: %s\n%s\nit was\n%s", got, body, was)
	}
}

// ask makes a call and tells what its answer shows: the status, then of an object its name,
// status, refunded amount and reason, of a list its names, of an error its type, code, decline
// code and parameter, and the intent it shows.
func (w *world) ask(t *testing.T, call, as string) (told, body string) {
	t.Helper()
	if as == "" {
		as = apiKey
	}
	status, replayed, body, err := w.send(t.Context(), w.named(call), as)
	if err != nil {
		t.Fatal(err)
	}
	var a struct {
		object
		Data    []object
		HasMore bool `json:"has_more"`
		Error   struct {
			Type, Code, Param string
			DeclineCode       string  `json:"decline_code"`
			Intent            *object `json:"payment_intent"`
		}
	}
	if err := json.Unmarshal([]byte(body), &a); err != nil {
		t.Fatalf("%s: %v\n%s", call, err, body)
	}
	words := []string{fmt.Sprint(status)}
	say := func(word string) {
		if word != "" {
			words = append(words, word)
		}
	}
	if a.ID != "" {
		say(w.name(a.ID))
		say(a.Status)
		if a.Object == "refund" {
			say(fmt.Sprint(a.Amount))
			say(a.Reason)
		}
	}
	for _, o := range a.Data {
		say(w.name(o.ID))
	}
	say(a.Error.Type)
	say(a.Error.Code)
	say(a.Error.DeclineCode)
	if a.Error.Param != "" {
		say("of " + a.Error.Param)
	}
	told = strings.Join(words, " ")
	if i := a.Error.Intent; i != nil {
		told += ", " + w.name(i.ID) + " " + i.Status
	}
	if a.HasMore {
		told += ", more"
	}
	if replayed {
		told += ", replayed"
	}
	return told, body
}

type object struct {
	ID, Object, Status string
	Amount             int64
	Reason             string `json:"failure_reason"`
}

// send makes a call.
func (w *world) send(ctx context.Context, call, as string) (status int, replayed bool, body string, err error) {
	parts := regexp.MustCompile(`^(\S+) (\S+) (\S+) ?(.*)$`).FindStringSubmatch(call)
	method, path, key := parts[1], parts[2], parts[3]
	form := url.Values{}
	for pair := range strings.SplitSeq(parts[4], "&") {
		if name, value, ok := strings.Cut(pair, "="); ok {
			form.Set(name, value)
		}
	}
	target, content := w.URL+path, form.Encode()
	if method == http.MethodGet {
		target, content = target+"?"+content, ""
	}
	r, err := http.NewRequestWithContext(ctx, method, target, strings.NewReader(content))
	if err != nil {
		return 0, false, "", err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if key != "-" {
		r.Header.Set("Idempotency-Key", key)
	}
	if as != "none" {
		r.Header.Set("Authorization", "Bearer "+as)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, false, "", err
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(answer.Body)
	return answer.StatusCode, answer.Header.Get("Idempotent-Replayed") == "true", string(text), err
}
