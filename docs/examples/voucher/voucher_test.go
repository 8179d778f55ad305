package voucher_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/docs/examples/voucher"
	"paylane/shared/contract"
	"paylane/shared/gateway"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/queue"
)

// TestContract holds the gateway to what every gateway must do.
func TestContract(t *testing.T) {
	contract.RunGateway(t, voucher.New(), "voucher_lost")
}

// TestOrders takes and pays orders with it. The one line of wiring is the gateway's.
func TestOrders(t *testing.T) {
	store, payments := pebbletest.Open(t, time.Minute)
	services := handlerstest.Services(store, payments)
	vouchers := voucher.New()
	services.Gateway = func(string) (gateway.Provider, error) { return vouchers, nil }
	api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(handlerstest.Environment(), services))
	payment := handlerstest.Must[handlers.SQSHandler](t)(handlers.Payment(handlerstest.Environment(), services))
	ask := func(method, path, body string) (status int, o struct {
		ID     string
		Status any // a number in a problem
	}) {
		t.Helper()
		var event events.APIGatewayV2HTTPRequest
		event.RawPath, event.Body = path, body
		event.RequestContext.HTTP.Method, event.RequestContext.DomainName = method, "localhost"
		response, err := api(t.Context(), event)
		if err == nil {
			err = json.Unmarshal([]byte(response.Body), &o)
		}
		if err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, o
	}
	work := func(t *testing.T) {
		t.Helper()
		received, err := payments.Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: time.Second})
		if err != nil || len(received) != 1 {
			t.Fatal(received, err)
		}
		record := events.SQSMessage{MessageId: "m", ReceiptHandle: received[0].ReceiptHandle, Body: received[0].Body}
		if r, err := payment(t.Context(), events.SQSEvent{Records: []events.SQSMessage{record}}); err != nil || len(r.BatchItemFailures) != 0 {
			t.Fatal(r, err)
		}
		if _, err := payments.Delete(t.Context(), []string{received[0].ReceiptHandle}); err != nil {
			t.Fatal(err)
		}
	}
	for token, want := range map[string]string{"voucher_full": "PAID", "voucher_empty": "FAILED"} {
		status, o := ask(http.MethodPost, "/orders", `{"amount": 5, "paymentToken": "`+token+`"}`)
		if status != http.StatusCreated {
			t.Fatalf("%s: the answer is %d", token, status)
		}
		work(t)
		if _, o = ask(http.MethodGet, "/orders/"+o.ID, ""); o.Status != want {
			t.Errorf("%s: the order is %s, want %s", token, o.Status, want)
		}
		// Either has forgotten its voucher, without which it is refunded all the same.
		stored, err := store.Get(t.Context(), order.Ref{Tenant: handlers.LocalTenant, ID: o.ID})
		if err != nil || stored.PaymentToken != "" {
			t.Errorf("%s: the order still has its voucher (%v)", token, err)
		}
		if want != "PAID" {
			continue
		}
		if status, _ := ask(http.MethodPost, "/orders/"+o.ID+"/refund", ""); status != http.StatusAccepted {
			t.Errorf("a refund is answered with %d", status)
		}
		work(t)
		if _, o = ask(http.MethodGet, "/orders/"+o.ID, ""); o.Status != "REFUNDED" {
			t.Errorf("after the refund the order is %s", o.Status)
		}
	}
	for _, body := range []string{`{"amount": 5}`, `{"amount": 5, "paymentToken": "tok_ok"}`} {
		if status, _ := ask(http.MethodPost, "/orders", body); status != http.StatusUnprocessableEntity {
			t.Errorf("%s is answered with %d", body, status)
		}
	}
}
