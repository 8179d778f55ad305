package emulator_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdaurl"

	"paylane/shared/emulator"
)

type (
	urlRequest  = events.LambdaFunctionURLRequest
	urlResponse = events.LambdaFunctionURLStreamingResponse
)

// streams returns a handler that responds with a body.
func streams(body func(ctx context.Context, r *urlRequest) io.Reader) any {
	return func(ctx context.Context, r *urlRequest) (*urlResponse, error) {
		return &urlResponse{StatusCode: 200, Body: body(ctx, r)}, nil
	}
}

// slow is a body whose second half arrives a second after the first.
func slow(context.Context, *urlRequest) io.Reader {
	reader, writer := io.Pipe()
	go func() {
		_, _ = io.WriteString(writer, "one")
		time.Sleep(time.Second)
		_, _ = io.WriteString(writer, "two")
		_ = writer.Close()
	}()
	return reader
}

const slowPrelude = `{"statusCode":200}` + "\x00\x00\x00\x00\x00\x00\x00\x00"

var urlEvent = emulator.Invocation{Event: emulator.RawEvent(`{"rawPath":"/p"}`)}

func stream(t *testing.T, f *emulator.InProcess) *emulator.Stream {
	t.Helper()
	s, err := f.InvokeStream(t.Context(), urlEvent)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// TestInvokeStream: each chunk arrives when it is written, and the invocation counts until
// the last.
func TestInvokeStream(t *testing.T) {
	bothModes(t, func(t *testing.T, c emulator.Config) {
		synctest.Test(t, func(t *testing.T) {
			one := 1
			c.ReservedConcurrency = &one
			f := inProcess(t, streams(slow), c)
			began := time.Now()
			s := stream(t, f)
			head := make([]byte, len(slowPrelude+"one"))
			_, err := io.ReadFull(s.Body, head)
			diff(t, "first", []any{emulator.IntegrationResponse, slowPrelude + "one", nil, 0 * time.Second},
				[]any{s.ContentType, string(head), err, time.Since(began)})
			if _, err := f.InvokeStream(t.Context(), urlEvent); !errors.Is(err, emulator.ErrThrottled) {
				t.Errorf("a second one: %v", err)
			}
			rest, err := io.ReadAll(s.Body)
			diff(t, "rest", []any{"two", nil, time.Second}, []any{string(rest), err, time.Since(began)})
			_ = s.Body.Close()
			synctest.Wait()
			_ = stream(t, f).Body.Close()
		})
	})
}

// TestStreamEnds: how an incomplete stream ends.
func TestStreamEnds(t *testing.T) {
	rows := []struct {
		name    string
		handler any
		body    string // empty where there is none
		failure string
	}{
		{"error before it begins", func(context.Context, *urlRequest) (*urlResponse, error) { return nil, errors.New("boom") },
			"", `{"errorMessage":"boom","errorType":"errorString"}`},
		{"panic before it begins", func(context.Context, *urlRequest) (*urlResponse, error) { panic(errors.New("oh")) },
			"", `"errorMessage":"oh"`},
		{"timeout before it begins", func(context.Context, *urlRequest) (*urlResponse, error) { time.Sleep(time.Minute); return nil, nil },
			"", `Task timed out after 3.00 seconds`},
		{"reader breaks", streams(func(context.Context, *urlRequest) io.Reader {
			return io.MultiReader(strings.NewReader("x"), broken{})
		}), slowPrelude + "x", `{"errorMessage":"the source broke","errorType":"errorString"}`},
		{"reader panics", streams(func(context.Context, *urlRequest) io.Reader { return panicking{} }), slowPrelude, `"errorMessage":"oh"`},
		{"timeout", streams(func(context.Context, *urlRequest) io.Reader { return &late{} }), slowPrelude, `Task timed out after 3.00 seconds`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				f := emulator.NewInProcess(row.handler, emulator.Config{})
				s, err := f.InvokeStream(t.Context(), urlEvent)
				if err == nil {
					var body []byte
					body, err = io.ReadAll(s.Body)
					diff(t, "body", row.body, string(body))
				} else if row.body != "" {
					t.Fatal(err)
				}
				if payload := failed(t, err); !strings.Contains(payload, row.failure) {
					t.Errorf("the payload is %s, want %s", payload, row.failure)
				}
				f.Close()
				time.Sleep(time.Hour) // until the abandoned handler ends
			})
		})
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the source broke") }

type panicking struct{}

func (panicking) Read([]byte) (int, error) { panic("oh") }

// late is a body that arrives too late.
type late struct{}

func (*late) Read([]byte) (int, error) {
	time.Sleep(time.Minute)
	return 0, io.EOF
}

// TestStreamOfOthers: the result of a handler of another type arrives in one piece; a
// handler that streams can be invoked for a buffered result.
func TestStreamOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := inProcess(t, func(context.Context, urlRequest) (any, error) { return map[string]int{"statusCode": 404}, nil }, emulator.Config{})
		s := stream(t, f)
		body, err := io.ReadAll(s.Body)
		diff(t, "an object", []any{"application/json", `{"statusCode":404}`, nil}, []any{s.ContentType, string(body), err})

		f = inProcess(t, func(context.Context, *urlRequest) (*urlResponse, error) { return nil, nil }, emulator.Config{})
		s = stream(t, f)
		body, err = io.ReadAll(s.Body)
		diff(t, "nil", []any{"null", nil}, []any{string(body), err})

		f = inProcess(t, streams(slow), emulator.Config{})
		result, err := f.Invoke(t.Context(), urlEvent)
		if err != nil {
			t.Fatal(err)
		}
		payload, err := result.Payload()
		diff(t, "buffered", []any{slowPrelude + "onetwo", nil}, []any{string(payload), err})
		f = inProcess(t, streams(func(context.Context, *urlRequest) io.Reader { return broken{} }), emulator.Config{})
		_, err = f.Invoke(t.Context(), urlEvent)
		diff(t, "buffered, broken", `{"errorMessage":"the source broke","errorType":"errorString"}`, failed(t, err))
	})
}

// TestStreamUnread: a client that leaves, by its context or by closing, does not stop the
// function, though closing ends its context.
func TestStreamUnread(t *testing.T) {
	rows := []struct {
		name   string
		leaves func(context.CancelFunc, *emulator.Stream)
		alive  error // the end of the function's context
	}{
		{"context", func(cancel context.CancelFunc, s *emulator.Stream) {
			cancel()
			if _, err := io.ReadAll(s.Body); !errors.Is(err, context.Canceled) {
				panic(err)
			}
		}, nil},
		{"close", func(_ context.CancelFunc, s *emulator.Stream) { _ = s.Body.Close() }, context.Canceled},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				alive, ended := errors.New("it did not end"), time.Duration(0)
				f := emulator.NewInProcess(streams(func(ctx context.Context, r *urlRequest) io.Reader {
					return io.MultiReader(slow(ctx, r), readerFunc(func() error {
						alive, ended = ctx.Err(), time.Since(began)
						return io.EOF
					}))
				}), emulator.Config{})
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				s, err := f.InvokeStream(ctx, urlEvent)
				if err != nil {
					t.Fatal(err)
				}
				row.leaves(cancel, s)
				time.Sleep(2 * time.Second)
				f.Close()
				diff(t, "when it ended, and its context's end", []any{time.Second, true}, []any{ended, errors.Is(alive, row.alive)})
			})
		})
	}
}

// TestStreamsAbandoned: handlers that have nothing to write end with their clients, not with
// their timeouts, even if the client leaves before they begin.
func TestStreamsAbandoned(t *testing.T) {
	bothModes(t, func(t *testing.T, c emulator.Config) {
		synctest.Test(t, func(t *testing.T) {
			var under atomic.Int32
			c.Timeout = 14 * time.Minute
			f := inProcess(t, lambdaurl.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				under.Add(1)
				time.Sleep(time.Second)
				_, _ = io.WriteString(w, "x")
				<-r.Context().Done()
				under.Add(-1)
			})), c)
			for range 10 {
				_ = stream(t, f).Body.Close()
				hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
				if _, err := f.InvokeStream(hasty, urlEvent); !errors.Is(err, context.DeadlineExceeded) {
					t.Error(err)
				}
				cancel()
			}
			time.Sleep(time.Second)
			synctest.Wait()
			diff(t, "handlers running", int32(0), under.Load())
		})
	})
}

type readerFunc func() error

func (f readerFunc) Read([]byte) (int, error) { return 0, f() }
