package handlers_test

import (
	"bytes"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"slices"
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
	"paylane/shared/telemetry"
)

// TestStream follows an order, from a Function URL's event to the function's streamed
// response. When it ends one line says what happened, without any of the customer's data.
func TestStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, _ := pebbletest.Open(t, time.Minute)
		o := order.New(order.Ref{Tenant: handlers.LocalTenant, ID: sampleID}, order.Request{
			Amount: 1, Currency: "KRW", PaymentToken: "tok_ok", CustomerID: "c-secret",
		}, "", time.Now())
		if err := store.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		services := handlerstest.Services(store, nil)
		services.Log, services.Telemetry = slog.New(slog.NewJSONHandler(&out, nil)), telemetry.NewRecorder(&out, "stack", time.Now)
		recorder := tracetest.NewSpanRecorder()
		services.Traces = sdktrace.NewTracerProvider(sdktrace.WithSpanProcessor(recorder))
		follow := handlerstest.Must[handlers.StreamHandler](t)(handlers.Stream(handlerstest.Environment(), services))
		response, err := follow(t.Context(), &events.LambdaFunctionURLRequest{
			RawPath: "/orders/" + sampleID + "/events",
			RequestContext: events.LambdaFunctionURLRequestContext{
				DomainName: "id.lambda-url.us-east-1.on.aws", HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{Method: http.MethodGet},
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK || response.Headers["Content-Type"] != "text/event-stream" {
			t.Errorf("the response is %d, %v", response.StatusCode, response.Headers)
		}
		go func() {
			time.Sleep(time.Second)
			canceled, err := o.Cancel(time.Now())
			if err == nil {
				err = store.Update(t.Context(), canceled)
			}
			if err != nil {
				t.Error(err)
			}
		}()
		stream, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		var ids []string
		for line := range strings.Lines(string(stream)) {
			if id, ok := strings.CutPrefix(line, "id: "); ok {
				ids = append(ids, strings.TrimSpace(id))
			}
		}
		if diff := cmp.Diff([]string{"1", "2"}, ids); diff != "" {
			t.Errorf("versions (-want +got):\n%s", diff)
		}
		synctest.Wait()
		var line struct {
			Tenant, Route string
			OrderID       string `json:"order_id"`
		}
		if err := json.Unmarshal(out.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v", &out, err)
		}
		if line.Tenant != "local" || line.Route != "GET /orders/{id}/events" || line.OrderID != sampleID || strings.Contains(out.String(), "secret") {
			t.Errorf("the line is %s", &out)
		}
		if got := spans(recorder.Ended()); !slices.Contains(got, "GET /orders/{id}/events: server") {
			t.Errorf("the spans are %q", got)
		}
	})
}
