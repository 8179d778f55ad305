package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// otlpReceiver is a collector of spans.
type otlpReceiver struct {
	mu       sync.Mutex
	spans    []*tracepb.Span
	services []string
	raw      bytes.Buffer
}

// ServeHTTP implements [http.Handler] by OTLP/HTTP.
func (c *otlpReceiver) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	request := new(collector.ExportTraceServiceRequest)
	if err == nil {
		err = proto.Unmarshal(body, request)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw.Write(body)
	for _, resource := range request.GetResourceSpans() {
		c.services = append(c.services, text(resource.GetResource().GetAttributes(), "service.name"))
		for _, scope := range resource.GetScopeSpans() {
			c.spans = append(c.spans, scope.GetSpans()...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// text returns an attribute that is a text.
func text(attributes []*common.KeyValue, key string) string {
	for _, a := range attributes {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// TestSpansAreExported: a collector sees an order as one trace, from the request that placed it
// to every call of the gateway, and nothing of what the order holds. Its id is the one of the
// request's header.
func TestSpansAreExported(t *testing.T) {
	received := new(otlpReceiver)
	server := httptest.NewServer(received)
	defer server.Close()
	c := testConfig(t)
	c.OTLP = server.URL
	c.Jitter = func(int) int { return 0 }
	url, stop := runRunner(t, c)
	const root = "5759e988bd862e3fe1be46a994272793"
	placed := target{url: url}.do(
		t, http.MethodPost, "/orders", "", `{"amount": 1200, "paymentToken": "tok_flaky_1", "customerId": "c-secret", "metadata": {"cart": "meta-secret"}}`,
		"Idempotency-Key", "key-secret", "X-Amzn-Trace-Id", "Root=1-"+root[:8]+"-"+root[8:],
	)
	var o struct{ ID, Status, PaymentRef string }
	if err := json.Unmarshal([]byte(placed.body), &o); err != nil || placed.status != http.StatusCreated {
		t.Fatalf("%d %s", placed.status, placed.body)
	}
	ended := target{url: url}.do(t, http.MethodGet, "/orders/"+o.ID+"?", "", "", "Prefer", "wait=20")
	if err := json.Unmarshal([]byte(ended.body), &o); err != nil || o.Status != "PAID" {
		t.Fatalf("%d %s", ended.status, ended.body)
	}
	stop() // which exports the last of them

	byID := make(map[string]*tracepb.Span)
	for _, s := range received.spans {
		byID[string(s.GetSpanId())] = s
	}
	var described func(s *tracepb.Span) string
	described = func(s *tracepb.Span) string {
		name := strings.TrimSuffix(s.GetName(), " local-PaymentQueue")
		if parent := byID[string(s.GetParentSpanId())]; parent != nil {
			return described(parent) + " > " + name
		}
		return name
	}
	var got []string
	for _, s := range received.spans {
		if hex.EncodeToString(s.GetTraceId()) != root {
			if strings.HasPrefix(s.GetName(), "charge") || strings.HasPrefix(s.GetName(), "process") {
				t.Errorf("%s is not part of the order's trace", described(s))
			}
			continue
		}
		if text(s.GetAttributes(), "order_id") != o.ID && s.GetKind() != tracepb.Span_SPAN_KIND_PRODUCER && !strings.Contains(s.GetName(), "visibility") {
			t.Errorf("%s is about the order %q", described(s), text(s.GetAttributes(), "order_id"))
		}
		got = append(got, strings.TrimSpace(described(s)+" "+text(s.GetAttributes(), "result")))
	}
	slices.Sort(got)
	const process = "POST /orders > send > process"
	want := []string{
		"POST /orders",
		"POST /orders > create order ok",
		"POST /orders > send ok",
		process + " > change_visibility ok",
		process + " > charge approved",
		process + " > charge unavailable",
		process + " > claim order ok",
		process + " > claim order ok",
		process + " > update order ok",
		process + " > update order ok",
		process + " paid",
		process + " unavailable",
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the order's spans (-want +got):\n%s", diff)
	}
	for _, service := range received.services {
		if service != "paylane" {
			t.Errorf("the spans are of the service %q", service)
		}
	}
	for _, secret := range []string{"tok_", "c-secret", "meta-secret", "key-secret", o.PaymentRef, "wait="} {
		if bytes.Contains(received.raw.Bytes(), []byte(secret)) {
			t.Errorf("%q is in what the collector got", secret)
		}
	}
}

// TestCollectorFails: whatever a collector does, orders are paid and the runner ends; the log
// says it once.
func TestCollectorFails(t *testing.T) {
	hanging := make(chan struct{})
	for name, answer := range map[string]func(http.ResponseWriter){
		"nobody is there": nil,
		"it refuses":      func(w http.ResponseWriter) { w.WriteHeader(http.StatusServiceUnavailable) },
		"it hangs":        func(http.ResponseWriter) { <-hanging },
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 100)
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				asked <- struct{}{}
				answer(w)
			}))
			defer server.Close()
			switch name {
			case "nobody is there":
				server.Close()
			case "it hangs":
				defer close(hanging) // before the server closes
			}
			log := new(lines)
			c := testConfig(t)
			c.OTLP, c.Log = server.URL, slog.New(slog.NewTextHandler(log, nil))
			url, stop := runRunner(t, c)
			pay := func() {
				t.Helper()
				id := ordered(t, url, "tok_ok")
				if got := (target{url: url}).do(t, http.MethodGet, "/orders/"+id, "", "", "Prefer", "wait=20"); !strings.Contains(got.body, `"PAID"`) {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
			pay()
			if answer != nil {
				select {
				case <-asked:
				case <-time.After(10 * exportFor):
					t.Fatal("the collector was not asked")
				}
				pay() // for another export, at the latest when it ends
			}
			began := time.Now()
			stop()
			if took := time.Since(began); took > 3*exportFor {
				t.Errorf("the runner took %v to end", took)
			}
			if n := strings.Count(log.String(), "spans can't be exported"); n != 1 {
				t.Errorf("the log says %d times that spans can't be exported:\n%s", n, log)
			}
		})
	}
}
