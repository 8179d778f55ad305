package eventsource

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/queue"
)

// errBatch reports a response that fails the whole batch.
var errBatch = errors.New("the whole batch fails")

// failedOf returns the ids of the records that a function reports as failed
// ("Implementing partial batch responses"). A response that is malformed, or names a
// record that is not in the batch, fails the batch as a whole: the error wraps errBatch.
func failedOf(result emulator.Result, batch []queue.Message) (map[string]bool, error) {
	reported, err := reportedBy(result)
	if err != nil || len(reported) == 0 {
		return nil, err
	}
	known := make(map[string]bool, len(batch))
	for _, r := range batch {
		known[r.MessageID] = true
	}
	failed := make(map[string]bool, len(reported))
	for _, id := range reported {
		if !known[id] { // an empty one never is
			return nil, fmt.Errorf("%w: it reports %q, which is not in the batch", errBatch, id)
		}
		failed[id] = true
	}
	return failed, nil
}

// reportedBy returns the identifiers in a response, unchecked.
func reportedBy(result emulator.Result) ([]string, error) {
	if v, ok := result.Value.(*events.SQSEventResponse); ok {
		var ids []string
		for _, f := range v.BatchItemFailures {
			ids = append(ids, f.ItemIdentifier)
		}
		return ids, nil
	}
	payload, err := result.Payload()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errBatch, err)
	}
	payload = bytes.TrimSpace(payload)
	if len(payload) == 0 || string(payload) == "null" {
		return nil, nil
	}
	// Maps, because names of fields are exact in JSON and Go's structs are not.
	var response map[string]json.RawMessage
	if err := json.Unmarshal(payload, &response); err != nil {
		return nil, fmt.Errorf("%w: the response is not a JSON object", errBatch)
	}
	list := response["batchItemFailures"]
	if list == nil {
		return nil, nil
	}
	var failures []map[string]any
	if err := json.Unmarshal(list, &failures); err != nil {
		return nil, fmt.Errorf("%w: batchItemFailures is not a list of objects", errBatch)
	}
	ids := make([]string, len(failures))
	for i, f := range failures {
		ids[i], _ = f["itemIdentifier"].(string)
	}
	return ids, nil
}
