package runtimeapi_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/emulator/runtimeapi"
)

const (
	integrationResponse = "application/vnd.awslambda.http-integration-response"
	prelude             = `{"statusCode":200,"headers":{"Content-Type":"text/event-stream"}}` + "\x00\x00\x00\x00\x00\x00\x00\x00"
)

// urlEvent is a function URL's event for the mode "url".
func urlEvent(m meeting) emulator.Event {
	event, err := json.Marshal(events.LambdaFunctionURLRequest{
		RawPath: "/", RawQueryString: "address=" + m.address(),
		RequestContext: events.LambdaFunctionURLRequestContext{
			DomainName: "id.lambda-url.eu-central-1.on.aws",
			HTTP:       events.LambdaFunctionURLRequestContextHTTPDescription{Method: "GET"},
		},
	})
	if err != nil {
		m.t.Fatal(err)
	}
	return emulator.RawEvent(event)
}

func (f function) stream(ctx context.Context, event emulator.Event) *emulator.Stream {
	f.t.Helper()
	s, err := f.InvokeStream(ctx, emulator.Invocation{RequestID: requestID, Event: event})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { _ = s.Body.Close() })
	return s
}

// opened starts a lambdaurl handler and reads until its first event.
func opened(ctx context.Context, f function, m meeting) (*emulator.Stream, process) {
	f.t.Helper()
	ready := make(chan process, 1)
	go func() {
		p := m.next()
		p.say("data: 1\n\n")
		ready <- p
	}()
	s := f.stream(ctx, urlEvent(m))
	diff(f.t, "content type", integrationResponse, s.ContentType)
	diff(f.t, "prelude", prelude, reads(f.t, s, len(prelude)))
	diff(f.t, "first event", "data: 1\n\n", reads(f.t, s, len("data: 1\n\n")))
	return s, receive(f.t, "the handler", ready)
}

// reads reads what must arrive before anything else is written.
func reads(t *testing.T, s *emulator.Stream, size int) string {
	t.Helper()
	text := make(chan string, 1)
	go func() {
		b := make([]byte, size)
		n, _ := io.ReadFull(s.Body, b)
		text <- string(b[:n])
	}()
	return receive(t, "the stream", text)
}

func TestStream(t *testing.T) {
	t.Parallel()
	url, soon := mode("url", ""), timeout(500*time.Millisecond)
	rows := []struct {
		name   string
		change func(*runtimeapi.Config)
		run    func(f function, m meeting)
	}{
		{"D03 each Write at once", url, d03},
		{"D04 plain object, verbatim", nil, d04},
		{"error before the first byte", nil, streamFails},
		{"reader breaks", nil, streamBreaks},
		{"process exits", url, streamExits},
		{"timeout", func(c *runtimeapi.Config) { url(c); soon(c) }, streamTimesOut},
		{"unread until the timeout", soon, streamUnread},
		{"client leaves", url, clientLeaves},
		{"client's context ends", url, clientEnds},
		{"closed", url, streamClosed},
		{"buffered after all", url, streamBuffered},
		{"no limit of size", nil, streamLarge},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.run(start(t, row.change), meet(t))
		})
	}
}

func d03(f function, m meeting) {
	t := f.t
	s, p := opened(t.Context(), f, m)
	for _, event := range []string{"data: 2\n\n", "data: 3\n\n"} {
		p.say(event) // the handler waits for it
		diff(t, "event", event, reads(t, s, len(event)))
	}
	_ = p.Close()
	rest, err := io.ReadAll(s.Body)
	if len(rest) > 0 || err != nil {
		t.Errorf("the rest is %q, %v", rest, err)
	}
	opened(t.Context(), f, m) // the same process serves again
	f.log.wait(t, "END RequestId: "+requestID)
	diff(t, "processes", 1, strings.Count(f.log.String(), "Init Duration"))
}

func d04(f function, _ meeting) {
	t := f.t
	s := f.stream(t.Context(), emulator.RawEvent(`{"do":"not found"}`))
	diff(t, "content type", "application/json", s.ContentType)
	body, err := io.ReadAll(s.Body)
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "body", `{"statusCode":404}`, string(body))
}

func streamFails(f function, _ meeting) {
	t := f.t
	_, err := f.InvokeStream(t.Context(), emulator.Invocation{RequestID: requestID, Event: do{Do: "fail"}})
	diff(t, "payload", `{"errorMessage":"boom","errorType":"errorString"}`, f.payloadOf(err))
	_, err = f.InvokeStream(t.Context(), emulator.Invocation{RequestID: requestID, Event: do{Do: "exit", Size: 1}})
	if payload := f.payloadOf(err); !strings.Contains(payload, "exit status 1") {
		t.Errorf("the payload is %s", payload)
	}
}

// cut reads a body that is cut off after text.
func cut(t *testing.T, f function, s *emulator.Stream, text string) string {
	t.Helper()
	body, err := io.ReadAll(s.Body)
	diff(t, "body", text, string(body))
	if err == nil {
		t.Fatal("the body ended as if it were complete")
	}
	return f.payloadOf(err)
}

func streamBreaks(f function, _ meeting) {
	t := f.t
	s := f.stream(t.Context(), do{Do: "broken reader"})
	diff(t, "payload", `{"errorMessage":"the source broke","errorType":"errorString"}`, cut(t, f, s, "the beginning"))
	diff(t, "invocations of the same process", 2, f.answer().Invocations)
}

func streamExits(f function, m meeting) {
	t := f.t
	s, p := opened(t.Context(), f, m)
	p.say("exit")
	diff(t, "payload", `{"errorMessage":"RequestId: `+requestID+` Error: Runtime exited with error: exit status 5","errorType":"Runtime.ExitError"}`,
		cut(t, f, s, ""))
}

func streamTimesOut(f function, m meeting) {
	t := f.t
	s, p := opened(t.Context(), f, m)
	diff(t, "payload", `{"errorMessage":"RequestId: `+requestID+` Error: Task timed out after 0.50 seconds","errorType":"Sandbox.Timedout"}`,
		cut(t, f, s, ""))
	p.dies()
}

func streamUnread(f function, _ meeting) {
	t := f.t
	s := f.stream(t.Context(), do{Do: "large", Size: 1 << 20})
	f.Wait()
	if payload := cut(t, f, s, ""); !strings.Contains(payload, "Sandbox.Timedout") {
		t.Errorf("the payload is %s", payload)
	}
}

func clientLeaves(f function, m meeting) {
	t := f.t
	s, p := opened(t.Context(), f, m)
	_ = s.Body.Close()
	p.say("data: 2\n\n") // the handler runs on
	p.say("data: 3\n\n")
	_ = p.Close()
	f.Wait()
	if log := f.log.wait(t, "END RequestId: "+requestID); strings.Contains(log, "Status:") {
		t.Errorf("the function failed:\n%s", log)
	}
}

func clientEnds(f function, m meeting) {
	t := f.t
	ctx, cancel := context.WithCancel(t.Context())
	s, p := opened(ctx, f, m)
	cancel()
	if _, err := io.ReadAll(s.Body); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	p.say("data: 2\n\n")
	_ = p.Close()
	f.Wait()

	waiting := make(chan error, 1)
	ctx, cancel = context.WithCancel(t.Context())
	go func() {
		_, err := f.InvokeStream(ctx, emulator.Invocation{Event: urlEvent(m)})
		waiting <- err
	}()
	p = m.next() // it has not begun to write
	cancel()
	if err := receive(t, "the caller", waiting); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	p.say("data: 1\n\n")
	_ = p.Close()
	f.Wait()
}

func streamClosed(f function, m meeting) {
	t := f.t
	s, p := opened(t.Context(), f, m)
	if err := f.Close(ended()); !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if _, err := io.ReadAll(s.Body); !errors.Is(err, runtimeapi.ErrClosed) {
		t.Errorf("the error is %v", err)
	}
	p.dies()
}

// A handler that streams can be invoked for a buffered result.
func streamBuffered(f function, m meeting) {
	t := f.t
	go func() {
		p := m.next()
		p.say("data: 1\n\n")
		_ = p.Close()
	}()
	diff(t, "payload", prelude+"data: 1\n\n", f.must(urlEvent(m)))
}

func streamLarge(f function, _ meeting) {
	t := f.t
	s := f.stream(t.Context(), do{Do: "large", Size: 2 * emulator.MaxPayloadBytes})
	n, err := io.Copy(io.Discard, s.Body)
	if n != 2*emulator.MaxPayloadBytes || err != nil {
		t.Errorf("%d bytes, %v", n, err)
	}
}
