package lambdaenv

import (
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
)

// TestGatewayLine: a process says once, when it starts, which gateway it has and whether that
// moves money.
func TestGatewayLine(t *testing.T) {
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": "http://127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
	for name, value := range handlerstest.Environment() {
		t.Setenv(name, value)
	}
	starts := map[string]func(*slog.Logger) error{
		"api":        starting(handlers.API),
		"payment":    starting(handlers.Payment),
		"deadletter": starting(handlers.DeadLetter),
		"reconcile":  starting(handlers.Reconcile),
	}
	for name, start := range starts {
		var out strings.Builder
		if err := start(slog.New(slog.NewJSONHandler(&out, nil))); err != nil {
			t.Fatal(err)
		}
		type line struct {
			Msg, Gateway string
			Livemode     *bool
		}
		var about []line
		for text := range strings.Lines(out.String()) {
			var l line
			if err := json.Unmarshal([]byte(text), &l); err != nil {
				t.Fatal(err)
			}
			if l.Msg == "payment gateway" {
				about = append(about, l)
			}
		}
		if len(about) != 1 || about[0].Gateway != "simulator" || about[0].Livemode == nil || *about[0].Livemode {
			t.Errorf("%s: the log has %q, want one line about the simulator", name, &out)
		}
	}
}

func starting[H any](function func(map[string]string, handlers.Services) (H, error)) func(*slog.Logger) error {
	return func(log *slog.Logger) error {
		_, err := start(log, func(variables map[string]string, s handlers.Services, _ aws.Config) (H, error) {
			return function(variables, s)
		})
		return err
	}
}

// TestRetentionDays: the store that functions are given lets an order that has ended expire by
// the variable; without it, none does.
func TestRetentionDays(t *testing.T) {
	var body string
	dynamoDB := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		body = string(text)
		_, _ = io.WriteString(w, "{}")
	}))
	defer dynamoDB.Close()
	for name, value := range map[string]string{
		"AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_ENDPOINT_URL": dynamoDB.URL,
	} {
		t.Setenv(name, value)
	}
	ended := time.Date(2026, 3, 14, 9, 26, 53, 0, time.UTC)
	canceled := order.Order{Ref: order.Ref{Tenant: "tenant", ID: "id"}, Status: order.Canceled, Version: 2, FirstVersion: 1, UpdatedAt: ended}
	for _, test := range [][2]string{{"", ""}, {"0", ""}, {"30", strconv.FormatInt(ended.AddDate(0, 0, 30).Unix(), 10)}} {
		days, want := test[0], test[1]
		if days != "" {
			t.Setenv("RETENTION_DAYS", days)
		}
		_, err := start(slog.New(slog.DiscardHandler), func(_ map[string]string, s handlers.Services, _ aws.Config) (any, error) {
			return nil, s.Store("orders").Create(t.Context(), canceled)
		})
		if err != nil {
			t.Fatal(err)
		}
		var put struct{ Item map[string]struct{ N string } }
		if err := json.Unmarshal([]byte(body), &put); err != nil || put.Item["x"].N != want {
			t.Errorf("RETENTION_DAYS=%s: the expiry is %q (%v), want %q", days, put.Item["x"].N, err, want)
		}
	}
	t.Setenv("RETENTION_DAYS", "-1")
	if _, err := start(slog.New(slog.DiscardHandler), func(map[string]string, handlers.Services, aws.Config) (any, error) { return nil, nil }); err == nil {
		t.Error("RETENTION_DAYS=-1 is accepted")
	}
}
