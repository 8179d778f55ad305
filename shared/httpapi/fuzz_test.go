package httpapi_test

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/httpapi"
)

// FuzzCreate posts any body with any key. Whatever it is, the answer is an order that can be
// read and replayed, or a problem that blames the request; never a server error.
func FuzzCreate(f *testing.F) {
	for _, body := range []string{
		tea, `{}`, `{"amount": -1}`, `{"amount": 1e3}`, `{"Amount": 1}`, `[]`, `null`, `{"amount": 1} {}`, "\xff",
		`{"items": [{"sku": "A", "quantity": 2, "unitPrice": 9223372036854775807}]}`,
		`{"amount": 1, "metadata": {"k": "\u0000"}, "customerId": "\ud800", "currency": "JPY"}`,
		`{"amount": 1, "paymentToken": "4242 4242 4242 4242"}`, `{"amount": 1, "amount": 2}`,
	} {
		f.Add(body, "key")
		f.Add(body, "")
	}
	a := newAPI(f)
	f.Fuzz(func(t *testing.T, body, key string) {
		r := request{method: http.MethodPost, path: "/orders", body: body, header: map[string]string{"Content-Type": "application/json"}}
		if key != "" {
			r.header["Idempotency-Key"] = key
		}
		answer := a.do(t, r)
		if answer.StatusCode != http.StatusCreated {
			wantBlame(t, answer)
			return
		}
		text := read(t, answer)
		var placed orderBody
		if err := json.Unmarshal([]byte(text), &placed); err != nil {
			t.Fatal(err)
		}
		stored := decode[orderBody](t, a.do(t, request{path: "/orders/" + placed.ID}))
		if diff := cmp.Diff(placed, stored); diff != "" || placed.Amount < 1 || len(placed.Currency) != 3 {
			t.Errorf("the order reads differently (-placed +read):\n%s", diff)
		}
		if key == "" {
			return
		}
		replay := a.do(t, r)
		if again := read(t, replay); again != text || replay.Header.Get("Idempotency-Replayed") != "true" {
			t.Errorf("the replay is %d %s, want %s", replay.StatusCode, again, text)
		}
	})
}

// wantBlame fails unless the answer is a well-formed problem that blames the request.
func wantBlame(t *testing.T, r *http.Response) {
	t.Helper()
	media := r.Header.Get("Content-Type")
	p := decode[httpapi.Problem](t, r)
	if r.StatusCode < 400 || r.StatusCode > 499 || media != "application/problem+json" ||
		p.Status != r.StatusCode || p.Title == "" || p.Type == "" {
		t.Errorf("%d %s: %+v", r.StatusCode, media, p)
	}
}
