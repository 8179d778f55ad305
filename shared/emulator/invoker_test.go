package emulator_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator"
)

type (
	request  = events.APIGatewayV2HTTPRequest
	response = events.APIGatewayV2HTTPResponse
	handler  = func(context.Context, request) (response, error)
)

// event is a typed event with its JSON.
type event struct{ request }

func (e event) JSON() ([]byte, error) { return json.Marshal(e.request) }
func (e event) Typed() any            { return &e.request }

// bothModes runs a test with typed events and through JSON.
func bothModes(t *testing.T, test func(t *testing.T, c emulator.Config)) {
	t.Helper()
	for name, viaJSON := range map[string]bool{"typed": false, "json": true} {
		t.Run(name, func(t *testing.T) { test(t, emulator.Config{ARN: "arn:aws:lambda:x:y:function:f", JSON: viaJSON}) })
	}
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// failed returns the payload of an invocation that must fail.
func failed(t *testing.T, err error) string {
	t.Helper()
	var function *emulator.FunctionError
	if !errors.As(err, &function) {
		t.Fatalf("the error is %T: %v", err, err)
	}
	return string(function.Payload)
}

// inProcess returns an invoker that ends with the test.
func inProcess(t testing.TB, handler any, c emulator.Config) *emulator.InProcess {
	t.Helper()
	f := emulator.NewInProcess(handler, c)
	t.Cleanup(f.Close)
	return f
}

func TestHandlerGetsEventAndContext(t *testing.T) {
	bothModes(t, func(t *testing.T, c emulator.Config) {
		synctest.Test(t, func(t *testing.T) {
			c.Timeout = 7 * time.Second
			start := time.Now()
			var seen []any
			f := inProcess(t, func(ctx context.Context, r request) (response, error) {
				lc, _ := lambdacontext.FromContext(ctx)
				deadline, _ := ctx.Deadline()
				seen = []any{r.RawPath, r.Headers["a"], deadline.Sub(start), lc.AwsRequestID, lc.InvokedFunctionArn, ctx.Value("x-amzn-trace-id")}
				return response{StatusCode: 200, Body: "<b>"}, nil
			}, c)
			e := event{request{RawPath: "/p", Headers: map[string]string{"a": "b"}}}
			result, err := f.Invoke(t.Context(), emulator.Invocation{RequestID: "id-1", TraceID: "Root=1-2-3", Event: e})
			if err != nil {
				t.Fatal(err)
			}
			diff(t, "what the handler saw", []any{"/p", "b", 7 * time.Second, "id-1", c.ARN, "Root=1-2-3"}, seen)
			payload, err := result.Payload()
			if err != nil {
				t.Fatal(err)
			}
			var got response
			if err := json.Unmarshal(payload, &got); err != nil {
				t.Fatal(err)
			}
			diff(t, "the result", response{StatusCode: 200, Body: "<b>"}, got)
		})
	})
}

func TestIDsAreMadeAndDiffer(t *testing.T) {
	var ids []string
	f := inProcess(t, func(ctx context.Context, _ request) (response, error) {
		lc, _ := lambdacontext.FromContext(ctx)
		ids = append(ids, lc.AwsRequestID, fmt.Sprint(ctx.Value("x-amzn-trace-id")))
		return response{}, nil
	}, emulator.Config{})
	for range 2 {
		if _, err := f.Invoke(t.Context(), emulator.Invocation{Event: event{}}); err != nil {
			t.Fatal(err)
		}
	}
	if len(ids[0]) != 36 || ids[0][14] != '4' || ids[0] == ids[2] {
		t.Errorf("request ids %q and %q", ids[0], ids[2])
	}
	if !strings.HasPrefix(ids[1], "Root=1-") || len(ids[1]) != 40 || ids[1] == ids[3] {
		t.Errorf("trace ids %q and %q", ids[1], ids[3])
	}
}

// emptyResponse is a zero response as JSON.
const emptyResponse = `{"statusCode":0,"headers":null,"multiValueHeaders":null,"body":"","cookies":null}`

type shortage struct{}

func (*shortage) Error() string { return "no stock" }

func TestFunctionErrors(t *testing.T) {
	rows := []struct {
		name    string
		handler any
		want    string // the payload; up to "…" if that ends it
	}{
		{"returned error", func(context.Context, request) (response, error) {
			return response{StatusCode: 200}, errors.New("boom")
		}, `{"errorMessage":"boom","errorType":"errorString"}`},
		{"wrapped error", func(context.Context, request) (response, error) {
			return response{}, fmt.Errorf("a: %w", errors.New("b"))
		}, `{"errorMessage":"a: b","errorType":"wrapError"}`},
		{"error of an own type", func(context.Context, request) (response, error) {
			return response{}, &shortage{}
		}, `{"errorMessage":"no stock","errorType":"shortage"}`},
		{"error with an own payload", func(context.Context, request) (response, error) {
			return response{}, messages.InvokeResponse_Error{Type: "Mine", Message: "m"}
		}, `{"errorMessage":"m","errorType":"Mine"}`},
		{"panic with a text", func(context.Context, request) (response, error) {
			panic("oh")
		}, `{"errorMessage":"oh","errorType":"string","stackTrace":[{"path":…`},
		{"panic with an error", func(context.Context, request) (response, error) {
			panic(errors.New("oh"))
		}, `{"errorMessage":"oh","errorType":"errorString","stackTrace":[…`},
		{"panic in the error's text", func(context.Context, request) (response, error) {
			var nobody *messages.InvokeResponse_Error
			return response{}, nobody
		}, `{"errorMessage":"value method github.com/aws/aws-lambda-go/lambda/messages.InvokeResponse_Error.Error called using nil *InvokeResponse_Error pointer","errorType":"plainError","stackTrace":[…`},
		{"the goroutine ends", func(context.Context, request) (response, error) {
			runtime.Goexit()
			return response{}, nil
		}, `{"errorMessage":"RequestId: id-1 Error: Runtime exited without providing a reason","errorType":"Runtime.ExitError"}`},
		{"result too large", func(context.Context, request) (response, error) {
			return response{Body: strings.Repeat("x", emulator.MaxPayloadBytes-len(emptyResponse)+1)}, nil
		}, `{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}`},
		{"event of the wrong type", func(context.Context, struct {
			RawPath int `json:"rawPath"`
		}) error {
			return nil
		}, `{"errorMessage":"json: cannot unmarshal string into Go struct field .rawPath of type int","errorType":"UnmarshalTypeError"}`},
		{"no handler at all", "text", `{"errorMessage":"handler kind string is not func","errorType":"errorString"}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, c emulator.Config) {
				f := inProcess(t, row.handler, c)
				_, err := f.Invoke(t.Context(), emulator.Invocation{RequestID: "id-1", Event: event{request{RawPath: "/"}}})
				got := failed(t, err)
				if prefix, cut := strings.CutSuffix(row.want, "…"); cut && strings.HasPrefix(got, prefix) {
					return
				}
				diff(t, "payload", row.want, got)
			})
		})
	}
}

func TestPanicShowsWhere(t *testing.T) {
	f := inProcess(t, func(context.Context, request) (response, error) { panic("oh") }, emulator.Config{})
	_, err := f.Invoke(t.Context(), emulator.Invocation{Event: event{}})
	if got := failed(t, err); !strings.Contains(got, `/shared/emulator/invoker_test.go"`) {
		t.Errorf("the stack does not show the handler: %s", got)
	}
}

func TestLargestResult(t *testing.T) {
	bothModes(t, func(t *testing.T, c emulator.Config) {
		f := inProcess(t, func(context.Context, request) (response, error) {
			return response{Body: strings.Repeat("x", emulator.MaxPayloadBytes-len(emptyResponse))}, nil
		}, c)
		if _, err := f.Invoke(t.Context(), emulator.Invocation{Event: event{}}); err != nil {
			t.Error(err)
		}
	})
}

func TestTimeout(t *testing.T) {
	const want = `{"errorMessage":"RequestId: id-1 Error: Task timed out after 1.50 seconds","errorType":"Sandbox.Timedout"}`
	rows := []struct {
		name    string
		handler handler
	}{
		{"a handler that does not look", func(context.Context, request) (response, error) {
			time.Sleep(time.Hour)
			return response{StatusCode: 200}, nil
		}},
		{"a handler that returns at its deadline", func(ctx context.Context, _ request) (response, error) {
			<-ctx.Done()
			return response{}, ctx.Err()
		}},
		{"a handler that panics at its deadline", func(ctx context.Context, _ request) (response, error) {
			<-ctx.Done()
			panic("late")
		}},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, c emulator.Config) {
				synctest.Test(t, func(t *testing.T) {
					c.Timeout = 1500 * time.Millisecond
					f := inProcess(t, row.handler, c)
					for range 50 { // the deadline and the handler race
						start := time.Now()
						_, err := f.Invoke(t.Context(), emulator.Invocation{RequestID: "id-1", Event: event{}})
						diff(t, "payload", want, failed(t, err))
						diff(t, "it took", c.Timeout, time.Since(start))
						f.Close() // an abandoned handler is not waited for
						diff(t, "with Wait", c.Timeout, time.Since(start))
					}
					time.Sleep(time.Hour) // until the abandoned handlers end
				})
			})
		})
	}
}

// The caller's context ends the waiting, not the function.
func TestCallerLeaves(t *testing.T) {
	bothModes(t, func(t *testing.T, c emulator.Config) {
		synctest.Test(t, func(t *testing.T) {
			c.Timeout = 10 * time.Second
			var ended atomic.Bool
			f := inProcess(t, func(ctx context.Context, _ request) (response, error) {
				time.Sleep(5 * time.Second)
				ended.Store(ctx.Err() == nil)
				return response{}, nil
			}, c)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			start := time.Now()
			if _, err := f.Invoke(ctx, emulator.Invocation{Event: event{}}); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %v", err)
			}
			diff(t, "the caller waited", time.Second, time.Since(start))
			f.Close()
			diff(t, "the function took", 5*time.Second, time.Since(start))
			if !ended.Load() {
				t.Error("the function's context ended with the caller's")
			}
		})
	})
}

func TestReservedConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		two, zero := 2, 0
		f := inProcess(t, func(context.Context, request) (response, error) {
			time.Sleep(time.Second)
			return response{}, nil
		}, emulator.Config{ReservedConcurrency: &two})
		results := make(chan error)
		invoke := func() {
			_, err := f.Invoke(t.Context(), emulator.Invocation{Event: event{}})
			results <- err
		}
		for range 3 {
			go invoke()
		}
		var throttled int
		for range 3 {
			if errors.Is(<-results, emulator.ErrThrottled) {
				throttled++
			}
		}
		diff(t, "throttled", 1, throttled)
		go invoke() // both are free again
		if err := <-results; err != nil {
			t.Error(err)
		}
		none := inProcess(t, func() {}, emulator.Config{ReservedConcurrency: &zero})
		if _, err := none.Invoke(t.Context(), emulator.Invocation{Event: event{}}); !errors.Is(err, emulator.ErrThrottled) {
			t.Errorf("with a reserved concurrency of 0 the error is %v", err)
		}
	})
}

// A timeout frees the concurrency, though the handler may run on.
func TestTimeoutFreesConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		one := 1
		f := inProcess(t, func(context.Context, request) (response, error) {
			time.Sleep(time.Minute)
			return response{}, nil
		}, emulator.Config{ReservedConcurrency: &one, Timeout: time.Second})
		for range 3 {
			_, err := f.Invoke(t.Context(), emulator.Invocation{Event: event{}})
			if !strings.Contains(failed(t, err), "Sandbox.Timedout") {
				t.Error(err)
			}
		}
		time.Sleep(time.Minute) // until the abandoned handlers end
	})
}

// Handlers of any signature that lambda.Start accepts work, with any event.
func TestOtherHandlers(t *testing.T) {
	rows := []struct {
		name    string
		handler any
		event   emulator.Event
		want    string
	}{
		{"no arguments, no result", func() {}, event{}, `null`},
		{"own types", func(_ context.Context, in map[string]int) (int, error) { return in["a"] + 1, nil },
			emulator.RawEvent(`{"a":2}`), `3`},
		{"HTTP handler, event of another kind", func(_ context.Context, r request) (response, error) {
			return response{StatusCode: 200, Body: r.RawPath}, nil
		}, emulator.RawEvent(`{"rawPath":"/raw"}`),
			`{"statusCode":200,"headers":null,"multiValueHeaders":null,"body":"/raw","cookies":null}`},
		{"SQS handler", func(context.Context, events.SQSEvent) (events.SQSEventResponse, error) {
			return events.SQSEventResponse{}, nil
		}, emulator.RawEvent(`{"Records":[]}`), `{"batchItemFailures":null}`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			bothModes(t, func(t *testing.T, c emulator.Config) {
				result, err := inProcess(t, row.handler, c).Invoke(t.Context(), emulator.Invocation{Event: row.event})
				if err != nil {
					t.Fatal(err)
				}
				payload, err := result.Payload()
				if err != nil {
					t.Fatal(err)
				}
				diff(t, "payload", row.want, string(payload))
			})
		})
	}
}

// streamEvent is an event of a table's stream that has no JSON.
type streamEvent struct{ events.DynamoDBEvent }

func (e *streamEvent) JSON() ([]byte, error) { return nil, errors.New("there is no JSON") }
func (e *streamEvent) Typed() any            { return &e.DynamoDBEvent }

// Handlers of stream events get them, and return their results, without JSON.
func TestStreamHandlersAreTyped(t *testing.T) {
	f := inProcess(t, func(_ context.Context, e events.DynamoDBEvent) (events.DynamoDBEventResponse, error) {
		return events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{{ItemIdentifier: e.Records[0].EventID}}}, nil
	}, emulator.Config{})
	e := &streamEvent{events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{{EventID: "1"}}}}
	result, err := f.Invoke(t.Context(), emulator.Invocation{Event: e})
	if err != nil {
		t.Fatal(err)
	}
	want := &events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{{ItemIdentifier: "1"}}}
	diff(t, "result", any(want), result.Value)
}

func BenchmarkInvoke(b *testing.B) {
	f := inProcess(b, func(context.Context, request) (response, error) {
		return response{StatusCode: 200}, nil
	}, emulator.Config{})
	e := event{request{RawPath: "/"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Invoke(context.Background(), emulator.Invocation{Event: e}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkInvokeDeep has a handler that needs 16 KiB of stack, as ordinary ones do: it
// shows what an idle goroutine, whose stack has grown, is worth.
func BenchmarkInvokeDeep(b *testing.B) {
	f := inProcess(b, func(context.Context, request) (response, error) {
		return response{StatusCode: 200, Body: string(deep(32))}, nil
	}, emulator.Config{})
	e := event{request{RawPath: "/"}}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := f.Invoke(context.Background(), emulator.Invocation{Event: e}); err != nil {
			b.Fatal(err)
		}
	}
}

// deep calls itself with 512 bytes of stack each.
//
//go:noinline
func deep(calls int) rune {
	var frame [512]byte
	frame[calls%len(frame)] = 'x'
	if calls > 0 {
		deep(calls - 1)
	}
	return rune(frame[calls%len(frame)])
}

// Concurrent invocations do not mix up their events or results.
func TestConcurrentInvocations(t *testing.T) {
	bothModes(t, func(t *testing.T, c emulator.Config) {
		f := inProcess(t, func(_ context.Context, r request) (response, error) {
			return response{StatusCode: 200, Body: strings.Repeat(r.RawPath, 100)}, nil
		}, c)
		var group sync.WaitGroup
		for i := range 8 {
			group.Go(func() {
				for j := range 200 {
					path := fmt.Sprintf("/%d-%d", i, j)
					result, err := f.Invoke(t.Context(), emulator.Invocation{Event: event{request{RawPath: path}}})
					if err != nil {
						t.Error(err)
						return
					}
					if payload, err := result.Payload(); err != nil || !strings.Contains(string(payload), strings.Repeat(path, 100)) {
						t.Errorf("%s: got %s, %v", path, payload, err)
						return
					}
				}
			})
		}
		group.Wait()
	})
}
