package runtimeapi_test

import (
	"regexp"
	"strings"
	"testing"

	"paylane/shared/emulator"
)

const (
	nextPath     = "/2018-06-01/runtime/invocation/next"
	responsePath = "/2018-06-01/runtime/invocation/{id}/response"
	errorPath    = "/2018-06-01/runtime/invocation/{id}/error"
	initPath     = "/2018-06-01/runtime/init/error"
	registerPath = "/2020-01-01/extension/register"
	eventPath    = "/2020-01-01/extension/event/next"
)

// call lets a process in the mode "raw" call its Runtime API.
func (p process) call(method, path, header, body string) string {
	p.t.Helper()
	p.say(strings.Join([]string{method, path, header, body}, " "))
	return p.hear()
}

// TestProtocol: the answers to a runtime that does not follow the protocol.
func TestProtocol(t *testing.T) {
	t.Parallel()
	refused := func(from, to string) string {
		return `403 {"errorMessage":"State transition from ` + from + ` to ` + to +
			` failed for runtime. Error: State transition is not allowed","errorType":"InvalidStateTransition"}`
	}
	const (
		ok        = `202 {"status":"OK"}`
		unknownID = `400 {"errorMessage":"Invalid request ID","errorType":"InvalidRequestID"}`
		wrongID   = "/2018-06-01/runtime/invocation/another/response"
		name      = "Lambda-Extension-Name:x"
	)
	m := meet(t)
	f := start(t, mode("raw", m.address()))
	done := f.later(do{Text: "the event"})
	p := m.next()
	steps := []struct{ name, method, path, header, body, want string }{
		{"result before next", "POST", wrongID, "", "1", unknownID},
		{"no such call", "GET", "/2018-06-01/runtime/other", "", "", "404 404 page not found"},
		{"extension without a name", "POST", registerPath, "", `{"events":null}`,
			`403 {"errorMessage":"Empty extension name","errorType":"Extension.InvalidExtensionName"}`},
		{"extension that is not JSON", "POST", registerPath, name, `events`,
			`403 {"errorMessage":"invalid character 'e' looking for beginning of value","errorType":"InvalidRequestFormat"}`},
		{"extension that wants events", "POST", registerPath, name, `{"events":["INVOKE"]}`,
			`403 {"errorMessage":"INVOKE: events are not supported","errorType":"Extension.InvalidEventType"}`},
		{"event for no extension", "GET", eventPath, "", "",
			`403 {"errorMessage":"Unknown extension ","errorType":"Extension.UnknownExtensionIdentifier"}`},
		{"extension", "POST", registerPath, name, `{"events":[]}`,
			`200 {"functionName":"f","functionVersion":"$LATEST","handler":"bootstrap"}`},
		{"event for another extension", "GET", eventPath, "Lambda-Extension-Identifier:x", "",
			`403 {"errorMessage":"Unknown extension x","errorType":"Extension.UnknownExtensionIdentifier"}`},
		{"next", "GET", nextPath, "", "", `200 {"Do":"","Text":"the event","Address":"","Size":0}`},
		{"next again", "GET", nextPath, "", "", `200 {"Do":"","Text":"the event","Address":"","Size":0}`},
		{"its headers", "HEADERS", nextPath, "", "", "Content-Length=50 Content-Type=application/json " +
			"Lambda-Runtime-Aws-Request-Id=" + requestID + " Lambda-Runtime-Deadline-Ms=MS " +
			"Lambda-Runtime-Invoked-Function-Arn=" + arn + " Lambda-Runtime-Trace-Id=Root=1-TRACE"},
		{"extension after init", "POST", registerPath, name, `{"events":[]}`,
			`403 {"errorMessage":"Extension registration closed already","errorType":"Extension.RegistrationClosed"}`},
		{"init error after init", "POST", initPath, "", "{}", refused("Running", "InitError")},
		{"wrong id", "POST", wrongID, "", "1", unknownID},
		{"unknown mode", "POST", responsePath, "Lambda-Runtime-Function-Response-Mode:other", "1",
			`400 {"errorMessage":"Invalid function response mode","errorType":"InvalidFunctionResponseMode"}`},
		{"cut off", "CUT", responsePath, "", "1", `400 {"errorMessage":"HTTP request detected as truncated","errorType":"TruncatedHTTPRequest"}`},
		{"result", "POST", responsePath, "Lambda-Runtime-Function-Response-Mode:streaming", "the result", ok},
		{"second result", "POST", responsePath, "", "2", refused("RuntimeResponseSentState", "InvocationResponse")},
		{"error after result", "POST", errorPath, "", "{}", refused("RuntimeResponseSentState", "InvocationErrorResponse")},
	}
	for _, step := range steps {
		got := p.call(step.method, step.path, step.header, step.body)
		got = regexp.MustCompile(`(Deadline-Ms=)\d{13} `).ReplaceAllString(got, "${1}MS ")
		got = regexp.MustCompile(`(Root=1-)[0-9a-f]{8}-[0-9a-f]{24}$`).ReplaceAllString(got, "${1}TRACE")
		diff(t, step.name, step.want, got)
	}
	if len(done) > 0 {
		t.Error("the invocation ended before the function asked for the next")
	}
	p.say("GET " + nextPath + "  ") // not answered yet
	if err := receive(t, "the invocation's end", done); err != nil {
		t.Fatal(err)
	}
	again := f.later(do{Text: "two"})
	diff(t, "next", `200 {"Do":"","Text":"two","Address":"","Size":0}`, p.hear())
	diff(t, "error", ok, p.call("POST", errorPath, "", "not JSON"))
	p.say("GET " + nextPath + "  ")
	diff(t, "payload", "not JSON", f.payloadOf(receive(t, "the invocation's end", again)))
	for _, path := range []string{responsePath, errorPath} {
		again := f.later(do{Text: "three"})
		diff(t, "next", `200 {"Do":"","Text":"three","Address":"","Size":0}`, p.hear())
		diff(t, "too large", `413 {"errorMessage":"Exceeded maximum allowed payload size (6291556 bytes).","errorType":"RequestEntityTooLarge"}`,
			p.call("LARGE", path, "", "6291557"))
		p.say("GET " + nextPath + "  ")
		if payload := f.payloadOf(receive(t, "the invocation's end", again)); !strings.Contains(payload, "Function.ResponseSizeTooLarge") {
			t.Errorf("the payload is %s", payload)
		}
	}
}

// What was posted counts, even if the function never asks for another invocation.
func TestPostedThenGone(t *testing.T) {
	t.Parallel()
	rows := []struct {
		name string
		end  func(p process)
	}{
		{"exit", func(p process) { _ = p.Close() }}, // ends speak
		{"timeout", func(p process) { p.dies() }},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := meet(t)
			f := start(t, mode("raw", m.address()), timeout(500e6))
			result := make(chan emulator.Result, 1)
			go func() {
				r, err := f.Invoke(t.Context(), emulator.Invocation{Event: do{}})
				if err != nil {
					t.Error(err)
				}
				result <- r
			}()
			p := m.next()
			p.call("GET", nextPath, "", "")
			p.call("POST", responsePath, "", "the result")
			row.end(p)
			payload, _ := receive(t, "the result", result).Payload()
			diff(t, "payload", "the result", string(payload))
		})
	}
}
