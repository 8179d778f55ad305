package handlers_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/pebblestore/pebbletest"
)

// sampleID is the id of the order in the sample events: what tenant "local" gets for the
// idempotency key "sample".
const sampleID = "210e0dd2-3f47-567d-9dbb-0177d4b282a8"

// sample reads one of the sample events. A field that AWS would not send is an error.
func sample[T any](t *testing.T, name string) T {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "events", name))
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var event T
	if err := decoder.Decode(&event); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return event
}

// functions holds the handlers, on one store in memory.
type functions struct {
	api, console        handlers.HTTPHandler
	payment, deadletter handlers.SQSHandler
	reconcile           handlers.ReconcileHandler
}

// inBubble runs a test on the handlers in virtual time. Nothing polls the queue; the sample
// events replace what it would deliver.
func inBubble(t *testing.T, test func(t *testing.T, f functions)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		store, queue := pebbletest.Open(t, time.Minute)
		environment, services := handlerstest.Environment(), handlerstest.Services(store, queue)
		worker := handlerstest.Must[handlers.SQSHandler](t)
		test(t, functions{
			api:        handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(environment, services)),
			console:    handlerstest.Must[handlers.HTTPHandler](t)(handlers.Console(environment, services)),
			payment:    worker(handlers.Payment(environment, services)),
			deadletter: worker(handlers.DeadLetter(environment, services)),
			reconcile:  handlerstest.Must[handlers.ReconcileHandler](t)(handlers.Reconcile(environment, services)),
		})
	})
}

// TestEvents handles every sample event, following the life of an order.
func TestEvents(t *testing.T) {
	handled := map[string]bool{}
	http := func(t *testing.T, function handlers.HTTPHandler, name string, status int, parts ...string) {
		t.Helper()
		handled[name] = true
		response, err := function(t.Context(), sample[events.APIGatewayV2HTTPRequest](t, name))
		if err != nil || response.StatusCode != status {
			t.Fatalf("%s: %d %s, %v", name, response.StatusCode, response.Body, err)
		}
		for _, part := range append(parts, sampleID) {
			if !strings.Contains(response.Body, part) {
				t.Errorf("%s: the answer has no %s: %s", name, part, response.Body)
			}
		}
	}
	batch := func(t *testing.T, handler handlers.SQSHandler, name string, failures ...string) {
		t.Helper()
		handled[name] = true
		response, err := handler(t.Context(), sample[events.SQSEvent](t, name))
		if err != nil {
			t.Fatal(err)
		}
		got := []string{}
		for _, f := range response.BatchItemFailures {
			got = append(got, f.ItemIdentifier)
		}
		if diff := cmp.Diff(append([]string{}, failures...), got); diff != "" {
			t.Errorf("%s: failures (-want +got):\n%s", name, diff)
		}
	}
	t.Run("an order is paid", func(t *testing.T) {
		inBubble(t, func(t *testing.T, f functions) {
			http(t, f.api, "api-create-order.json", 201, `"status":"PENDING"`)
			http(t, f.console, "console-orders.json", 200, "PENDING")
			// The second record is not one of our messages and is reported.
			batch(t, f.payment, "payment-batch.json", "6f1c0d1e-3b1f-4c57-9a0e-0d8f0f2a9b11")
			http(t, f.api, "api-get-order.json", 200, `"status":"PAID"`, `"paymentRef":"PAY-`)
			for name, apply := range map[string]bool{"reconcile-by-hand.json": false, "reconcile-schedule.json": true} {
				handled[name] = true
				got, err := f.reconcile(t.Context(), sample[json.RawMessage](t, name))
				result, ok := got.(handlers.ReconcileResult)
				if err != nil || !ok || !result.Done || result.Apply != apply || result.Report.Checked != 1 || len(result.Report.Differences) > 0 {
					t.Errorf("%s: %+v, %v", name, got, err)
				}
			}
		})
	})
	t.Run("an order that payments never got to", func(t *testing.T) {
		inBubble(t, func(t *testing.T, f functions) {
			http(t, f.api, "api-create-order.json", 201, `"status":"PENDING"`)
			batch(t, f.deadletter, "deadletter-batch.json")
			http(t, f.api, "api-get-order.json", 200, `"status":"PENDING"`) // its message went back
			time.Sleep(24 * time.Hour)
			batch(t, f.deadletter, "deadletter-batch.json")
			http(t, f.api, "api-get-order.json", 200, `"status":"FAILED"`, `"code":"not_processed"`)
		})
	})
	files, err := filepath.Glob(filepath.Join("..", "..", "events", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no sample events: %v", err)
	}
	for _, file := range files {
		if !handled[filepath.Base(file)] {
			t.Errorf("no test handles %s", file)
		}
	}
}

// TestTenantFromClaim: only the verified claim decides.
func TestTenantFromClaim(t *testing.T) {
	event := sample[events.APIGatewayV2HTTPRequest](t, "api-get-order.json")
	api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(
		handlerstest.Environment("AUTH_MODE", "jwt"), handlerstest.Services(pebbletest.Open(t, time.Minute))))
	for _, tt := range []struct {
		name   string
		claims map[string]string
		status int
	}{
		{"no authorizer", nil, 403},
		{"no such claim", map[string]string{"sub": "u1"}, 403},
		{"an empty claim", map[string]string{"client_id": ""}, 403},
		{"a tenant without the order", map[string]string{"client_id": "shop"}, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if tt.claims != nil {
				event.RequestContext.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
					JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: tt.claims},
				}
			}
			response, err := api(t.Context(), event)
			if err != nil || response.StatusCode != tt.status {
				t.Errorf("%d, %v; want %d", response.StatusCode, err, tt.status)
			}
		})
	}
}

// TestEveryTenant: the verified claims decide who is an operator over all tenants, and the
// Link to an order's events has the configured address.
func TestEveryTenant(t *testing.T) {
	event := sample[events.APIGatewayV2HTTPRequest](t, "api-create-order.json")
	api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(
		handlerstest.Environment("AUTH_MODE", "jwt", "EVENTS_URL", "https://events.example/"),
		handlerstest.Services(pebbletest.Open(t, time.Minute))))
	for _, tt := range []struct {
		name, query string
		client      string
		scopes      []string
		status      int
		link        string
	}{
		{"an operator", "tenant=local", "*", []string{"orders/write", "orders/operate"}, 201, "?tenant=local"},
		{"an operator who names no tenant", "", "*", []string{"orders/write", "orders/operate"}, 400, ""},
		{"no operator's scope", "tenant=local", "*", []string{"orders/write"}, 403, ""},
		{"a scope that begins like it", "tenant=local", "*", []string{"orders/operates", "xorders/operate"}, 403, ""},
		{"no scope at all", "tenant=local", "*", nil, 403, ""},
		{"a caller of one tenant", "tenant=local", "shop", []string{"orders/write"}, 201, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			event.RawQueryString = tt.query
			event.RequestContext.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
				JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{"client_id": tt.client}, Scopes: tt.scopes},
			}
			response, err := api(t.Context(), event)
			if err != nil || response.StatusCode != tt.status {
				t.Fatalf("%d %s, %v; want %d", response.StatusCode, response.Body, err, tt.status)
			}
			if tt.status != 201 {
				return
			}
			var order struct{ ID string }
			if err := json.Unmarshal([]byte(response.Body), &order); err != nil {
				t.Fatal(err)
			}
			want := "<https://events.example/orders/" + order.ID + "/events" + tt.link + `>; rel="events"`
			if got := response.Headers["Link"]; got != want {
				t.Errorf("Link %s, want %s", got, want)
			}
			if local := order.ID == sampleID; local != (tt.client == "*") {
				t.Errorf("the order belongs to another tenant: %s", order.ID)
			}
		})
	}
}
