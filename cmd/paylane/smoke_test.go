package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/cmd/paylane/internal/fakeapi"
	"paylane/shared/order"
)

func TestSmoke(t *testing.T) {
	const (
		place   = "an order is accepted at once, PENDING"
		paid    = "a caller who waits sees it PAID"
		decline = "a declined payment ends FAILED"
		replay  = "a repeated Idempotency-Key gets the first answer again"
		unknown = "an unknown order is a 404 problem"
	)
	for _, tt := range []struct {
		name   string
		api    *fakeapi.API
		failed []string
	}{
		{"all is well", &fakeapi.API{}, nil},
		{"orders are refused", &fakeapi.API{Refused: fakeapi.Every(1)}, []string{place, paid, decline, replay}},
		{"orders have no Location", &fakeapi.API{Nameless: fakeapi.Every(1)}, []string{place}},
		{"orders are PAID at once", &fakeapi.API{Alter: func(_ http.ResponseWriter, o *fakeapi.Order) {
			if o.Status == order.Pending {
				o.Status = order.Paid
			}
		}}, []string{place}},
		{"amounts are wrong", &fakeapi.API{Alter: func(_ http.ResponseWriter, o *fakeapi.Order) { o.Amount++ }}, []string{place}},
		{"orders stay PENDING", &fakeapi.API{Endless: fakeapi.Every(1)}, []string{paid, decline}},
		{"orders are PAID without a reference", &fakeapi.API{Alter: func(_ http.ResponseWriter, o *fakeapi.Order) { o.PaymentRef = "" }}, []string{paid}},
		{"orders are FAILED without a reason", &fakeapi.API{Alter: func(_ http.ResponseWriter, o *fakeapi.Order) { o.Failure = nil }}, []string{decline}},
		{"replays are not marked", &fakeapi.API{Alter: func(w http.ResponseWriter, _ *fakeapi.Order) { w.Header().Del("Idempotency-Replayed") }}, []string{replay}},
		{"first answers are marked as replays", &fakeapi.API{Alter: func(w http.ResponseWriter, _ *fakeapi.Order) { w.Header().Set("Idempotency-Replayed", "true") }}, []string{replay}},
		{"a replay is another order", &fakeapi.API{Alter: func(w http.ResponseWriter, o *fakeapi.Order) {
			if w.Header().Get("Idempotency-Replayed") != "" {
				o.ID = uuid.NewString()
			}
		}}, []string{replay}},
		{"an unknown order is something else", &fakeapi.API{Absent: http.StatusForbidden}, []string{unknown}},
		{"a 404 is not a problem document", &fakeapi.API{Alter: func(w http.ResponseWriter, _ *fakeapi.Order) { w.Header().Set("Content-Type", "text/html") }}, []string{unknown}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			api := tt.api
			api.Looks = 1 // so that an order is at its end only for those who wait
			api.Start(t)
			got := execute(t, "smoke", "--url", api.URL)
			want := exitOK
			if len(tt.failed) > 0 {
				want = exitFailed
			}
			if got.status != want || got.err != "" {
				t.Errorf("the exit status is %d, want %d; stderr has %q", got.status, want, got.err)
			}
			var failed []string
			lines := strings.Split(strings.TrimSpace(got.out), "\n")
			for _, line := range lines {
				if text, ok := strings.CutPrefix(line, "FAIL  "); ok {
					name, why, _ := strings.Cut(text, ": ")
					if why == "" || strings.Contains(why, uuid.Nil.String()) {
						t.Errorf("a failure without a reason: %s", line)
					}
					failed = append(failed, name)
				} else if !strings.HasPrefix(line, "ok    ") {
					t.Errorf("a line is neither ok nor FAIL: %s", line)
				}
			}
			if diff := cmp.Diff(tt.failed, failed); diff != "" || len(lines) != 5 {
				t.Errorf("failed checks (-want +got):\n%s\nof\n%s", diff, got.out)
			}
		})
	}
}
