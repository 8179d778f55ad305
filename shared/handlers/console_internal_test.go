package handlers

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/telemetry"
)

// TestConsoleIsTallied: an order that the console places is counted once, be it within an
// invocation or not.
func TestConsoleIsTallied(t *testing.T) {
	accepted := telemetry.Tally{Counts: map[telemetry.Metric]int{telemetry.Accepted: 1}}
	for _, row := range []struct {
		name   string
		status int
		header map[string]string
		within bool
		want   telemetry.Tally
	}{
		{"placed", 201, map[string]string{"Location": "/orders/1"}, false, accepted},
		{"placed within an invocation", 201, map[string]string{"Location": "/orders/1"}, true, accepted},
		{"replayed", 201, map[string]string{"Location": "/orders/1", "Idempotency-Replayed": "true"}, false, telemetry.Tally{}},
		{"refused", 422, nil, false, telemetry.Tally{}},
		{"a webhook", 201, map[string]string{"Location": "/webhooks/1"}, false, telemetry.Tally{}},
	} {
		t.Run(row.name, func(t *testing.T) {
			var got []telemetry.Tally
			s := Services{Telemetry: telemetry.NewTallies(func(tally telemetry.Tally) { got = append(got, tally) })}
			handler := s.tallied(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				for name, value := range row.header {
					w.Header().Set(name, value)
				}
				w.WriteHeader(row.status)
			}))
			ctx, end := t.Context(), func() {}
			if row.within {
				ctx, end = s.Telemetry.Begin(ctx)
			}
			w := httptest.NewRecorder()
			handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodPost, "/orders", nil))
			end()
			if diff := cmp.Diff([]telemetry.Tally{row.want}, got); diff != "" || w.Code != row.status {
				t.Errorf("answered %d; the tallies (-want +got):\n%s", w.Code, diff)
			}
		})
	}
}
