package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/queue"
	"paylane/shared/telemetry"
)

// TestTelemetry looks at all that is logged and measured while orders go through api and
// payment: the sums are right, and no line has any of a customer's data.
func TestTelemetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := pebbletest.Open(t, time.Minute)
		var out bytes.Buffer // nothing here runs concurrently
		log := slog.New(telemetry.Handler(slog.NewJSONHandler(&out, nil)))
		recorder := telemetry.NewRecorder(&out, "stack", time.Now)
		services := handlerstest.Services(store, q)
		services.Log, services.Telemetry = log, recorder
		api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(handlerstest.Environment(), services))
		payment := handlerstest.Must[handlers.SQSHandler](t)(handlers.Payment(handlerstest.Environment(), services))
		secrets := []string{"tok_", "c-secret", "meta-secret", "key-secret", "4242"}
		post := func(token, key string) {
			t.Helper()
			event := sample[events.APIGatewayV2HTTPRequest](t, "api-create-order.json")
			event.Headers = map[string]string{"content-type": "application/json", "idempotency-key": key}
			event.Body = `{"amount": 1, "paymentToken": "` + token + `", "customerId": "c-secret", "metadata": {"k": "meta-secret"}}`
			if _, err := api(t.Context(), event); err != nil {
				t.Fatal(err)
			}
		}
		post("tok_ok", "key-secret-1")
		post("tok_ok", "key-secret-1") // a replay
		post("tok_insufficient_funds", "key-secret-2")
		post("tok_flaky_1", "key-secret-3")
		post("tok_timeout_charged", "key-secret-4")
		post("4242 4242 4242 4242", "key-secret-5") // refused
		deliveries, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 10, Wait: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range deliveries { // one by one, since they share a buffer
			_, err := payment(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: d.MessageID, ReceiptHandle: d.ReceiptHandle, Body: d.Body}}})
			if err != nil {
				t.Fatal(err)
			}
		}
		for _, secret := range secrets {
			if strings.Contains(out.String(), secret) {
				t.Errorf("%q is in the log:\n%s", secret, &out)
			}
		}
		sums := make(map[telemetry.Metric]float64)
		var invocations int
		for decoder := json.NewDecoder(&out); decoder.More(); {
			var line map[string]any
			if err := decoder.Decode(&line); err != nil {
				t.Fatal(err)
			}
			if line["_aws"] != nil {
				invocations++
			}
			if line["route"] == "POST /orders" && line["status"] == 201. && (line["tenant"] != "local" || line["order_id"] == nil) {
				t.Errorf("the line of a request does not say whose order it was: %v", line)
			}
			for _, m := range telemetry.Metrics() {
				if n, ok := line[string(m)].(float64); ok && n > 0 {
					sums[m] += n
				}
			}
		}
		// The replay sent a second message for its order, which was paid by then.
		want := map[telemetry.Metric]float64{
			telemetry.Accepted: 4, telemetry.Paid: 1, telemetry.Declined: 1, telemetry.Unavailable: 1, telemetry.Unknown: 1,
		}
		if diff := cmp.Diff(want, sums); diff != "" {
			t.Errorf("sums (-want +got):\n%s", diff)
		}
		if want := 6 + len(deliveries); invocations != want {
			t.Errorf("%d invocation lines, want %d", invocations, want)
		}
	})
}

// TestTelemetryOfFaults: a request that ends in a 500 is counted as failed and nothing else, and
// its span says so.
func TestTelemetryOfFaults(t *testing.T) {
	var out bytes.Buffer
	services := handlerstest.Services(nil, nil) // without a store it panics
	services.Telemetry = telemetry.NewRecorder(&out, "stack", time.Now)
	recorder := tracetest.NewSpanRecorder()
	services.Traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
	api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(handlerstest.Environment(), services))
	response, err := api(t.Context(), sample[events.APIGatewayV2HTTPRequest](t, "api-get-order.json"))
	if err != nil || response.StatusCode != http.StatusInternalServerError {
		t.Fatalf("%d %s, %v", response.StatusCode, response.Body, err)
	}
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["Failed"] != 1. || line["Accepted"] != 0. {
		t.Errorf("%s, %v", &out, err)
	}
	if diff := cmp.Diff([]string{"GET /orders/{id}: server 500 (error)"}, spans(recorder.Ended())); diff != "" {
		t.Errorf("spans (-want +got):\n%s", diff)
	}
}

// TestTelemetryOfAnOutage: orders that the gateway's absence makes FAILED are counted as given
// up, and declined ones are not. A refund undone is counted as unresolved from 15 minutes after
// its first attempt.
func TestTelemetryOfAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, q := pebbletest.Open(t, time.Minute)
		var out bytes.Buffer
		services := handlerstest.Services(store, q)
		services.Telemetry = telemetry.NewRecorder(&out, "stack", time.Now)
		environment := handlerstest.Environment("MAX_ATTEMPTS", "2", "PATIENCE", "1200")
		payment := handlerstest.Must[handlers.SQSHandler](t)(handlers.Payment(environment, services))
		for _, token := range []order.Token{"tok_outage", "tok_declined", "tok_ok"} {
			ref := order.Ref{Tenant: handlers.LocalTenant, ID: order.KeyedID("t", string(token))}
			o := order.New(ref, order.Request{Amount: 1, Currency: "KRW", PaymentToken: token}, "", time.Now())
			if token == "tok_ok" { // its refund never succeeds
				o.Status, o.Refunds, o.Livemode = order.Refunding, []order.Refund{{ID: "r", Amount: 1, All: true, Status: order.RefundPending}}, true
			}
			if err := store.Create(t.Context(), o); err != nil {
				t.Fatal(err)
			}
		}
		sums := func() map[telemetry.Metric]float64 {
			sums := make(map[telemetry.Metric]float64)
			for decoder := json.NewDecoder(&out); decoder.More(); {
				var line map[string]any
				if err := decoder.Decode(&line); err != nil {
					t.Fatal(err)
				}
				for _, m := range telemetry.Metrics() {
					if n, ok := line[string(m)].(float64); ok && n > 0 {
						sums[m] += n
					}
				}
			}
			return sums
		}
		attempt := func(kind order.Kind, tokens ...order.Token) map[telemetry.Metric]float64 {
			t.Helper()
			for _, token := range tokens {
				m := order.Message{Kind: kind, Ref: order.Ref{Tenant: handlers.LocalTenant, ID: order.KeyedID("t", string(token))}, Round: 1, Refund: 1}
				if _, err := payment(t.Context(), events.SQSEvent{Records: []events.SQSMessage{{Body: m.Encode()}}}); err != nil {
					t.Fatal(err)
				}
			}
			return sums()
		}
		for _, step := range []struct {
			kind   order.Kind
			tokens []order.Token
			want   map[telemetry.Metric]float64
		}{
			{order.KindCharge, []order.Token{"tok_outage", "tok_declined"}, map[telemetry.Metric]float64{telemetry.Unavailable: 1, telemetry.Declined: 1}},
			{order.KindRefund, []order.Token{"tok_ok"}, map[telemetry.Metric]float64{telemetry.Unavailable: 1}},
			{order.KindCharge, []order.Token{"tok_outage"}, map[telemetry.Metric]float64{telemetry.Unavailable: 1}},
			{order.KindRefund, []order.Token{"tok_ok"}, map[telemetry.Metric]float64{telemetry.Unavailable: 1, telemetry.Unresolved: 1}},
			{order.KindCharge, []order.Token{"tok_outage"}, map[telemetry.Metric]float64{telemetry.Unavailable: 1, telemetry.GaveUp: 1}},
		} {
			if diff := cmp.Diff(step.want, attempt(step.kind, step.tokens...)); diff != "" {
				t.Errorf("%s of %v (-want +got):\n%s", step.kind, step.tokens, diff)
			}
			time.Sleep(8 * time.Minute)
		}
	})
}

// TestTimeToAccept: it begins when API Gateway received the request, by the event, unless the
// event does not say, or says what can't be.
func TestTimeToAccept(t *testing.T) {
	const took, waited = 40 * time.Millisecond, 700 * time.Millisecond
	for name, test := range map[string]struct {
		epoch func(now time.Time) int64
		want  time.Duration
	}{
		"before a cold start":      {func(now time.Time) int64 { return now.Add(-waited).UnixMilli() }, waited + took},
		"at once":                  {time.Time.UnixMilli, took},
		"not said":                 {func(time.Time) int64 { return 0 }, took},
		"in seconds":               {time.Time.Unix, took},
		"by a clock that is ahead": {func(now time.Time) int64 { return now.Add(time.Millisecond).UnixMilli() }, took},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				store, q := pebbletest.Open(t, time.Minute)
				var out bytes.Buffer
				services := handlerstest.Services(slow{store, took}, q)
				services.Telemetry = telemetry.NewRecorder(&out, "stack", time.Now)
				api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(handlerstest.Environment(), services))
				event := sample[events.APIGatewayV2HTTPRequest](t, "api-create-order.json")
				event.RequestContext.TimeEpoch = test.epoch(time.Now())
				if response, err := api(t.Context(), event); err != nil || response.StatusCode != http.StatusCreated {
					t.Fatal(response.StatusCode, response.Body, err)
				}
				var line struct{ TimeToAccept []int64 }
				if err := json.Unmarshal(out.Bytes(), &line); err != nil {
					t.Fatal(err)
				}
				if want := []int64{test.want.Milliseconds()}; !cmp.Equal(line.TimeToAccept, want) {
					t.Errorf("TimeToAccept is %v, want %v", line.TimeToAccept, want)
				}
			})
		})
	}
}

// slow is a store that takes a while to create an order.
type slow struct {
	handlers.Store
	takes time.Duration
}

func (s slow) Create(ctx context.Context, o order.Order) error {
	time.Sleep(s.takes)
	return s.Store.Create(ctx, o)
}

// TestLimits: what is no number of attempts or seconds is refused at the start.
func TestLimits(t *testing.T) {
	for _, bad := range [][2]string{{"MAX_ATTEMPTS", "0"}, {"MAX_ATTEMPTS", "many"}, {"PATIENCE", "-1"}, {"PATIENCE", "6h"}} {
		_, err := handlers.Payment(handlerstest.Environment(bad[0], bad[1]), handlerstest.Services(nil, nil))
		if err == nil || !strings.Contains(err.Error(), bad[1]) {
			t.Errorf("%s=%s: %v", bad[0], bad[1], err)
		}
	}
}
