package lambdaenv

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
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
