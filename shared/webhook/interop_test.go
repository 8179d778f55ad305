//go:build interop

package webhook_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"paylane/shared/job"
)

// verifiers read {"secret", "headers", "body"} and print whether the signature is right, by the
// libraries of Standard Webhooks.
var verifiers = map[string][]string{
	"Python": {"python3", "-c", `
import json, sys
from standardwebhooks.webhooks import Webhook, WebhookVerificationError
d = json.load(sys.stdin)
try:
    Webhook(d["secret"]).verify(d["body"], d["headers"])
    print("right")
except WebhookVerificationError:
    print("wrong")
`},
	"JavaScript": {"node", "-e", `
const { Webhook, WebhookVerificationError } = require("standardwebhooks");
const d = JSON.parse(require("fs").readFileSync(0, "utf8"));
try {
  new Webhook(d.secret).verify(d.body, d.headers);
  console.log("right");
} catch (e) {
  if (!(e instanceof WebhookVerificationError)) throw e;
  console.log("wrong");
}
`},
}

// TestInterop: other languages' libraries verify what is sent, by either secret of two, and nothing
// else.
func TestInterop(t *testing.T) {
	w := newWorld(t)
	e := w.register("https://a.example/", ok)
	first := e.Keys[0].Secret
	rotated, err := w.endpoints.Rotate(t.Context(), tenant, e.ID)
	if err != nil {
		t.Fatal(err)
	}
	l := newLife(t)
	l.step(claimed)
	l.o.Metadata = map[string]string{"note": "tea & <b>é</b> 😀 \u2028"}
	if v := w.worker.Handle(t.Context(), job.Delivery{Body: w.changed(l.step(paid))[0], SentAt: time.Now(), ReceiveCount: 1}); v.Result != "delivered" {
		t.Fatalf("%+v", v)
	}
	r := w.servers.requests()[0]
	headers := make(map[string]string)
	for name := range r.header {
		headers[strings.ToLower(name)] = r.header.Get(name)
	}
	for language, command := range verifiers {
		verify := func(secret, body string) string {
			input, err := json.Marshal(map[string]any{"secret": secret, "headers": headers, "body": body})
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.CommandContext(t.Context(), command[0], command[1:]...)
			cmd.Stdin = strings.NewReader(string(input))
			out, err := cmd.Output()
			if err != nil {
				t.Fatalf("%s: %v", language, err)
			}
			return strings.TrimSpace(string(out))
		}
		for name, tt := range map[string]struct{ secret, body, want string }{
			"the secret before": {string(first), r.body, "right"},
			"the new secret":    {string(rotated.Keys[0].Secret), r.body, "right"},
			"another secret":    {"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw3vJ5y6Q7h8k=", r.body, "wrong"},
			"another body":      {string(first), strings.Replace(r.body, "1200", "1201", 1), "wrong"},
		} {
			if got := verify(tt.secret, tt.body); got != tt.want {
				t.Errorf("%s, %s: %s", language, name, got)
			}
		}
	}
}
