package main

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

const (
	// exportEvery is how long a span waits for others.
	exportEvery = time.Second
	// exportFor is how long a collector has for an answer, and for the last spans at the end.
	exportFor = 3 * time.Second
)

// spans exports spans to a collector.
type spans struct {
	*sdktrace.TracerProvider
	log *slog.Logger
}

// openSpans returns spans that go to a collector by OTLP/HTTP, whose base URL is as in
// OTEL_EXPORTER_OTLP_ENDPOINT. It need not be there.
func openSpans(ctx context.Context, url string, log *slog.Logger) (spans, error) {
	exporter, err := otlptracehttp.New(
		ctx, otlptracehttp.WithEndpointURL(strings.TrimSuffix(url, "/")+"/v1/traces"),
		otlptracehttp.WithTimeout(exportFor), otlptracehttp.WithRetry(otlptracehttp.RetryConfig{}),
	)
	if err != nil {
		return spans{}, fmt.Errorf("export spans to %s: %w", url, err)
	}
	return spans{sdktrace.NewTracerProvider(
		sdktrace.WithSampler(sdktrace.AlwaysSample()),
		sdktrace.WithResource(resource.NewWithAttributes(semconv.SchemaURL, semconv.ServiceName("paylane"))),
		sdktrace.WithBatcher(&forgiving{SpanExporter: exporter, log: log}, sdktrace.WithBatchTimeout(exportEvery)),
	), log}, nil
}

// close exports what is left, as far as the collector takes it in time.
func (s spans) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exportFor)
	defer cancel()
	if err := s.Shutdown(ctx); err != nil {
		s.log.WarnContext(ctx, "the last spans could not be exported", "error", err)
	}
}

// forgiving logs the first failure of an exporter, and reports none: the SDK would print each.
type forgiving struct {
	sdktrace.SpanExporter
	log  *slog.Logger
	once sync.Once
}

// ExportSpans implements [sdktrace.SpanExporter].
func (f *forgiving) ExportSpans(ctx context.Context, some []sdktrace.ReadOnlySpan) error {
	if err := f.SpanExporter.ExportSpans(ctx, some); err != nil {
		f.once.Do(func() {
			f.log.WarnContext(ctx, "spans can't be exported, and are lost for as long as that lasts", "error", err)
		})
	}
	return nil
}
