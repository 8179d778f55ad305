//go:build integration

package localstack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/dynamostore"
	"paylane/shared/gateway"
	"paylane/shared/handlers"
	"paylane/shared/order"
	"paylane/shared/sqsqueue"
)

// TestPolicies runs each function's handler through all that it can do, with a client of
// its own, and compares the calls that it made with its policies in template.yaml: what
// it calls must be allowed, and nothing else.
func TestPolicies(t *testing.T) {
	s := newStack(t)
	s.provision(t)
	now := time.Now
	client := func(queueName string) (*meter, *dynamostore.Store, *sqsqueue.Queue) {
		m := &meter{calls: map[string]int{}}
		c := s.config
		c.APIOptions = append(slices.Clone(c.APIOptions), m.add)
		return m, dynamostore.New(dynamodb.NewFromConfig(c), ordersTable), sqsqueue.New(sqs.NewFromConfig(c), s.queueURL(queueName))
	}
	simulator, log := gateway.NewSimulator(now), slog.New(slog.DiscardHandler)
	apiCalls, store, queue := client(paymentQueue)
	api := handlers.API(handlers.APIConfig{Store: store, Payments: queue, Tokens: simulator, Tenant: handlers.AnyoneIsLocal, Now: now, Log: log})
	worker := func(queueName string, wire func(handlers.WorkerConfig) handlers.SQSHandler) (*meter, handlers.SQSHandler) {
		m, store, queue := client(queueName)
		return m, wire(handlers.WorkerConfig{Store: store, Queue: queue, Gateway: simulator, Now: now, Jitter: func(int) int { return 0 }, Log: log})
	}
	paymentCalls, payment := worker(paymentQueue, handlers.Payment)
	deadCalls, dead := worker(paymentDLQ, handlers.DeadLetter)

	call := func(method, path, body string) string {
		t.Helper()
		response, err := api(t.Context(), apiEvent(method, path, body))
		if err != nil || response.StatusCode >= http.StatusInternalServerError {
			t.Fatalf("%s %s: %d %s, %v", method, path, response.StatusCode, response.Body, err)
		}
		return strings.TrimPrefix(response.Headers["Location"], "/orders/")
	}
	deliver := func(handler handlers.SQSHandler, queueName string, kind order.Kind, id string, age time.Duration) {
		t.Helper()
		// A message of its own, so that there is a receipt handle to change.
		q := s.queue(queueName)
		body := order.Message{Kind: kind, Ref: order.Ref{Tenant: "local", ID: id}, Round: 1}.Encode()
		if _, err := q.Send(t.Context(), body, 0); err != nil {
			t.Fatal(err)
		}
		got, err := q.Receive(t.Context(), order.ReceiveRequest{Max: 10, Wait: 5 * time.Second, Visibility: time.Hour})
		if err != nil || len(got) == 0 {
			t.Fatal(got, err)
		}
		record := events.SQSMessage{MessageId: got[0].MessageID, ReceiptHandle: got[0].ReceiptHandle, Body: body, Attributes: map[string]string{
			"SentTimestamp": fmt.Sprint(now().Add(-age).UnixMilli()), "ApproximateReceiveCount": "1",
		}}
		if _, err := handler(t.Context(), events.SQSEvent{Records: []events.SQSMessage{record}}); err != nil {
			t.Fatal(err)
		}
	}

	create := func(token string) string {
		return call(http.MethodPost, "/orders", `{"amount": 1, "paymentToken": "`+token+`"}`)
	}
	paid, flaky, canceled, outage := create("tok_ok"), create("tok_flaky_1"), create("tok_ok"), create("tok_unknown_600")
	call(http.MethodPost, "/orders/"+canceled+"/cancel", "")
	deliver(payment, paymentQueue, order.KindCharge, paid, 0)
	deliver(payment, paymentQueue, order.KindCharge, flaky, 0)
	deliver(payment, paymentQueue, order.KindCharge, uuid.NewString(), time.Hour) // a fence
	deliver(payment, paymentQueue, order.KindRefund, paid, time.Hour)             // another
	call(http.MethodPost, "/orders/"+paid+"/refund", "")
	deliver(payment, paymentQueue, order.KindCharge, outage, 0)
	deliver(dead, paymentDLQ, order.KindCharge, outage, 0)
	deliver(dead, paymentDLQ, order.KindRefund, paid, 0)
	deliver(dead, paymentDLQ, order.KindCharge, uuid.NewString(), time.Hour)
	call(http.MethodGet, "/orders/"+paid, "")
	call(http.MethodPost, "/orders/"+canceled+"/retry", "")
	eventually(t, 10*time.Second, func() string {
		call(http.MethodGet, "/orders?limit=5", "")
		if apiCalls.calls["BatchGetItem"] == 0 {
			return "the list found no order"
		}
		return ""
	})

	reconcileCalls, scanned, rest := client("local-ReconcileQueue")
	reconcile := handlers.Reconcile(handlers.ReconcileConfig{
		// Everything counts as stuck, and what is left is sent.
		Store: scanned, Queue: rest, Gateway: simulator, Now: func() time.Time { return now().Add(48 * time.Hour) }, Days: 35, Log: log,
	})
	short, cancel := context.WithTimeout(t.Context(), 31*time.Second)
	defer cancel()
	if _, err := reconcile(short, json.RawMessage(`{"apply": true, "ratePerSecond": 1}`)); err != nil {
		t.Fatal(err)
	}
	left, err := rest.Receive(t.Context(), order.ReceiveRequest{Max: 1, Wait: 5 * time.Second})
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
	delete(reconcileCalls.calls, "ReceiveMessage") // this test's own
	record := events.SQSMessage{MessageId: left[0].MessageID, Body: left[0].Body}
	continuation, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{record}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reconcile(t.Context(), continuation); err != nil {
		t.Fatal(err)
	}

	// Lambda polls with the function's role.
	poller := []string{"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"}
	for function, want := range map[string][]string{
		"Api":        slices.Collect(maps.Keys(apiCalls.calls)),
		"Payment":    append(slices.Collect(maps.Keys(paymentCalls.calls)), poller...),
		"DeadLetter": append(slices.Collect(maps.Keys(deadCalls.calls)), poller...),
		"Reconcile":  append(slices.Collect(maps.Keys(reconcileCalls.calls)), poller...),
	} {
		slices.Sort(want)
		if diff := cmp.Diff(want, allowed(t, function)); diff != "" {
			t.Errorf("the actions of %s (-called +allowed):\n%s", function, diff)
		}
	}
}

// allowed gives the actions that a function's policies allow, without their services.
// Keys are left out: they are used on the function's behalf.
func allowed(t *testing.T, function string) (actions []string) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(repository, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Resources map[string]struct {
			Properties struct {
				Policies []struct {
					Statement []any `yaml:"Statement"`
				} `yaml:"Policies"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(source, &root); err != nil {
		t.Fatal(err)
	}
	for _, policy := range root.Resources[function].Properties.Policies {
		for _, statement := range policy.Statement {
			fields, ok := statement.(map[string]any)
			if !ok {
				continue // an !If, of a key
			}
			if resource := fmt.Sprint(fields["Resource"]); resource == "*" || fields["Effect"] != "Allow" {
				t.Errorf("%s has a statement on %s with the effect %v", function, resource, fields["Effect"])
			}
			for _, action := range fields["Action"].([]any) {
				service, name, _ := strings.Cut(action.(string), ":")
				if strings.Contains(name, "*") || service == "kms" {
					t.Errorf("%s may %s", function, action)
				}
				actions = append(actions, name)
			}
		}
	}
	slices.Sort(actions)
	return actions
}
