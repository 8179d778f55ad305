package main

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/order"
)

func TestSmoke(t *testing.T) {
	t.Parallel()
	const (
		place   = "an order is accepted at once, PENDING"
		paid    = "a caller who waits sees it PAID"
		decline = "a declined payment ends FAILED"
		replay  = "a repeated Idempotency-Key gets the first answer again"
		unknown = "an unknown order is a 404 problem"
	)
	for _, tt := range []struct {
		name   string
		api    *fakeAPI
		failed []string
	}{
		{"all is well", &fakeAPI{}, nil},
		{"orders are refused", &fakeAPI{refused: every(1)}, []string{place, paid, decline, replay}},
		{"orders have no Location", &fakeAPI{nameless: every(1)}, []string{place}},
		{"orders are PAID at once", &fakeAPI{alter: func(_ http.ResponseWriter, o *fakeOrder) {
			if o.Status == order.Pending {
				o.Status = order.Paid
			}
		}}, []string{place}},
		{"amounts are wrong", &fakeAPI{alter: func(_ http.ResponseWriter, o *fakeOrder) { o.Amount++ }}, []string{place}},
		{"orders stay PENDING", &fakeAPI{endless: every(1)}, []string{paid, decline}},
		{"orders are PAID without a reference", &fakeAPI{alter: func(_ http.ResponseWriter, o *fakeOrder) { o.PaymentRef = "" }}, []string{paid}},
		{"orders are FAILED without a reason", &fakeAPI{alter: func(_ http.ResponseWriter, o *fakeOrder) { o.Failure = nil }}, []string{decline}},
		{"replays are not marked", &fakeAPI{alter: func(w http.ResponseWriter, _ *fakeOrder) { w.Header().Del("Idempotency-Replayed") }}, []string{replay}},
		{"first answers are marked as replays", &fakeAPI{alter: func(w http.ResponseWriter, _ *fakeOrder) { w.Header().Set("Idempotency-Replayed", "true") }}, []string{replay}},
		{"a replay is another order", &fakeAPI{alter: func(w http.ResponseWriter, o *fakeOrder) {
			if w.Header().Get("Idempotency-Replayed") != "" {
				o.ID = uuid.NewString()
			}
		}}, []string{replay}},
		{"an unknown order is something else", &fakeAPI{absent: http.StatusForbidden}, []string{unknown}},
		{"a 404 is no problem", &fakeAPI{alter: func(w http.ResponseWriter, _ *fakeOrder) { w.Header().Set("Content-Type", "text/html") }}, []string{unknown}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			api := tt.api
			api.looks = 1 // so that an order is at its end only for those who wait
			api.start(t)
			var stdout, stderr bytes.Buffer
			code := run([]string{"-url", api.url, "-smoke"}, &stdout, &stderr, false)
			if want := exitCode(len(tt.failed) == 0); code != want || stderr.Len() > 0 {
				t.Errorf("the exit code is %d, want %d; stderr has %q", code, want, &stderr)
			}
			var failed []string
			lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
			for _, line := range lines {
				if text, ok := strings.CutPrefix(line, "FAIL  "); ok {
					name, why, _ := strings.Cut(text, ": ")
					if why == "" || strings.Contains(why, uuid.Nil.String()) {
						t.Errorf("it does not say why: %s", line)
					}
					failed = append(failed, name)
				} else if !strings.HasPrefix(line, "ok    ") {
					t.Errorf("what does this line say? %s", line)
				}
			}
			if diff := cmp.Diff(tt.failed, failed); diff != "" || len(lines) != 5 {
				t.Errorf("failed checks (-want +got):\n%s\nof\n%s", diff, &stdout)
			}
		})
	}
}
