// Package partial reads a function's partial batch response: which records of a batch it
// reports as failed ("Implementing partial batch responses" in the Lambda developer guide,
// the same for queues and for streams).
package partial

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
)

// ErrBatch reports a response that fails the whole batch.
var ErrBatch = errors.New("the whole batch fails")

// Reported returns the identifiers in a response, unchecked: an identifier that is missing
// or not a string is empty. If the response is malformed the error wraps [ErrBatch].
func Reported(result emulator.Result) ([]string, error) {
	var ids []string
	switch v := result.Value.(type) {
	case *events.SQSEventResponse:
		for _, f := range v.BatchItemFailures {
			ids = append(ids, f.ItemIdentifier)
		}
		return ids, nil
	case *events.DynamoDBEventResponse:
		for _, f := range v.BatchItemFailures {
			ids = append(ids, f.ItemIdentifier)
		}
		return ids, nil
	}
	payload, err := result.Payload()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBatch, err)
	}
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 || string(payload) == "null" {
		return nil, nil
	}
	// Maps, because names of fields are exact in JSON and Go's structs are not.
	var response map[string]json.RawMessage
	if err := json.Unmarshal(payload, &response); err != nil {
		return nil, fmt.Errorf("%w: the response is not a JSON object", ErrBatch)
	}
	list := response["batchItemFailures"]
	if list == nil {
		return nil, nil
	}
	var failures []map[string]any
	if err := json.Unmarshal(list, &failures); err != nil {
		return nil, fmt.Errorf("%w: batchItemFailures is not a list of objects", ErrBatch)
	}
	for _, f := range failures {
		id, _ := f["itemIdentifier"].(string)
		ids = append(ids, id)
	}
	return ids, nil
}
