package runtimeapi_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/runtimeapi"
)

// TestConformance has the rows C01 to C09 of docs/emulation.md, each on real
// processes of a program built on aws-lambda-go. The parts of D03 and D04 that are about
// the runtime are in stream_test.go.
func TestConformance(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name   string
		change func(*runtimeapi.Config)
		run    func(f function, m meeting)
	}{
		{"C01 a returned error", nil, c01},
		{"C02 a panic", nil, c02},
		{"C03 a panic in a goroutine", nil, c03("panic in a goroutine", 0, "Runtime exited with error: exit status 2")},
		{"C03 exit status 0", nil, c03("exit", 0, "Runtime exited without providing a reason")},
		{"C03 exit status 1", nil, c03("exit", 1, "Runtime exited with error: exit status 1")},
		{"C04 timeout", timeout(time.Second), c04},
		{"C05 two at once", nil, c05},
		{"C06 chunked, with trailers, no mode", nil, c06},
		{"C07 environment", configured, c07},
		{"C08 one byte too many", nil, c08},
		{"C09 SIGTERM callback", mode("sigterm", ""), c09Callback},
		{"C09 SIGTERM callback at a timeout", func(c *runtimeapi.Config) {
			mode("sigterm", "")(c)
			timeout(500 * time.Millisecond)(c)
		}, c09Timeout},
		{"C09 without an extension", mode("SIGTERM without an extension", ""), c09Kill},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			row.run(start(t, row.change), meet(t))
		})
	}
}

func c01(f function, _ meeting) {
	t := f.t
	before := f.answer()
	diff(t, "payload", `{"errorMessage":"boom","errorType":"errorString"}`, f.fails(do{Do: "fail"}))
	diff(t, "the process after", answer{PID: before.PID, Invocations: 3}, f.answer())
}

func c02(f function, _ meeting) {
	t := f.t
	before := f.answer()
	payload := decode[struct {
		ErrorMessage, ErrorType string
		StackTrace              []struct{ Path, Label string }
	}](t, f.fails(do{Do: "panic"}))
	diff(t, "error", []string{"oh", "string"}, []string{payload.ErrorMessage, payload.ErrorType})
	if !strings.Contains(fmt.Sprint(payload.StackTrace), "{function/main.go handle}") {
		t.Errorf("the stack is %v", payload.StackTrace)
	}
	after := f.answer()
	if after.PID == before.PID || after.Invocations != 1 {
		t.Errorf("before %+v, after %+v", before, after)
	}
}

func c03(what string, status int, want string) func(function, meeting) {
	return func(f function, _ meeting) {
		t := f.t
		before := f.answer()
		diff(t, "payload", `{"errorMessage":"RequestId: `+requestID+` Error: `+want+`","errorType":"Runtime.ExitError"}`,
			f.fails(do{Do: what, Size: status}))
		if after := f.answer(); after.PID == before.PID || after.Invocations != 1 {
			t.Errorf("before %+v, after %+v", before, after)
		}
	}
}

func c04(f function, m meeting) {
	t := f.t
	begin := time.Now()
	diff(t, "payload", `{"errorMessage":"RequestId: `+requestID+` Error: Task timed out after 1.00 seconds","errorType":"Sandbox.Timedout"}`,
		f.fails(do{Do: "sleep", Address: m.address()}))
	if took := time.Since(begin); took < time.Second {
		t.Errorf("it took %s", took)
	}
	m.next().dies()
	diff(t, "invocations of the next process", 1, f.answer().Invocations)
}

func c05(f function, m meeting) {
	t := f.t
	f.answer() // one process already exists
	one, two := f.later(do{Do: "meet", Address: m.address()}), f.later(do{Do: "meet", Address: m.address()})
	a, b := m.next(), m.next() // both at work at the same time
	a.say("done")
	b.say("done")
	for _, done := range []<-chan error{one, two} {
		if err := receive(t, "an invocation's end", done); err != nil {
			t.Error(err)
		}
	}
	diff(t, "processes", 2, f.Idle())
}

func c06(f function, _ meeting) {
	t := f.t
	// aws-lambda-go exits unless it is answered with 202.
	diff(t, "result", `from a reader`, f.must(do{Do: "reader"}))
	diff(t, "invocations of the same process", 2, f.answer().Invocations)
	diff(t, "error in the trailers", `{"errorMessage":"the source broke","errorType":"errorString"}`,
		f.fails(do{Do: "broken reader"}))
	diff(t, "invocations of the same process", 4, f.answer().Invocations)
}

func configured(c *runtimeapi.Config) {
	c.MemoryMB, c.Timeout, c.Handler = 512, 7*time.Second, "my.handler"
	c.Credentials = runtimeapi.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "secret", SessionToken: "token"}
	c.Environment = map[string]string{"TABLE": "t=1", "TZ": "Europe/Berlin", "AWS_ENDPOINT_URL": "http://127.0.0.1:4566"}
	c.Now = func() time.Time { return time.Now().Add(-24 * time.Hour) }
}

func c07(f function, _ meeting) {
	t := f.t
	begin := time.Now()
	result, err := f.Invoke(t.Context(), emulator.Invocation{
		RequestID: requestID, TraceID: "Root=1-2-3;Sampled=1", Event: do{Do: "describe"},
	})
	if err != nil {
		t.Fatal(err)
	}
	payload, _ := result.Payload()
	seen := decode[map[string]any](t, string(payload))
	var environment []string
	for _, variable := range seen["environment"].([]any) {
		environment = append(environment, variable.(string))
	}
	slices.Sort(environment)
	folder := filepath.Dir(program)
	stream := time.Now().UTC().Add(-24*time.Hour).Format("2006/01/02") + `/[$LATEST]`
	for i, variable := range environment {
		variable = regexp.MustCompile(`^(AWS_LAMBDA_RUNTIME_API=127\.0\.0\.1:)\d+$`).ReplaceAllString(variable, "${1}PORT")
		if name, hash, ok := strings.Cut(variable, stream); ok && regexp.MustCompile(`^[0-9a-f]{32}$`).MatchString(hash) {
			variable = name + "STREAM"
		}
		environment[i] = variable
	}
	diff(t, "environment", []string{
		"AWS_ACCESS_KEY_ID=AKIA", "AWS_DEFAULT_REGION=eu-central-1", "AWS_ENDPOINT_URL=http://127.0.0.1:4566",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512", "AWS_LAMBDA_FUNCTION_NAME=f", "AWS_LAMBDA_FUNCTION_VERSION=$LATEST",
		"AWS_LAMBDA_INITIALIZATION_TYPE=on-demand", "AWS_LAMBDA_LOG_GROUP_NAME=/aws/lambda/f", "AWS_LAMBDA_LOG_STREAM_NAME=STREAM",
		"AWS_LAMBDA_RUNTIME_API=127.0.0.1:PORT", "AWS_REGION=eu-central-1", "AWS_SECRET_ACCESS_KEY=secret", "AWS_SESSION_TOKEN=token",
		"AWS_XRAY_CONTEXT_MISSING=LOG_ERROR", "AWS_XRAY_DAEMON_ADDRESS=127.0.0.1:2000", "LAMBDA_RUNTIME_DIR=/var/runtime",
		"LAMBDA_TASK_ROOT=" + folder, "LANG=en_US.UTF-8",
		"LD_LIBRARY_PATH=/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:" + folder + ":" + folder + "/lib:/opt/lib",
		"PATH=/usr/local/bin:/usr/bin/:/bin:/opt/bin", "TABLE=t=1", "TZ=Europe/Berlin",
		"_AWS_XRAY_DAEMON_ADDRESS=127.0.0.1", "_AWS_XRAY_DAEMON_PORT=2000", "_HANDLER=my.handler",
		"_X_AMZN_TRACE_ID=Root=1-2-3;Sampled=1", // aws-lambda-go's, per invocation
	}, environment)
	deadline := time.UnixMilli(int64(seen["deadline"].(float64)))
	if left := deadline.Sub(begin.Add(-24 * time.Hour)); left < 7*time.Second || left > 7*time.Second+patience {
		t.Errorf("the deadline is %s away", left)
	}
	delete(seen, "environment")
	delete(seen, "deadline")
	diff(t, "what the handler sees", map[string]any{
		"folder": folder, "requestId": requestID, "arn": arn, "trace": "Root=1-2-3;Sampled=1",
		"function": "f", "memory": 512.0, "version": "$LATEST", "logGroup": "/aws/lambda/f",
	}, seen)
}

func c08(f function, _ meeting) {
	t := f.t
	largest := f.must(do{Do: "large", Size: emulator.MaxPayloadBytes})
	diff(t, "the largest result", emulator.MaxPayloadBytes, len(largest))
	if !json.Valid([]byte(largest)) {
		t.Error("the largest result is cut")
	}
	diff(t, "payload", `{"errorMessage":"Response payload size exceeded maximum allowed payload size (6291556 bytes).","errorType":"Function.ResponseSizeTooLarge"}`,
		f.fails(do{Do: "large", Size: emulator.MaxPayloadBytes + 1}))
	diff(t, "invocations of the next process", 1, f.answer().Invocations) // aws-lambda-go exits on 413
}

func c09Callback(f function, m meeting) {
	t := f.t
	idle := f.later(do{Do: "meet", Address: m.address()})
	p := m.next()
	p.say("done")
	if err := receive(t, "the invocation's end", idle); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	f.close()
	if took := time.Since(begin); took < 400*time.Millisecond { // the callback does not end the process
		t.Errorf("it was ended after %s", took)
	}
	p.dies()
	f.log.wait(t, "the SIGTERM callback ran\n")
}

func c09Timeout(f function, m meeting) {
	t := f.t
	done := f.later(do{Do: "sleep", Address: m.address()})
	p := m.next()
	if payload := f.payloadOf(receive(t, "the invocation's end", done)); !strings.Contains(payload, "Sandbox.Timedout") {
		t.Errorf("the payload is %s", payload)
	}
	f.log.wait(t, "the SIGTERM callback ran\n")
	p.dies()
}

func c09Kill(f function, m meeting) {
	t := f.t
	idle := f.later(do{Do: "meet", Address: m.address()})
	p := m.next()
	p.say("done")
	if err := receive(t, "the invocation's end", idle); err != nil {
		t.Fatal(err)
	}
	f.close()
	p.dies()
	if log := f.log.String(); strings.Contains(log, "SIGTERM") {
		t.Errorf("it got a SIGTERM:\n%s", log)
	}
}
