package telemetry_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/telemetry"
)

func lines(t *testing.T, out *bytes.Buffer) (lines []map[string]any) {
	t.Helper()
	for decoder := json.NewDecoder(out); decoder.More(); {
		var line map[string]any
		if err := decoder.Decode(&line); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	return lines
}

// inLambda returns a context like those of aws-lambda-go.
func inLambda(t *testing.T) context.Context {
	t.Helper()
	//nolint:staticcheck // the key is aws-lambda-go's
	ctx := context.WithValue(t.Context(), "x-amzn-trace-id", "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:2d1f6f85:0")
	return lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "request"})
}

// TestLine: an invocation's line follows CloudWatch's specification. Each metric that is
// declared has its value at the top level, and so has each dimension.
func TestLine(t *testing.T) {
	var out bytes.Buffer
	r := telemetry.NewRecorder(&out, "paylane-dev", func() time.Time { return time.UnixMilli(1783711145123) })
	for range 2 {
		ctx, end := r.Begin(inLambda(t))
		invocation := telemetry.From(ctx)
		var side sync.WaitGroup
		side.Go(func() { invocation.Count(telemetry.Declined) })
		side.Go(func() { invocation.Time(telemetry.TimeToPaid, 1500*time.Millisecond) })
		side.Go(func() { invocation.Time(telemetry.TimeToPaid, 1500*time.Millisecond) })
		side.Go(func() { invocation.Spend(telemetry.Gateway, 40*time.Millisecond) })
		side.Go(func() { invocation.Spend(telemetry.Gateway, 41600*time.Microsecond) })
		side.Go(func() { invocation.Spend(telemetry.Store, time.Microsecond) })
		side.Wait()
		invocation.Annotate(slog.String("order_id", "o-1"))
		end()
	}
	count := func(name string) map[string]any { return map[string]any{"Name": name, "Unit": "Count"} }
	want := map[string]any{
		"level": "INFO", "msg": "invocation", "Stack": "paylane-dev", "order_id": "o-1",
		"request_id": "request", "trace_id": "1-5759e988-bd862e3fe1be46a994272793", "cold_start": true,
		"gateway_ms": 82., "store_ms": 0.,
		"Accepted": 0., "Paid": 0., "Declined": 1., "Unavailable": 0., "Unknown": 0., "Misconfigured": 0., "GaveUp": 0., "Unresolved": 0., "Failed": 0., "Differences": 0., "Reconciled": 0.,
		"TimeToPaid": []any{1500., 1500.},
		"_aws": map[string]any{
			"Timestamp": 1783711145123.,
			"CloudWatchMetrics": []any{map[string]any{
				"Namespace": "paylane", "Dimensions": []any{[]any{"Stack"}},
				"Metrics": []any{
					count("Accepted"), count("Paid"), count("Declined"), count("Unavailable"), count("Unknown"), count("Misconfigured"), count("GaveUp"), count("Unresolved"), count("Failed"), count("Differences"), count("Reconciled"),
					map[string]any{"Name": "TimeToPaid", "Unit": "Milliseconds"},
				},
			}},
		},
	}
	got := lines(t, &out)
	if len(got) != 2 {
		t.Fatalf("%d lines, want one per invocation", len(got))
	}
	if diff := cmp.Diff(want, got[0]); diff != "" {
		t.Errorf("the first line (-want +got):\n%s", diff)
	}
	if got[1]["cold_start"] != false {
		t.Error("the second invocation is a cold start too")
	}
}

// TestLogs: a line logged during an invocation names the invocation.
func TestLogs(t *testing.T) {
	var out, log bytes.Buffer
	logger := slog.New(telemetry.Handler(slog.NewJSONHandler(&log, nil))).With("a", 1).WithGroup("g")
	ctx, end := telemetry.NewRecorder(&out, "s", time.Now).Begin(inLambda(t))
	logger.InfoContext(ctx, "inside")
	end()
	logger.InfoContext(t.Context(), "outside")
	got := lines(t, &log)
	if group, _ := got[0]["g"].(map[string]any); group["request_id"] != "request" || group["cold_start"] != true || got[0]["a"] != 1. {
		t.Errorf("the line is %v", got[0])
	}
	if _, ok := got[1]["g"]; ok {
		t.Errorf("a line outside an invocation is %v", got[1])
	}
}

// TestTallies: a recorder without lines hands on what was counted and timed, once and at the end.
func TestTallies(t *testing.T) {
	var got []telemetry.Tally
	r := telemetry.NewTallies(func(tally telemetry.Tally) { got = append(got, tally) })
	ctx, end := r.Begin(t.Context())
	invocation := telemetry.From(ctx)
	invocation.Count(telemetry.Paid)
	invocation.Count(telemetry.Paid)
	invocation.Time(telemetry.TimeToPaid, 1500*time.Millisecond)
	invocation.Spend(telemetry.Store, time.Second)
	if len(got) > 0 || r.Lines() {
		t.Errorf("before its end: %v, and lines: %t", got, r.Lines())
	}
	end()
	_, end = r.Begin(t.Context())
	end()
	want := []telemetry.Tally{
		{Counts: map[telemetry.Metric]int{telemetry.Paid: 2}, Times: map[telemetry.Metric][]int64{telemetry.TimeToPaid: {1500}}}, {},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the tallies (-want +got):\n%s", diff)
	}
}

// TestNone: without a recorder nothing is recorded, and nothing breaks.
func TestNone(t *testing.T) {
	var none *telemetry.Recorder
	ctx, end := none.Begin(t.Context())
	invocation := telemetry.From(ctx)
	invocation.Count(telemetry.Accepted)
	invocation.Time(telemetry.TimeToPaid, time.Second)
	invocation.Spend(telemetry.Store, time.Second)
	invocation.Annotate(slog.Int("n", 1))
	telemetry.Annotate(ctx, slog.Int("n", 1))
	end()
}
