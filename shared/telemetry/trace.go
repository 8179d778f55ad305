package telemetry

import (
	"context"
	"log/slog"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// Traces go from one function to the next in X-Ray's header ("Tracing header", X-Ray developer
// guide): Lambda gives each invocation one, whether X-Ray traces it or not, and SQS keeps a
// message's. OpenTelemetry's trace ids have the same 128 bits, so a context holds the trace as
// OpenTelemetry does, with spans or without.

// WithTrace returns a context that continues the trace of an X-Ray header. If it is not one,
// the context stays as it is.
func WithTrace(ctx context.Context, header string) context.Context {
	root, _ := strings.CutPrefix(field(header, "Root"), "1-")
	begun, random, _ := strings.Cut(root, "-")
	id, err := trace.TraceIDFromHex(begun + random)
	if err != nil || len(begun) != 8 {
		return ctx
	}
	c := trace.SpanContextConfig{TraceID: id}
	c.SpanID, _ = trace.SpanIDFromHex(field(header, "Parent")) // a header that begins a trace has none
	if field(header, "Sampled") == "1" {
		c.TraceFlags = trace.FlagsSampled
	}
	return trace.ContextWithRemoteSpanContext(ctx, trace.NewSpanContext(c))
}

// TraceHeader returns the header by which others continue a context's trace; empty if it has
// none. From an invocation's own header it keeps the lineage, by which Lambda notices endless
// loops.
func TraceHeader(ctx context.Context) string {
	c := trace.SpanContextFromContext(ctx)
	if !c.HasTraceID() {
		return ""
	}
	header := "Root=" + traceID(c)
	if c.HasSpanID() {
		header += ";Parent=" + c.SpanID().String()
	}
	if c.IsSampled() {
		header += ";Sampled=1"
	} else {
		header += ";Sampled=0"
	}
	if lineage := field(invocationHeader(ctx), "Lineage"); lineage != "" {
		header += ";Lineage=" + lineage
	}
	return header
}

// invocationHeader returns the header that Lambda gave the invocation.
func invocationHeader(ctx context.Context) string {
	// aws-lambda-go puts it there under this plain text.
	header, _ := ctx.Value("x-amzn-trace-id").(string)
	return header
}

// field returns the value of a header's field.
func field(header, name string) string {
	for part := range strings.SplitSeq(header, ";") {
		if key, value, ok := strings.Cut(strings.TrimSpace(part), "="); ok && key == name {
			return value
		}
	}
	return ""
}

// traceID writes a trace's id as X-Ray does.
func traceID(c trace.SpanContext) string {
	id := c.TraceID().String()
	return "1-" + id[:8] + "-" + id[8:]
}

// Annotate adds details to the line of a context's invocation and to the context's span.
func Annotate(ctx context.Context, details ...slog.Attr) {
	From(ctx).Annotate(details...)
	span := trace.SpanFromContext(ctx)
	if !span.IsRecording() {
		return
	}
	for _, d := range details {
		span.SetAttributes(attribute.String(d.Key, d.Value.String()))
	}
}
