package handlers_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/pebblestore/pebbletest"
)

// BenchmarkCreate measures the api function's work on POST /orders, from event to
// response, with the embedded store in memory. It takes many callers, who share the
// store's pauses between fsyncs; a few would only measure the waiting.
func BenchmarkCreate(b *testing.B) {
	store, queue := pebbletest.Open(b, time.Minute)
	api := handlerstest.Must[handlers.HTTPHandler](b)(handlers.API(handlerstest.Environment(), handlerstest.Services(store, queue)))
	var event events.APIGatewayV2HTTPRequest
	event.RawPath = "/orders"
	event.RequestContext.HTTP.Method = http.MethodPost
	event.RequestContext.DomainName = "localhost"
	event.Headers = map[string]string{"content-type": "application/json", "host": "localhost", "user-agent": "bench"}
	event.Body = `{"amount": 12000, "currency": "KRW", "items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}], "customerId": "c-42", "paymentToken": "tok_ok", "metadata": {"cart": "77"}}`
	b.ReportAllocs()
	b.SetParallelism(64)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			response, err := api(b.Context(), event)
			if err != nil || response.StatusCode != http.StatusCreated {
				b.Errorf("%+v, %v", response, err)
			}
		}
	})
}
