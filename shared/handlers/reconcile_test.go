package handlers_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/pipeline"
	"paylane/shared/queue"
	"paylane/shared/telemetry"
)

// reconciling is the reconcile function with its store and its queue, in memory.
type reconciling struct {
	t     *testing.T
	store *pebblestore.Store
	queue *pebblestore.Queue
	// services and environment are the function's.
	services    handlers.Services
	environment map[string]string
	log         *bytes.Buffer
	lines       *bytes.Buffer // one for each invocation
	timeout     time.Duration
}

func inReconciling(t *testing.T, test func(t *testing.T, r *reconciling)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, queue := pebbletest.Open(t, 90*time.Minute)
		r := &reconciling{t: t, store: store, queue: queue, log: new(bytes.Buffer), lines: new(bytes.Buffer), timeout: 15 * time.Minute}
		r.services, r.environment = handlerstest.Services(store, queue), handlerstest.Environment("RECONCILE_STUCK_AFTER", "1h")
		r.services.Log = slog.New(slog.NewJSONHandler(r.log, nil))
		r.services.Telemetry = telemetry.NewRecorder(r.lines, "stack", time.Now)
		test(t, r)
	})
}

// invoke calls the function as Lambda does, and returns its answer as JSON.
func (r *reconciling) invoke(event string) (string, error) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), r.timeout)
	defer cancel()
	handler := handlerstest.Must[handlers.ReconcileHandler](r.t)(handlers.Reconcile(r.environment, r.services))
	answer, err := lambda.NewHandler(handler).Invoke(ctx, []byte(event))
	return string(answer), err
}

// counted returns what the invocations so far counted.
func (r *reconciling) counted(m telemetry.Metric) (sum float64) {
	r.t.Helper()
	for decoder := json.NewDecoder(bytes.NewReader(r.lines.Bytes())); decoder.More(); {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			r.t.Fatal(err)
		}
		n, _ := line[string(m)].(float64)
		sum += n
	}
	return sum
}

// put stores a PENDING order that was created the given time ago and never worked on.
func (r *reconciling) put(n int, ago time.Duration) order.Ref {
	r.t.Helper()
	ref := order.Ref{Tenant: "t", ID: order.KeyedID("t", fmt.Sprint(n))}
	o := order.New(ref, order.Request{Amount: 100, Currency: "USD", PaymentToken: "tok_ok"}, "", time.Now().Add(-ago))
	if err := r.store.Create(r.t.Context(), o); err != nil {
		r.t.Fatal(err)
	}
	return ref
}

func (r *reconciling) status(ref order.Ref) order.Status {
	r.t.Helper()
	o, err := r.store.Get(r.t.Context(), ref)
	if err != nil {
		r.t.Fatal(err)
	}
	return o.Status
}

// received returns an SQS event with all messages in the queue.
func (r *reconciling) received() (event string, messages int) {
	r.t.Helper()
	got, err := r.queue.Receive(r.t.Context(), queue.ReceiveRequest{Max: queue.MaxBatch, Wait: time.Second})
	if err != nil {
		r.t.Fatal(err)
	}
	var e events.SQSEvent
	for _, d := range got {
		e.Records = append(e.Records, events.SQSMessage{MessageId: d.MessageID, Body: d.Body, ReceiptHandle: d.ReceiptHandle})
		if _, err := r.queue.Delete(r.t.Context(), []string{d.ReceiptHandle}); err != nil {
			r.t.Fatal(err)
		}
	}
	text, err := json.Marshal(e)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(text), len(got)
}

const scheduled = `{"version":"0","id":"53dc4d37-cffa-4f76-80c9-8b7d4a4d2eaa","detail-type":"Scheduled Event",` +
	`"source":"aws.scheduler","account":"123456789012","time":"2026-11-01T03:00:00Z","region":"us-east-1",` +
	`"resources":["arn:aws:scheduler:us-east-1:123456789012:schedule/default/reconcile"],"detail":"{}"}`

const day = 24 * time.Hour

// TestReconcileEvents checks what each event does to an order from yesterday and to one
// from 36 days ago.
func TestReconcileEvents(t *testing.T) {
	for _, test := range []struct {
		name, event string
		young, old  order.Status
		answer      string
	}{
		{
			"the schedule settles the last days", scheduled, order.Failed, order.Pending,
			`{"done":true,"apply":true,"report":{"scanned":1,"checked":1,"stuck":0,"settled":{"failed":1},"differences":{},"unknown":0,"errors":0}}`,
		},
		{
			"a dry run by hand", `{}`, order.Pending, order.Pending,
			`{"done":true,"apply":false,"report":{"scanned":2,"checked":0,"stuck":2,"settled":{},"differences":{},"unknown":0,"errors":0}}`,
		},
		{"by hand, told to apply", ` {"apply":true,"ratePerSecond":7}`, order.Failed, order.Failed, `"settled":{"failed":2}`},
		{"by hand, orders untouched for longer", `{"apply":true,"stuckAfter":"48h"}`, order.Pending, order.Failed, `"settled":{"failed":1}`},
		{"by hand, over a span", `{"apply":true,"from":"1999-11-01T00:00:00Z","to":"1999-12-30T12:00:00+02:00"}`, order.Pending, order.Failed, `"settled":{"failed":1}`},
	} {
		t.Run(test.name, func(t *testing.T) {
			inReconciling(t, func(t *testing.T, r *reconciling) { // it is 2000-01-01
				young, old := r.put(1, day), r.put(2, 36*day)
				answer, err := r.invoke(test.event)
				if err != nil || !strings.Contains(answer, test.answer) {
					t.Errorf("the answer is %s, %v; want %s", answer, err, test.answer)
				}
				if y, o := r.status(young), r.status(old); y != test.young || o != test.old {
					t.Errorf("the orders are %s and %s, want %s and %s", y, o, test.young, test.old)
				}
				if n := strings.Count(r.log.String(), `"msg":"reconciled"`); n != 1 {
					t.Errorf("the report was logged %d times", n)
				}
				if _, n := r.received(); n != 0 {
					t.Errorf("%d messages were sent", n)
				}
			})
		})
	}
}

// TestReconcileRefuses checks that an ambiguous event is refused and changes nothing.
func TestReconcileRefuses(t *testing.T) {
	inReconciling(t, func(t *testing.T, r *reconciling) {
		ref := r.put(1, day)
		for event, says := range map[string]string{
			`{"aply":true}`:                     "aply",
			`{"apply":"true"}`:                  "apply",
			`{"apply":true,"from":"yesterday"}`: "RFC 3339",
			`{"apply":true,"from":"2026-11-02T00:00:00Z","to":"2026-11-01T00:00:00Z"}`: "from must be before to",
			`{"apply":true,"ratePerSecond":0}`:                                         "ratePerSecond",
			`{"apply":true,"ratePerSecond":1001}`:                                      "ratePerSecond",
			`{"apply":true,"stuckAfter":"1 day"}`:                                      "stuckAfter must be a duration",
			`{"apply":true,"stuckAfter":"-1h"}`:                                        "stuckAfter",
			`{"apply":true,"source":"aws.s3"}`:                                         "source",
			`null`:                                                                     "JSON object",
			`"apply"`:                                                                  "JSON object",
			`[]`:                                                                       "JSON object",
			`{"Records":"many"}`:                                                       "SQS event",
		} {
			if answer, err := r.invoke(event); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: %s, %v; want an error that says %q", event, answer, err, says)
			}
		}
		if got := r.status(ref); got != order.Pending {
			t.Errorf("the order is %s", got)
		}
	})
}

// TestReconcileGoesOn checks that a run continues through the queue until everything is
// done, and logs its report once.
func TestReconcileGoesOn(t *testing.T) {
	inReconciling(t, func(t *testing.T, r *reconciling) {
		var refs, recent []order.Ref
		for n := range 50 { // untouched for less than stuckAfter, for the continuations too
			recent = append(recent, r.put(100+n, 2*time.Hour))
		}
		for n := range 100 {
			refs = append(refs, r.put(n, day))
		}
		r.timeout = 33 * time.Second
		answer, err := r.invoke(`{"apply":true,"ratePerSecond":10,"stuckAfter":"12h"}`)
		if err != nil || !strings.Contains(answer, `"done":false`) {
			t.Fatalf("the first invocation: %s, %v", answer, err)
		}
		invocations := 1
		for event, n := r.received(); n > 0; event, n = r.received() {
			answer, err := r.invoke(event)
			if n != 1 || err != nil || answer != `{"batchItemFailures":[]}` {
				t.Fatalf("a continuation of %d messages: %s, %v", n, answer, err)
			}
			invocations++
		}
		if invocations < 4 {
			t.Errorf("it took %d invocations of 3 s at 10 a second", invocations)
		}
		for _, ref := range refs {
			if got := r.status(ref); got != order.Failed {
				t.Errorf("an order is %s", got)
			}
		}
		for _, ref := range recent {
			if got := r.status(ref); got != order.Pending {
				t.Errorf("a recent order is %s", got)
			}
		}
		const report = `"report":{"scanned":150,"checked":100,"stuck":0,"settled":{"failed":100},"differences":{},"unknown":0,"errors":0}`
		var last string
		for line := range strings.Lines(r.log.String()) {
			if strings.Contains(line, `"msg":"reconciled"`) {
				last += line
			}
		}
		if strings.Count(last, "\n") != 1 || !strings.Contains(last, report) {
			t.Errorf("the end was logged as\n%swant one line with\n%s", last, report)
		}
	})
}

// TestReconcileBatch: only a record that can't be continued is reported.
func TestReconcileBatch(t *testing.T) {
	inReconciling(t, func(t *testing.T, r *reconciling) {
		ref := r.put(1, day)
		good := pipeline.NewReconcileState(time.Time{}, time.Time{}, true, 50)
		newer := good
		newer.Version++
		event, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{
			{MessageId: "newer", Body: newer.Encode()}, {MessageId: "good", Body: good.Encode()}, {MessageId: "garbled", Body: "{"},
		}})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := r.invoke(string(event))
		const want = `{"batchItemFailures":[{"itemIdentifier":"newer"},{"itemIdentifier":"garbled"}]}`
		if err != nil || answer != want {
			t.Errorf("the answer is %s, %v; want %s", answer, err, want)
		}
		if got := r.status(ref); got != order.Failed {
			t.Errorf("the order is %s", got)
		}
		if n := r.counted(telemetry.Failed); n != 2 {
			t.Errorf("%v were counted as failed, want 2", n)
		}
	})
}

// TestReconcileNight: a metric says that a night's walk has ended: not before its last
// invocation, and of no other walk.
func TestReconcileNight(t *testing.T) {
	inReconciling(t, func(t *testing.T, r *reconciling) {
		r.environment["RECONCILE_RATE"] = "10"
		for n := range 100 {
			r.put(n, day)
		}
		if _, err := r.invoke(`{"apply":true,"to":"1999-12-01T00:00:00Z"}`); err != nil || r.counted(telemetry.Reconciled) != 0 {
			t.Errorf("%v walks by hand were counted, %v", r.counted(telemetry.Reconciled), err)
		}
		r.timeout = 33 * time.Second
		if answer, err := r.invoke(scheduled); err != nil || !strings.Contains(answer, `"done":false`) {
			t.Fatalf("%s, %v", answer, err)
		}
		for event, n := r.received(); n > 0; event, n = r.received() {
			if got := r.counted(telemetry.Reconciled); got != 0 {
				t.Fatalf("%v walks ended, with a message left", got)
			}
			if _, err := r.invoke(event); err != nil {
				t.Fatal(err)
			}
		}
		if got, failed := r.counted(telemetry.Reconciled), r.counted(telemetry.Failed); got != 1 || failed != 0 {
			t.Errorf("%v walks ended and %v failed", got, failed)
		}
	})
}

// TestReconcileTooLong: a walk that feeds the queue over and over is given up after a
// hundred invocations, and both the log and a metric say so.
func TestReconcileTooLong(t *testing.T) {
	inReconciling(t, func(t *testing.T, r *reconciling) {
		for n := range 400 {
			r.put(n, day)
		}
		r.timeout = 32 * time.Second // two orders
		_, err := r.invoke(`{"apply":true,"ratePerSecond":1}`)
		invocations := 1
		for event, n := r.received(); n > 0 && err == nil && invocations <= 100; event, n = r.received() {
			_, err = r.invoke(event)
			invocations++
		}
		if invocations != 100 || err != nil {
			t.Fatalf("%d invocations, %v; want 100", invocations, err)
		}
		lines := strings.Split(strings.TrimSpace(r.log.String()), "\n")
		last := lines[len(lines)-1]
		if !strings.Contains(last, `"level":"ERROR"`) || !strings.Contains(last, `"scanned":`) || !strings.Contains(last, "RECONCILE_RATE") {
			t.Errorf("the last line is %s", last)
		}
		if failed := r.counted(telemetry.Failed); failed != 1 {
			t.Errorf("%v failed, want 1", failed)
		}
	})
}

// deaf is a queue that accepts nothing.
type deaf struct{ queue.Queue }

func (deaf) Send(context.Context, string, time.Duration) (string, error) {
	return "", order.ErrUnavailable
}

// blind is a store that can be scanned in part or not at all.
type blind struct {
	*pebblestore.Store
	from int // the first segment that can't be read
}

func (b blind) Scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	if q.Segment >= b.from {
		return order.ScanPage{}, errors.New("order x is garbled")
	}
	return b.Store.Scan(ctx, q)
}

// TestReconcileFails checks that the function fails where it must, so that the event is
// retried or a person sees it, and that no message is sent over and over.
func TestReconcileFails(t *testing.T) {
	for _, test := range []struct {
		name   string
		change func(r *reconciling)
		says   string
		sent   int
	}{
		{"what is left can't be sent", func(r *reconciling) {
			r.services.Queue = func(string) (handlers.Queue, error) { return deaf{r.queue}, nil }
		}, "unavailable", 0},
		{"nothing can be read", func(r *reconciling) { r.services.Store = func(string) handlers.Store { return blind{r.store, 0} } }, "garbled", 0},
		{"a part can't be read", func(r *reconciling) { r.services.Store = func(string) handlers.Store { return blind{r.store, 8} } }, "", 1},
		{"there is no time", func(r *reconciling) { r.timeout = 30 * time.Second }, "less than 30s", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			inReconciling(t, func(t *testing.T, r *reconciling) {
				for n := range 60 {
					r.put(n, day)
				}
				r.timeout = 32 * time.Second
				test.change(r)
				answer, err := r.invoke(`{"apply":true,"ratePerSecond":10}`)
				if err != nil && !strings.Contains(r.log.String(), `"level":"ERROR","msg":"could not reconcile"`) {
					t.Errorf("the error is not in the log:\n%s", r.log)
				}
				if (err == nil) != (test.says == "") || (err != nil && !strings.Contains(err.Error(), test.says)) {
					t.Errorf("the answer is %s, %v; want an error that says %q", answer, err, test.says)
				}
				event, n := r.received()
				if n != test.sent {
					t.Errorf("%d messages were sent, want %d", n, test.sent)
				}
				// With everything else done, a part that can never be read ends as a message that fails.
				r.timeout = 15 * time.Minute
				for rounds := 0; n > 0; rounds++ {
					if rounds > 2 {
						t.Fatal("messages are sent over and over")
					}
					answer, err = r.invoke(event)
					event, n = r.received()
				}
				// Lambda counts what fails as a whole, not what a batch response lists.
				if test.sent > 0 && (err == nil || r.counted(telemetry.Failed) != 1) {
					t.Errorf("the last answer is %s, and %v failed; want an error", answer, r.counted(telemetry.Failed))
				}
			})
		})
	}
}

// TestReconcileLogs: a difference is logged as an error that names the order, and no token
// is in the log.
func TestReconcileLogs(t *testing.T) {
	inReconciling(t, func(t *testing.T, r *reconciling) {
		ref := r.put(1, day)
		o, err := r.store.Get(t.Context(), ref)
		if err != nil {
			t.Fatal(err)
		}
		o, err = o.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Now: time.Now(), Until: time.Now().Add(time.Second), Limits: order.Limits{Attempts: 3}})
		if err == nil {
			err = r.store.Update(t.Context(), o)
		}
		if err != nil {
			t.Fatal(err)
		}
		if o, err = o.PaidWith("PAY-FORGED", true, time.Now()); err == nil {
			err = r.store.Update(t.Context(), o)
		}
		if err != nil {
			t.Fatal(err)
		}
		answer, err := r.invoke(`{}`)
		if err != nil || !strings.Contains(answer, `"differences":{"charge_reference":1}`) {
			t.Errorf("the answer is %s, %v", answer, err)
		}
		var line struct {
			Level, Kind string
			Order       struct{ ID, Status string }
			PaymentRef  string `json:"payment_ref"`
			GatewayRef  string `json:"gateway_ref"`
		}
		first, _, _ := strings.Cut(r.log.String(), "\n")
		if err := json.Unmarshal([]byte(first), &line); err != nil {
			t.Fatal(err)
		}
		if line.Level != "ERROR" || line.Kind != "charge_reference" || line.Order.ID != ref.ID || line.Order.Status != "PAID" ||
			line.PaymentRef != "PAY-FORGED" || !strings.HasPrefix(line.GatewayRef, "PAY-") {
			t.Errorf("the line is %s", first)
		}
		if strings.Contains(r.log.String(), "tok_") {
			t.Errorf("the log has a token:\n%s", r.log)
		}
	})
}
