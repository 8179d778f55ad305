package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"paylane/shared/gateway"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/queue"
	"paylane/shared/telemetry"
)

// The times that slow services take, beside which those of the embedded ones don't count.
const (
	storeTakes   = 30 * time.Millisecond
	queueTakes   = 200 * time.Millisecond
	gatewayTakes = 1000 * time.Millisecond
)

type slowStore struct{ *pebblestore.Store }

func (s slowStore) Create(ctx context.Context, o order.Order) error {
	time.Sleep(storeTakes)
	return s.Store.Create(ctx, o)
}

func (s slowStore) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	time.Sleep(storeTakes)
	return s.Store.Get(ctx, ref)
}

func (s slowStore) Claim(ctx context.Context, ref order.Ref, c order.Claim) (order.Order, error) {
	time.Sleep(storeTakes)
	return s.Store.Claim(ctx, ref, c)
}

func (s slowStore) Update(ctx context.Context, next order.Order) error {
	time.Sleep(storeTakes)
	return s.Store.Update(ctx, next)
}

func (s slowStore) List(ctx context.Context, q order.Query) (order.Page, error) {
	time.Sleep(storeTakes)
	return s.Store.List(ctx, q)
}

func (s slowStore) Scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	time.Sleep(storeTakes)
	return s.Store.Scan(ctx, q)
}

type slowQueue struct{ handlers.Queue }

func (q slowQueue) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	time.Sleep(queueTakes)
	return q.Queue.Send(ctx, body, delay)
}

func (q slowQueue) ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error {
	time.Sleep(queueTakes)
	return q.Queue.ChangeVisibility(ctx, receiptHandle, timeout)
}

// slowGateway takes the same time for each call.
type slowGateway struct{ gateway.Provider }

func (g slowGateway) Charge(_ context.Context, r gateway.Request) (gateway.Receipt, error) {
	time.Sleep(gatewayTakes)
	switch r.Token {
	case "tok_flaky_1":
		return gateway.Receipt{}, gateway.ErrUnavailable
	case "tok_declined":
		return gateway.Receipt{}, &gateway.DeclinedError{Code: "card_declined"}
	case "tok_timeout_charged":
		return gateway.Receipt{}, errors.New("no answer about tok_timeout_charged")
	default:
		return gateway.Receipt{Ref: "PAY-1"}, nil
	}
}

func (g slowGateway) Refund(context.Context, gateway.Request) (gateway.Receipt, error) {
	time.Sleep(gatewayTakes)
	return gateway.Receipt{Ref: "REF-1"}, nil
}

func (g slowGateway) Resolve(context.Context, gateway.Request) (gateway.Resolution, error) {
	time.Sleep(gatewayTakes)
	return gateway.Resolution{Done: true, Receipt: gateway.Receipt{Ref: "PAY-1"}}, nil
}

// measuring has the handlers on slow services, in virtual time.
type measuring struct {
	functions
	queue queue.Queue
	log   *bytes.Buffer // of all handlers, which tests call one by one
	// ctx is an invocation's, as on Lambda.
	ctx context.Context
}

const (
	traceID = "1-5759e988-bd862e3fe1be46a994272793"
	lineage = "Lineage=1:2d1f6f85:0"
)

func inMeasuringBubble(t *testing.T, traces trace.TracerProvider, test func(t *testing.T, m measuring)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, q := pebbletest.Open(t, time.Minute)
		var log bytes.Buffer
		s := handlerstest.Services(slowStore{store}, slowQueue{q})
		simulated := s.Gateway
		s.Gateway = func(name string) (gateway.Provider, error) {
			opened, err := simulated(name)
			return slowGateway{opened}, err
		}
		s.Log = slog.New(telemetry.Handler(slog.NewJSONHandler(&log, nil)))
		s.Telemetry, s.Traces = telemetry.NewRecorder(&log, "stack", time.Now), traces
		environment := handlerstest.Environment("MAX_ATTEMPTS", "2")
		worker := handlerstest.Must[handlers.SQSHandler](t)
		//nolint:staticcheck // the key is aws-lambda-go's
		ctx := context.WithValue(t.Context(), "x-amzn-trace-id", "Root="+traceID+";Parent=53995c3f42cd8ad8;Sampled=0;"+lineage)
		test(t, measuring{
			functions: functions{
				api:        handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(environment, s)),
				payment:    worker(handlers.Payment(environment, s)),
				deadletter: worker(handlers.DeadLetter(environment, s)),
			},
			queue: q, log: &log, ctx: ctx,
		})
	})
}

// request makes a request of the API. The headers are pairs of name and value.
func (m measuring) request(t *testing.T, route, id, body string, headers ...string) events.APIGatewayV2HTTPResponse {
	t.Helper()
	event := sample[events.APIGatewayV2HTTPRequest](t, "api-create-order.json")
	method, pattern, _ := strings.Cut(route, " ")
	event.RouteKey, event.RawPath, event.Body = route, strings.ReplaceAll(pattern, "{id}", id), body
	event.RequestContext.HTTP.Method = method
	event.PathParameters = map[string]string{"id": id}
	event.Headers = map[string]string{"content-type": "application/json"}
	for i := 0; i < len(headers); i += 2 {
		event.Headers[headers[i]] = headers[i+1]
	}
	response, err := m.api(m.ctx, event)
	if err != nil {
		t.Fatal(err)
	}
	return response
}

// place places an order and returns its id.
func (m measuring) place(t *testing.T, token string) string {
	t.Helper()
	response := m.request(t, "POST /orders", "", `{"amount": 1, "paymentToken": "`+token+`", "customerId": "c-secret", "metadata": {"k": "meta-secret"}}`)
	if response.StatusCode != http.StatusCreated {
		t.Fatalf("%d %s", response.StatusCode, response.Body)
	}
	return strings.TrimPrefix(response.Headers["Location"], "/orders/")
}

// batch receives n messages as the event of one invocation.
func (m measuring) batch(t *testing.T, n int) (event events.SQSEvent) {
	t.Helper()
	got, err := m.queue.Receive(t.Context(), queue.ReceiveRequest{Max: n, Wait: queue.MaxReceiveWait})
	if err != nil || len(got) != n {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	for _, r := range got {
		event.Records = append(event.Records, events.SQSMessage{
			MessageId: r.MessageID, ReceiptHandle: r.ReceiptHandle, Body: r.Body, Attributes: r.Attributes,
		})
	}
	return event
}

func (m measuring) pay(t *testing.T, ctx context.Context, event events.SQSEvent) {
	t.Helper()
	if _, err := m.payment(ctx, event); err != nil {
		t.Fatal(err)
	}
}

// lines returns what was logged since the last call.
func (m measuring) lines(t *testing.T) (lines []map[string]any) {
	t.Helper()
	for decoder := json.NewDecoder(m.log); decoder.More(); {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// TestTimings: the line of an invocation says how long it waited for what, in sum, and nothing of
// what it did not ask.
func TestTimings(t *testing.T) {
	inMeasuringBubble(t, nil, func(t *testing.T, m measuring) {
		wants := func(when string, want map[string]float64) {
			t.Helper()
			got := map[string]float64{}
			for _, line := range m.lines(t) {
				for name, value := range line {
					if strings.HasSuffix(name, "_ms") && line["msg"] == "invocation" {
						got[name] += 10 * math.Round(value.(float64)/10)
					}
				}
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", when, diff)
			}
		}
		m.request(t, "GET /healthz", "", "")
		wants("a request that asks nobody", map[string]float64{})
		id := m.place(t, "tok_ok")
		m.place(t, "tok_declined")
		wants("two orders", map[string]float64{"queue_ms": 400, "store_ms": 60})
		m.pay(t, m.ctx, m.batch(t, 2))
		wants("their payments, each claimed, charged and settled", map[string]float64{"gateway_ms": 2000, "store_ms": 120})
		m.request(t, "GET /orders/{id}", id, "")
		m.request(t, "GET /orders", "", "")
		wants("a read and a list", map[string]float64{"store_ms": 60})
		m.place(t, "tok_flaky_1")
		m.lines(t)
		m.pay(t, m.ctx, m.batch(t, 1))
		wants("an attempt that is made again", map[string]float64{"gateway_ms": 1000, "store_ms": 60, "queue_ms": 200})
	})
}

// TestTraceInTheLog: without any spans, the line of the request and those of its message have one
// trace id, whatever the trace of the invocation that handles the message.
func TestTraceInTheLog(t *testing.T) {
	inMeasuringBubble(t, nil, func(t *testing.T, m measuring) {
		m.place(t, "tok_ok")
		event := m.batch(t, 1)
		if got, want := event.Records[0].Attributes["AWSTraceHeader"], "Root="+traceID+";Parent=53995c3f42cd8ad8;Sampled=0;"+lineage; got != want {
			t.Errorf("the message has the trace header %q, want the request's, %q", got, want)
		}
		//nolint:staticcheck // the key is aws-lambda-go's
		other := context.WithValue(t.Context(), "x-amzn-trace-id", "Root=1-00000001-000000000000000000000002;Parent=0000000000000003;Sampled=0")
		m.pay(t, other, event)
		event.Records[0].Attributes = nil // as if it came from a sender without traces
		m.pay(t, other, event)
		var got []string
		for _, line := range m.lines(t) {
			got = append(got, fmt.Sprint(line["msg"], " ", line["trace_id"]))
		}
		const paid = "1-00000001-000000000000000000000002"
		want := []string{
			"invocation " + traceID,
			"message " + traceID, "invocation " + paid,
			"message " + paid, "invocation " + paid,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the lines (-want +got):\n%s", diff)
		}
	})
}

// TestMeasuredWatcher: who waits for an order learns of its change at once, being measured.
func TestMeasuredWatcher(t *testing.T) {
	inMeasuringBubble(t, nil, func(t *testing.T, m measuring) {
		id := m.place(t, "tok_ok")
		const rest = 12345 * time.Millisecond
		var over time.Time
		go func() {
			time.Sleep(rest)
			m.request(t, "POST /orders/{id}/cancel", id, "")
			over = time.Now()
		}()
		response := m.request(t, "GET /orders/{id}", id, "", "prefer", "wait=20")
		synctest.Wait()
		if late := time.Since(over); !strings.Contains(response.Body, "CANCELED") || late > 2*storeTakes {
			t.Errorf("%v after the change came %s", late, response.Body)
		}
	})
}

// spans writes what a test compares of spans: each below its parent, and beside it what came of it.
func spans(all []sdktrace.ReadOnlySpan) []string {
	byID := make(map[trace.SpanID]sdktrace.ReadOnlySpan)
	for _, s := range all {
		byID[s.SpanContext().SpanID()] = s
	}
	var described func(s sdktrace.ReadOnlySpan) string
	described = func(s sdktrace.ReadOnlySpan) string {
		text := s.Name()
		if parent, ok := byID[s.Parent().SpanID()]; ok {
			text = strings.SplitN(described(parent), ":", 2)[0] + " > " + text
		}
		text += ": " + s.SpanKind().String()
		for _, a := range s.Attributes() {
			if a.Key == "result" || a.Key == "http.response.status_code" {
				text += " " + a.Value.String()
			}
		}
		if s.Status().Code == codes.Error {
			text += " (error)"
		}
		return text
	}
	var out []string
	for _, s := range all {
		out = append(out, described(s))
	}
	slices.Sort(out)
	return out
}

// TestSpans follows orders by their spans: each is one trace, whose id is X-Ray's, and none has
// anything of what an order holds.
func TestSpans(t *testing.T) {
	for name, test := range map[string]struct {
		token string
		steps func(t *testing.T, m measuring, id string)
		want  []string
	}{
		"an attempt that is made again": {"tok_flaky_1", nil, []string{
			"POST /orders > create order: client ok",
			"POST /orders > send payments > process payments > change_visibility payments: client ok",
			"POST /orders > send payments > process payments > charge: client unavailable (error)",
			"POST /orders > send payments > process payments > claim order: client ok",
			"POST /orders > send payments > process payments > update order: client ok",
			"POST /orders > send payments > process payments: consumer unavailable",
			"POST /orders > send payments: producer ok",
			"POST /orders: server 201",
		}},
		"a charge that must be resolved": {"tok_timeout_charged", func(t *testing.T, m measuring, _ string) {
			m.pay(t, m.ctx, m.batch(t, 1))
		}, []string{
			"POST /orders > create order: client ok",
			"POST /orders > send payments > process payments > change_visibility payments: client ok",
			"POST /orders > send payments > process payments > charge: client unknown (error)",
			"POST /orders > send payments > process payments > claim order: client ok",
			"POST /orders > send payments > process payments > claim order: client ok",
			"POST /orders > send payments > process payments > resolve: client done",
			"POST /orders > send payments > process payments > update order: client ok",
			"POST /orders > send payments > process payments > update order: client ok",
			"POST /orders > send payments > process payments: consumer paid",
			"POST /orders > send payments > process payments: consumer unknown",
			"POST /orders > send payments: producer ok",
			"POST /orders: server 201",
		}},
		"a declined charge": {"tok_declined", nil, []string{
			"POST /orders > create order: client ok",
			"POST /orders > send payments > process payments > charge: client declined",
			"POST /orders > send payments > process payments > claim order: client ok",
			"POST /orders > send payments > process payments > update order: client ok",
			"POST /orders > send payments > process payments: consumer failed",
			"POST /orders > send payments: producer ok",
			"POST /orders: server 201",
		}},
		"a refund, and an order that is not there": {"tok_ok", func(t *testing.T, m measuring, id string) {
			m.request(t, "POST /orders/{id}/refund", id, "{}")
			m.pay(t, m.ctx, m.batch(t, 1))
			m.request(t, "GET /orders/{id}", order.KeyedID("t", "none"), "")
		}, []string{
			"GET /orders/{id} > get order: client not_found",
			"GET /orders/{id}: server 404",
			"POST /orders > create order: client ok",
			"POST /orders > send payments > process payments > charge: client approved",
			"POST /orders > send payments > process payments > claim order: client ok",
			"POST /orders > send payments > process payments > update order: client ok",
			"POST /orders > send payments > process payments: consumer paid",
			"POST /orders > send payments: producer ok",
			"POST /orders/{id}/refund > get order: client ok",
			"POST /orders/{id}/refund > send payments > process payments > claim order: client ok",
			"POST /orders/{id}/refund > send payments > process payments > refund: client approved",
			"POST /orders/{id}/refund > send payments > process payments > update order: client ok",
			"POST /orders/{id}/refund > send payments > process payments: consumer refunded",
			"POST /orders/{id}/refund > send payments: producer ok",
			"POST /orders/{id}/refund > update order: client ok",
			"POST /orders/{id}/refund: server 202",
			"POST /orders: server 201",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := tracetest.NewSpanRecorder()
			provider := sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder), sdktrace.WithSampler(sdktrace.AlwaysSample()))
			inMeasuringBubble(t, provider, func(t *testing.T, m measuring) {
				id := m.place(t, test.token)
				m.pay(t, m.ctx, m.batch(t, 1))
				if test.steps != nil {
					test.steps(t, m, id)
				}
				all := recorder.Ended()
				if diff := cmp.Diff(test.want, spans(all)); diff != "" {
					t.Errorf("spans (-want +got):\n%s", diff)
				}
				for _, s := range all {
					if got, want := s.SpanContext().TraceID().String(), strings.ReplaceAll(traceID[2:], "-", ""); got != want {
						t.Errorf("%s is part of the trace %s, want %s", s.Name(), got, want)
					}
					text := fmt.Sprint(s.Name(), s.Attributes(), s.Status(), s.Events())
					for _, secret := range []string{"tok_", "c-secret", "meta-secret", "PAY-", "REF-"} {
						if strings.Contains(text, secret) {
							t.Errorf("%q is in a span: %s", secret, text)
						}
					}
					if s.Name() != "charge" && !strings.Contains(s.Name(), "process") {
						continue
					}
					if !strings.Contains(text, id) || !strings.Contains(text, handlers.LocalTenant) {
						t.Errorf("the span says of no order that it is about it: %s", text)
					}
				}
			})
		})
	}
}
