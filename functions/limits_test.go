package functions_test

import (
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.yaml.in/yaml/v3"

	"paylane/shared/emulator/template"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
)

// deployed reads the parameters that an environment is deployed with.
func deployed(t *testing.T, environment string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../deploy/" + environment + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	parameters := make(map[string]string)
	if err := yaml.Unmarshal(text, &parameters); err != nil {
		t.Fatal(err)
	}
	return parameters
}

// parameter is a parameter as template.yaml declares it.
type parameter struct {
	Default  any  `yaml:"Default"`
	MinValue *int `yaml:"MinValue"`
	MaxValue *int `yaml:"MaxValue"`
}

func declared(t *testing.T) map[string]parameter {
	t.Helper()
	var root struct {
		Parameters map[string]parameter `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	return root.Parameters
}

// TestReceives: for all values of MaxAttempts and Patience that the template takes, an order
// is decided by its attempts, and not because its message was received too often or grew too
// old. The pauses are the longest and the shortest that job.Backoff can choose, and chance in
// between.
func TestReceives(t *testing.T) {
	read := read(t)
	queue, _ := read.Queue("PaymentQueue")
	attempts, patience := declared(t)["MaxAttempts"], declared(t)["Patience"]
	if attempts.MaxValue == nil || patience.MaxValue == nil || *attempts.MinValue < 1 || *patience.MinValue < 0 {
		t.Fatal("MaxAttempts and Patience have no bounds")
	}
	longest := time.Duration(*patience.MaxValue) * time.Second
	const fraction = 4
	receives := queue.MaxReceiveCount / fraction
	if *attempts.MaxValue > receives {
		t.Errorf("%d attempts, %d receives", *attempts.MaxValue, queue.MaxReceiveCount)
	}
	if p := chanceWithin(longest, receives); p > 1e-12 {
		t.Errorf("in %v an order has more than %d receives with a chance of %g", longest, receives, p)
	} else {
		t.Logf("in %v an order has more than %d of %d receives with a chance of %.2g", longest, receives, queue.MaxReceiveCount, p)
	}
	if throttled := time.Duration(queue.MaxReceiveCount) * queue.VisibilityTimeout; throttled < longest {
		t.Errorf("a message whose every batch is throttled is a dead letter after %v, before the patience of %v is over", throttled, longest)
	}
	most := func(n int) int { return n - 1 }
	if slowest := time.Duration(queue.MaxReceiveCount) * job.Backoff(queue.MaxReceiveCount, most); queue.Retention <= slowest {
		t.Errorf("a message can be received for %v, and is kept for %v", slowest, queue.Retention)
	}
	if queue.MaxReceiveCount > 1000 {
		t.Errorf("SQS takes a maxReceiveCount of 1,000 at most, not %d", queue.MaxReceiveCount)
	}
}

// chanceWithin is how likely the first n pauses after an attempt, each chosen by chance alone,
// are over within a time.
func chanceWithin(limit time.Duration, n int) float64 {
	seconds := int(limit / time.Second)
	at := make([]float64, seconds) // at[s]: that so far they took s seconds
	at[0] = 1
	for i := 1; i <= n; i++ {
		ceiling := int(job.Backoff(i, func(n int) int { return n - 1 }) / time.Second)
		next := make([]float64, seconds)
		var window float64 // the sum of at[s-ceiling:s]
		for s := 1; s < seconds; s++ {
			window += at[s-1]
			if s > ceiling {
				window -= at[s-1-ceiling]
			}
			next[s] = max(window, 0) / float64(ceiling)
		}
		at = next
	}
	var sum float64
	for _, p := range at {
		sum += p
	}
	return sum
}

// TestAbandonedStream: nobody tells a function that its client has left, so a stream whose order
// does not change ends by itself: within about five minutes, and before the function's timeout,
// which would be an error. The client that is still there connects again.
func TestAbandonedStream(t *testing.T) {
	function, _ := read(t).Function("Stream")
	synctest.Test(t, func(t *testing.T) {
		store, _ := pebbletest.Open(t, time.Minute)
		const id = "01a2051a-1bb7-7d6b-a984-0faba994632e"
		o := order.New(order.Ref{Tenant: handlers.LocalTenant, ID: id}, order.Request{Amount: 1, Currency: "KRW", PaymentToken: "tok_ok"}, "", time.Now())
		if err := store.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		stream := handlerstest.Must[handlers.StreamHandler](t)(handlers.Stream(handlerstest.Environment(), handlerstest.Services(store, nil)))
		ctx, cancel := context.WithTimeout(t.Context(), function.Timeout)
		defer cancel()
		began := time.Now()
		response, err := stream(ctx, &events.LambdaFunctionURLRequest{
			RawPath: "/orders/" + id + "/events",
			RequestContext: events.LambdaFunctionURLRequestContext{
				DomainName: "id.lambda-url.us-east-1.on.aws", HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{Method: http.MethodGet},
			},
		})
		if err != nil || response.StatusCode != http.StatusOK {
			t.Fatalf("%v, %v", response, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil {
			t.Fatal(err)
		}
		if lasted := time.Since(began); lasted < 4*time.Minute || lasted > 6*time.Minute || lasted > function.Timeout-5*time.Second {
			t.Errorf("the stream lasted %v, and the function may take %v", lasted, function.Timeout)
		}
	})
	// If all else fails, Lambda ends it.
	if function.Timeout > 6*time.Minute {
		t.Errorf("the function may take %v", function.Timeout)
	}
}

// TestDefaults: without parameters an order has three attempts, whatever they take; production
// has hours, and concurrency of its own, out of an account's usual 1,000.
func TestDefaults(t *testing.T) {
	environment := func(parameters map[string]string) (map[string]string, *template.Template) {
		read := readWith(t, parameters)
		payment, _ := read.Function("Payment")
		return payment.Environment, read
	}
	if e, _ := environment(nil); e["MAX_ATTEMPTS"] != "3" || e["PATIENCE"] != "0" {
		t.Errorf("by default MAX_ATTEMPTS is %q and PATIENCE %q", e["MAX_ATTEMPTS"], e["PATIENCE"])
	}
	e, prod := environment(deployed(t, "prod"))
	if patience, err := strconv.Atoi(e["PATIENCE"]); err != nil || patience < 3600 {
		t.Errorf("in production PATIENCE is %q, want hours", e["PATIENCE"])
	}
	reserved := 0
	for _, name := range []string{"Api", "Read", "Payment", "DeadLetter", "Stream"} {
		function, _ := prod.Function(name)
		if function.ReservedConcurrency == nil || *function.ReservedConcurrency < 1 {
			t.Errorf("in production %s has no concurrency of its own", name)
			continue
		}
		reserved += *function.ReservedConcurrency
		for _, m := range prod.Mappings {
			if m.Function == name && *function.ReservedConcurrency <= m.MaxConcurrency {
				t.Errorf("%s has %d, and %d batches at a time: they would be throttled", name, *function.ReservedConcurrency, m.MaxConcurrency)
			}
		}
	}
	if reserved > 900 {
		t.Errorf("in production %d executions are reserved: an account with 1,000 must keep 100", reserved)
	}
}
