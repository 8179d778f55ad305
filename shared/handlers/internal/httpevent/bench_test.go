package httpevent_test

import (
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/handlers/internal/httpevent"
)

// BenchmarkHandler measures the way from the event to an http.Request, and from the
// response to what the function returns.
func BenchmarkHandler(b *testing.B) {
	const body = `{"amount": 12000, "currency": "KRW", "items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}], "customerId": "c-42", "paymentToken": "tok_ok", "metadata": {"cart": "77"}}`
	handler := httpevent.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Location", "/orders/1")
		w.WriteHeader(http.StatusCreated)
		_, _ = io.Copy(w, r.Body)
	}))
	var event events.APIGatewayV2HTTPRequest
	event.RawPath = "/orders"
	event.RequestContext.HTTP.Method = http.MethodPost
	event.RequestContext.DomainName = "localhost"
	event.Headers = map[string]string{"content-type": "application/json", "host": "localhost", "user-agent": "bench"}
	event.Body = body
	b.ReportAllocs()
	for b.Loop() {
		response, err := handler(b.Context(), event)
		if err != nil || response.StatusCode != http.StatusCreated || response.Body != body {
			b.Fatalf("%+v, %v", response, err)
		}
	}
}
