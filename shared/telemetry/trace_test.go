package telemetry_test

import (
	"context"
	"testing"

	"go.opentelemetry.io/otel/trace"

	"paylane/shared/telemetry"
)

// TestTraceHeader: a trace goes on by the header that it came with, and what is not a header
// changes nothing.
func TestTraceHeader(t *testing.T) {
	const before = "Root=1-00000001-000000000000000000000002;Parent=0000000000000003;Sampled=1"
	for header, want := range map[string]string{
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1":        "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
		"Self=1-67891234-12456789abcdef012345678;Root=1-5759e988-bd862e3fe1be46a994272793":  "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
		"Root=1-5759e988-bd862e3fe1be46a994272793; Parent=53995c3f42cd8ad8; Sampled=0; a=b": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0",
		"Root=1-5759e988-bd862e3fe1be46a994272793;Parent=none":                              "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
		"":           before,
		"Root=1-2-3": before,
		"Root=1-5759e9-88bd862e3fe1be46a994272793":                         before,
		"Root=1-00000000-000000000000000000000000;Parent=53995c3f42cd8ad8": before,
		"Parent=53995c3f42cd8ad8;Sampled=1":                                before,
	} {
		ctx := telemetry.WithTrace(telemetry.WithTrace(t.Context(), before), header)
		if got := telemetry.TraceHeader(ctx); got != want {
			t.Errorf("%q goes on as %q, want %q", header, got, want)
		}
	}
	if got := telemetry.TraceHeader(t.Context()); got != "" {
		t.Errorf("without a trace there is the header %q", got)
	}
}

// TestLineage: what an invocation sends keeps the invocation's lineage, whatever the trace that
// it belongs to.
func TestLineage(t *testing.T) {
	const own = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=0;Lineage=1:2d1f6f85:2"
	//nolint:staticcheck // the key is aws-lambda-go's
	lambda := context.WithValue(t.Context(), "x-amzn-trace-id", own)
	ctx, end := (*telemetry.Recorder)(nil).Begin(lambda)
	defer end()
	if got := telemetry.TraceHeader(ctx); got != own {
		t.Errorf("the invocation's trace goes on as %q, want %q", got, own)
	}
	const message = "Root=1-00000001-000000000000000000000002;Parent=0000000000000003;Sampled=1"
	ctx = telemetry.WithTrace(ctx, message+";Lineage=1:2d1f6f85:1")
	if got, want := telemetry.TraceHeader(ctx), message+";Lineage=1:2d1f6f85:2"; got != want {
		t.Errorf("a message's trace goes on as %q, want %q", got, want)
	}
	if c := trace.SpanContextFromContext(ctx); !c.IsRemote() {
		t.Error("the message's span looks like one of this process")
	}
}
