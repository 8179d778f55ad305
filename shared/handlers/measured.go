package handlers

import (
	"context"
	"errors"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"paylane/shared/document"
	"paylane/shared/gateway"
	"paylane/shared/job"
	"paylane/shared/order"
	"paylane/shared/queue"
	"paylane/shared/telemetry"
)

// Spans have the names and attributes of OpenTelemetry's semantic conventions where it has any,
// and an order's id, its tenant, and in a word what came of it: never what a request or an order
// holds besides.

// measured returns services whose calls of store, queue and gateway are spans, and whose time
// is on the invocation's line. What is sent carries the trace.
func (s Services) measured() Services {
	if !s.Telemetry.Lines() && s.Traces == nil {
		return s
	}
	m, from := meter{now: s.Now, tracer: s.tracer()}, s
	s.Store = func(table string) Store {
		measured := measuredStore{Store: from.Store(table), meter: m}
		if watcher, ok := measured.Store.(order.Watcher); ok {
			return measuredWatcher{measured, watcher}
		}
		return measured
	}
	s.Queue = func(url string) (Queue, error) {
		opened, err := from.Queue(url)
		if err != nil {
			return nil, err
		}
		return measuredQueue{Queue: opened, meter: m, name: path.Base(url)}, nil
	}
	s.Gateway = func(name string) (gateway.Provider, error) {
		opened, err := from.Gateway(name)
		if err != nil {
			return nil, err
		}
		measured := measuredGateway{Provider: opened, meter: m, name: name}
		if ledger, ok := opened.(gateway.Ledger); ok {
			return measuredLedger{measured, ledger}, nil
		}
		return measured, nil
	}
	return s
}

func (s Services) tracer() trace.Tracer {
	if s.Traces == nil {
		return noop.NewTracerProvider().Tracer("")
	}
	return s.Traces.Tracer("paylane")
}

// request begins the span of a request.
func (s Services) request(ctx context.Context, route string) (context.Context, trace.Span) {
	ctx, span := s.tracer().Start(ctx, route, trace.WithSpanKind(trace.SpanKindServer))
	// The default route has neither.
	if method, pattern, ok := strings.Cut(route, " "); ok && span.IsRecording() {
		span.SetAttributes(semconv.HTTPRequestMethodKey.String(method), semconv.HTTPRoute(pattern))
	}
	return ctx, span
}

// answered records a request's answer.
func answered(span trace.Span, status int) {
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= http.StatusInternalServerError {
		span.SetStatus(codes.Error, "")
	}
}

// message returns what begins the span of each message of a queue, within the trace in which it
// was sent; nil if nobody measures.
func (s Services) message(url string) func(context.Context, *events.SQSMessage) (context.Context, func(job.Verdict)) {
	if !s.Telemetry.Lines() && s.Traces == nil {
		return nil
	}
	tracer, name := s.tracer(), path.Base(url)
	return func(ctx context.Context, r *events.SQSMessage) (context.Context, func(job.Verdict)) {
		ctx = telemetry.WithTrace(ctx, r.Attributes[queue.TraceHeaderAttribute])
		ctx, span := tracer.Start(ctx, "process "+name, trace.WithSpanKind(trace.SpanKindConsumer))
		if span.IsRecording() {
			span.SetAttributes(semconv.MessagingSystemAWSSQS, semconv.MessagingDestinationName(name), semconv.MessagingOperationTypeProcess,
				semconv.MessagingOperationName("process"), semconv.MessagingMessageID(r.MessageId))
		}
		return ctx, func(v job.Verdict) {
			defer span.End()
			if !span.IsRecording() {
				return
			}
			for _, a := range v.Attrs { // tenant and order_id
				span.SetAttributes(attribute.String(a.Key, a.Value.String()))
			}
			span.SetAttributes(attribute.String("result", v.Result))
			if v.Err != nil {
				span.SetStatus(codes.Error, v.Result)
			}
		}
	}
}

// meter measures calls.
type meter struct {
	now    func() time.Time
	tracer trace.Tracer
}

// begin begins a call. End takes its result in a word, and whether that is a failure.
func (m meter) begin(ctx context.Context, p telemetry.Part, name string, kind trace.SpanKind, about ...attribute.KeyValue) (
	_ context.Context, end func(result string, failed bool),
) {
	began := m.now()
	ctx, span := m.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(about...))
	return ctx, func(result string, failed bool) {
		telemetry.From(ctx).Spend(p, m.now().Sub(began))
		span.SetAttributes(attribute.String("result", result))
		if failed {
			span.SetStatus(codes.Error, result)
		}
		span.End()
	}
}

// of says which order a call is about.
func of(ref order.Ref) []attribute.KeyValue {
	return []attribute.KeyValue{attribute.String("tenant", ref.Tenant), attribute.String("order_id", ref.ID)}
}

// measuredQueue measures sends and changes of visibility.
type measuredQueue struct {
	Queue
	meter
	name string
}

func (q measuredQueue) begin(ctx context.Context, operation string, kind trace.SpanKind, about ...attribute.KeyValue) (context.Context, func(string, bool)) {
	about = append(about, semconv.MessagingSystemAWSSQS, semconv.MessagingDestinationName(q.name), semconv.MessagingOperationName(operation))
	return q.meter.begin(ctx, telemetry.Queue, operation+" "+q.name, kind, about...)
}

func (q measuredQueue) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	ctx, end := q.begin(ctx, "send", trace.SpanKindProducer, semconv.MessagingOperationTypeSend)
	id, err := q.Queue.Send(queue.WithTraceHeader(ctx, telemetry.TraceHeader(ctx)), body, delay)
	trace.SpanFromContext(ctx).SetAttributes(semconv.MessagingMessageID(id))
	end(result(err))
	return id, err
}

func (q measuredQueue) ChangeVisibility(ctx context.Context, receiptHandle string, timeout time.Duration) error {
	ctx, end := q.begin(ctx, "change_visibility", trace.SpanKindClient, semconv.MessagingOperationTypeSettle)
	err := q.Queue.ChangeVisibility(ctx, receiptHandle, timeout)
	end(result(err))
	return err
}

// measuredStore measures every call.
type measuredStore struct {
	Store
	meter
}

// measuredWatcher is of a store that can also announce changes.
type measuredWatcher struct {
	measuredStore
	order.Watcher
}

func (s measuredStore) begin(ctx context.Context, name string, about ...attribute.KeyValue) (context.Context, func(string, bool)) {
	return s.meter.begin(ctx, telemetry.Store, name, trace.SpanKindClient, about...)
}

func (s measuredStore) Create(ctx context.Context, o order.Order) error {
	ctx, end := s.begin(ctx, "create order", of(o.Ref)...)
	err := s.Store.Create(ctx, o)
	end(result(err))
	return err
}

func (s measuredStore) Get(ctx context.Context, ref order.Ref) (order.Order, error) {
	ctx, end := s.begin(ctx, "get order", of(ref)...)
	o, err := s.Store.Get(ctx, ref)
	end(result(err))
	return o, err
}

func (s measuredStore) Claim(ctx context.Context, ref order.Ref, c order.Claim) (order.Order, error) {
	ctx, end := s.begin(ctx, "claim order", of(ref)...)
	o, err := s.Store.Claim(ctx, ref, c)
	end(result(err))
	return o, err
}

func (s measuredStore) Update(ctx context.Context, next order.Order) error {
	ctx, end := s.begin(ctx, "update order", of(next.Ref)...)
	err := s.Store.Update(ctx, next)
	end(result(err))
	return err
}

func (s measuredStore) List(ctx context.Context, q order.Query) (order.Page, error) {
	ctx, end := s.begin(ctx, "list orders", attribute.String("tenant", q.Tenant))
	page, err := s.Store.List(ctx, q)
	end(result(err))
	return page, err
}

func (s measuredStore) Scan(ctx context.Context, q order.ScanQuery) (order.ScanPage, error) {
	ctx, end := s.begin(ctx, "scan orders")
	page, err := s.Store.Scan(ctx, q)
	end(result(err))
	return page, err
}

func (s measuredStore) Document(ctx context.Context, k document.Key) (document.Document, error) {
	ctx, end := s.begin(ctx, "get document", attribute.String("tenant", k.Tenant))
	d, err := s.Store.Document(ctx, k)
	end(result(err))
	return d, err
}

func (s measuredStore) PutDocument(ctx context.Context, d document.Document) error {
	ctx, end := s.begin(ctx, "put document", attribute.String("tenant", d.Tenant))
	err := s.Store.PutDocument(ctx, d)
	end(result(err))
	return err
}

func (s measuredStore) DeleteDocument(ctx context.Context, k document.Key) error {
	ctx, end := s.begin(ctx, "delete document", attribute.String("tenant", k.Tenant))
	err := s.Store.DeleteDocument(ctx, k)
	end(result(err))
	return err
}

// result names what came of a call of a store or a queue, and reports whether it failed. What an
// error says is for the log.
func result(err error) (name string, failed bool) {
	var conflict *order.ConflictError
	switch {
	case err == nil:
		return "ok", false
	case errors.As(err, &conflict), errors.Is(err, document.ErrConflict):
		return "conflict", false
	case errors.Is(err, order.ErrNotFound):
		return "not_found", false
	case errors.Is(err, order.ErrUnavailable):
		return "unavailable", true
	default:
		return "error", true
	}
}

// measuredGateway measures what moves money.
type measuredGateway struct {
	gateway.Provider
	meter
	name string
}

// measuredLedger is of a gateway that also lists what it did.
type measuredLedger struct {
	measuredGateway
	gateway.Ledger
}

func (g measuredGateway) begin(ctx context.Context, name string, r gateway.Request) (context.Context, func(string, bool)) {
	return g.meter.begin(ctx, telemetry.Gateway, name, trace.SpanKindClient, append(of(r.Order), semconv.ServicePeerName(g.name))...)
}

func (g measuredGateway) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	ctx, end := g.begin(ctx, "charge", r)
	receipt, err := g.Provider.Charge(ctx, r)
	end(outcome(err))
	return receipt, err
}

func (g measuredGateway) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	ctx, end := g.begin(ctx, "refund", r)
	receipt, err := g.Provider.Refund(ctx, r)
	end(outcome(err))
	return receipt, err
}

func (g measuredGateway) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	ctx, end := g.begin(ctx, "resolve", r)
	resolution, err := g.Provider.Resolve(ctx, r)
	switch {
	case err != nil:
		end(string(order.OutcomeUnknown), true)
	case resolution.Done:
		end("done", false)
	default:
		end("not_done", false)
	}
	return resolution, err
}

// outcome names what came of a charge or a refund, as an order's attempts do, and reports
// whether it failed.
func outcome(err error) (name string, failed bool) {
	o := gateway.OutcomeOf(err)
	return string(o), o == order.OutcomeUnavailable || o == order.OutcomeUnknown
}
