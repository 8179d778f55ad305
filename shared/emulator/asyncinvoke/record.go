package asyncinvoke

import (
	"encoding/json"
	"net/http"
	"strings"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
)

// The conditions of a record: how an invocation ended.
const (
	success          = "Success"
	retriesExhausted = "RetriesExhausted"
	ageExceeded      = "EventAgeExceeded"
	zeroConcurrency  = "ZeroReservedConcurrency"
)

// version is what runs locally; nothing is published.
const version = "$LATEST"

// record is what a destination receives ("Capturing records of Lambda asynchronous
// invocations" in the Lambda developer guide). The response is absent if the function
// never ran.
type record struct {
	Version        string          `json:"version"`
	Timestamp      string          `json:"timestamp"`
	RequestContext requestContext  `json:"requestContext"`
	RequestPayload json.RawMessage `json:"requestPayload"`
	*response
}

type requestContext struct {
	RequestID   string `json:"requestId"`
	FunctionARN string `json:"functionArn"`
	Condition   string `json:"condition"`
	Invokes     int    `json:"approximateInvokeCount"`
}

// response is what the function returned last.
type response struct {
	Context responseContext `json:"responseContext"`
	// Payload is absent if the function did not return JSON.
	Payload json.RawMessage `json:"responsePayload,omitempty"`
}

type responseContext struct {
	StatusCode    int    `json:"statusCode"`
	Version       string `json:"executedVersion"`
	FunctionError string `json:"functionError,omitempty"`
}

func (i *Invoker) success(r emulator.Result) *response {
	payload, err := r.Payload()
	if err != nil {
		i.config.Logger.WarnContext(i.ctx, "the function's result can't be encoded as JSON", "function", i.config.Function.LogicalID, "error", err)
	}
	return &response{responseContext{http.StatusOK, version, ""}, ifJSON(payload)}
}

func failure(e *emulator.FunctionError) *response {
	return &response{responseContext{http.StatusOK, version, "Unhandled"}, ifJSON(e.Payload)}
}

func ifJSON(payload []byte) json.RawMessage {
	if !json.Valid(payload) {
		return nil
	}
	return payload
}

// record writes the record of an event that ended now.
func (i *Invoker) record(e *pending, condition string) string {
	const milliseconds = "2006-01-02T15:04:05.000Z"
	arn := i.config.Function.ARN
	if strings.Count(arn, ":") == 6 { // without an alias
		arn += ":" + version
	}
	body, err := aws.JSON(record{
		Version:        "1.0",
		Timestamp:      i.config.Now().UTC().Format(milliseconds),
		RequestContext: requestContext{e.RequestID, arn, condition, e.invokes},
		RequestPayload: e.payload,
		response:       e.response,
	})
	if err != nil {
		panic(err) // strings, numbers and valid JSON always encode
	}
	return string(body)
}
