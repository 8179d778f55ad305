package runtimeapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"paylane/shared/emulator"
)

// failure returns the error that a payload describes. The payload need not be JSON.
func failure(payload []byte) *emulator.FunctionError {
	var e fault
	_ = json.Unmarshal(payload, &e)
	return &emulator.FunctionError{Type: e.Type, Message: e.Message, Payload: payload}
}

// entrypointError returns Lambda's answer for a program that can't be started.
func entrypointError(requestID string, err error) *emulator.FunctionError {
	payload, _ := json.Marshal(fault{ // strings always encode
		Type: "Runtime.InvalidEntrypoint", Message: fmt.Sprintf("RequestId: %s Error: %s", requestID, err),
	})
	return failure(payload)
}

// trailerError returns the error that cut a result off, or nil. aws-lambda-go sends it in
// trailers, after a body that ends properly.
func trailerError(trailer http.Header) error {
	kind := trailer.Get("Lambda-Runtime-Function-Error-Type")
	if kind == "" {
		return nil
	}
	payload, err := base64.StdEncoding.DecodeString(trailer.Get("Lambda-Runtime-Function-Error-Body"))
	if err != nil || len(payload) == 0 {
		payload, _ = json.Marshal(fault{Type: kind})
	}
	return failure(payload)
}
