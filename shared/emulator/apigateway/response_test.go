package apigateway_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"paylane/shared/emulator"
	"paylane/shared/emulator/apigateway"
)

// payloads is an invoker whose function sends any bytes, as a child process can.
type payloads string

func (p payloads) Invoke(context.Context, emulator.Invocation) (emulator.Result, error) {
	return emulator.PayloadResult([]byte(p)), nil
}

func TestPayloads(t *testing.T) {
	const internal = `{"message":"Internal Server Error"}`
	rows := []struct {
		name, payload string
		status        int
		contentType   string
		body          string
	}{
		{"text", `"hello"`, 200, "application/json", "hello"},
		{"text after a blank", ` "he\u006clo"`, 200, "application/json", "hello"},
		{"number", `12`, 200, "application/json", "12"},
		{"list", `[1, 2]`, 200, "application/json", "[1, 2]"},
		{"null", `null`, 200, "application/json", "null"},
		{"nothing", ``, 200, "application/json", ""},
		{"not JSON", `{"name": "John", "age":`, 200, "application/json", `{"name": "John", "age":`},
		{"headers without a status", `{"headers":{"x-a":"1"},"body":"x"}`, 200, "application/json", `{"headers":{"x-a":"1"},"body":"x"}`},
		{"status in another case", `{"StatusCode":404}`, 200, "application/json", `{"StatusCode":404}`},
		{"status only", `{"statusCode":404}`, 404, "text/plain; charset=utf-8", ""},
		{"nulls", `{"statusCode":201,"headers":null,"multiValueHeaders":null,"body":null,"cookies":null}`, 201, "text/plain; charset=utf-8", ""},
		{"header in any case", `{"statusCode":200,"headers":{"CONTENT-type":"a/b"},"body":"x"}`, 200, "a/b", "x"},
		{"status 0", `{"statusCode":0,"body":"x"}`, 500, "application/json", internal},
		{"status null", `{"statusCode":null}`, 500, "application/json", internal},
		{"status as text", `{"statusCode":"200"}`, 500, "application/json", internal},
		{"status that ends nothing", `{"statusCode":100}`, 500, "application/json", internal},
		{"status of six hundred", `{"statusCode":600}`, 500, "application/json", internal},
		{"body that is not a string", `{"statusCode":200,"body":{"a":1}}`, 500, "application/json", internal},
		{"header that is not a string", `{"statusCode":200,"headers":{"a":1}}`, 500, "application/json", internal},
		{"cookies that are not a list", `{"statusCode":200,"cookies":"a=1"}`, 500, "application/json", internal},
		{"broken base64", `{"statusCode":200,"body":"%%%","isBase64Encoded":true}`, 500, "application/json", internal},
		{"base64 of text", `{"statusCode":200,"body":"aGk=","isBase64Encoded":true,"headers":{"content-type":"text/plain"}}`, 200, "text/plain", "hi"},
		{"error status", `{"statusCode":503,"body":"busy"}`, 503, "text/plain; charset=utf-8", "busy"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			parsed := api{routes: []string{""}}.template(t)
			g, err := apigateway.New(parsed.APIs[0], apigateway.Options{
				Functions: map[string]emulator.Invoker{"F": payloads(row.payload)},
			})
			if err != nil {
				t.Fatal(err)
			}
			got := record(g, "GET", "/")
			diff(t, "answer", []any{row.status, row.contentType, row.body}, []any{got.status, got.header.Get("Content-Type"), got.body})
		})
	}
}

// Responses that the server frames, over a real connection.
func TestResponsesOnTheWire(t *testing.T) {
	rows := []struct {
		name     string
		raw      string
		response response
		check    func(t *testing.T, got answer)
	}{
		{"HEAD has the headers and no body", "HEAD / HTTP/1.1\r\nHost: api.test\r\n\r\n",
			response{StatusCode: 200, Body: "hello"}, func(t *testing.T, got answer) {
				diff(t, "answer", []any{200, "5", ""}, []any{got.status, got.header.Get("Content-Length"), got.body})
			}},
		{"204 has no body", get("/"), response{StatusCode: 204, Body: "hello"}, func(t *testing.T, got answer) {
			diff(t, "answer", []any{204, "", ""}, []any{got.status, got.header.Get("Content-Length"), got.body})
		}},
		{"304 has no body", get("/"), response{StatusCode: 304, Headers: map[string]string{"ETag": `"1"`}}, func(t *testing.T, got answer) {
			diff(t, "answer", []any{304, `"1"`, ""}, []any{got.status, got.header.Get("Etag"), got.body})
		}},
		{"the length and the connection are the gateway's", get("/"), response{StatusCode: 200, Body: "hello", Headers: map[string]string{
			"Content-Length": "3", "Transfer-Encoding": "chunked", "Connection": "close", "Trailer": "X-T", "Date": "x", "Apigw-Requestid": "x",
		}}, func(t *testing.T, got answer) {
			diff(t, "answer", []any{200, "5", "hello"}, []any{got.status, got.header.Get("Content-Length"), got.body})
			if got.header.Get("Date") == "x" || got.header.Get("Apigw-Requestid") == "x" || got.header.Get("Connection") != "" {
				t.Errorf("the headers are %v", got.header)
			}
		}},
		{"always added", get("/"), response{StatusCode: 200}, func(t *testing.T, got answer) {
			if len(got.header.Get("Apigw-Requestid")) != 16 || got.header.Get("Date") == "" || got.header.Get("Content-Length") != "0" {
				t.Errorf("the headers are %v", got.header)
			}
		}},
		{"bytes that are not UTF-8", get("/"), response{StatusCode: 200, Body: "a\xffb", Headers: map[string]string{"X-A": "\xff"}},
			func(t *testing.T, got answer) {
				diff(t, "answer", []any{"a�b", "�"}, []any{got.body, got.header.Get("X-A")})
			}},
		{"a large body", get("/"), response{StatusCode: 200, Body: strings.Repeat("x", 2<<20)}, func(t *testing.T, got answer) {
			diff(t, "length", 2<<20, len(got.body))
		}},
	}
	for _, row := range rows {
		for _, m := range modes {
			t.Run(row.name+" "+m.name, func(t *testing.T) {
				handler := func(context.Context, request) (response, error) { return row.response, nil }
				row.check(t, send(t, api{routes: []string{""}}.serve(t, m, handler, apigateway.Options{}), row.raw))
			})
		}
	}
}

func TestThrottledFunction(t *testing.T) {
	none := 0
	parsed := api{routes: []string{""}}.template(t)
	g, err := apigateway.New(parsed.APIs[0], apigateway.Options{Functions: map[string]emulator.Invoker{
		"F": emulator.NewInProcess(echo, emulator.Config{ReservedConcurrency: &none}),
	}})
	if err != nil {
		t.Fatal(err)
	}
	got := record(g, "GET", "/")
	diff(t, "answer", []any{503, `{"message":"Service Unavailable"}`}, []any{got.status, got.body})
}

// FuzzPayload checks that the gateway answers whatever a function sends, and the rule that
// decides whether a result is a response.
func FuzzPayload(f *testing.F) {
	for _, seed := range []string{`"a"`, `{}`, `{"statusCode":200}`, `{"statusCode":200,"headers":{"a":"b"},"cookies":["c"],"body":"ZA==","isBase64Encoded":true}`} {
		f.Add([]byte(seed))
	}
	parsed := api{routes: []string{""}}.template(f)
	f.Fuzz(func(t *testing.T, payload []byte) {
		g, err := apigateway.New(parsed.APIs[0], apigateway.Options{
			Functions: map[string]emulator.Invoker{"F": payloads(payload)},
		})
		if err != nil {
			t.Fatal(err)
		}
		got := record(g, "GET", "/")
		var fields map[string]json.RawMessage
		if json.Unmarshal(payload, &fields) != nil || fields["statusCode"] == nil {
			if got.status != 200 || got.header.Get("Content-Type") != "application/json" {
				t.Errorf("status %d, %v", got.status, got.header)
			}
			return
		}
		if got.status < 200 || got.status > 599 || got.header.Get("Content-Type") == "" {
			t.Errorf("status %d, %v", got.status, got.header)
		}
	})
}
