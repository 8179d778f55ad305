package runtimeapi

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"

	"paylane/shared/emulator"
)

// failure is the error that a payload describes; what is no JSON is still the payload.
func failure(payload []byte) *emulator.FunctionError {
	var e fault
	_ = json.Unmarshal(payload, &e)
	return &emulator.FunctionError{Type: e.Type, Message: e.Message, Payload: payload}
}

// entrypointError is what Lambda answers when the program can't be started.
func entrypointError(requestID string, err error) *emulator.FunctionError {
	payload, _ := json.Marshal(fault{ // two texts can't fail to encode
		Type: "Runtime.InvalidEntrypoint", Message: fmt.Sprintf("RequestId: %s Error: %s", requestID, err),
	})
	return failure(payload)
}

// trailerError is the error that cut a result off, or nil. aws-lambda-go says it in
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
