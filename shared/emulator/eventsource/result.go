package eventsource

import (
	"fmt"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/partial"
	"paylane/shared/queue"
)

// failedOf returns the ids of the records that a function reports as failed
// ("Implementing partial batch responses"). A response that is malformed, or names a
// record that is not in the batch, fails the batch as a whole: the error wraps
// [partial.ErrBatch].
func failedOf(result emulator.Result, batch []queue.Message) (map[string]bool, error) {
	reported, err := partial.Reported(result)
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
			return nil, fmt.Errorf("%w: it reports %q, which is not in the batch", partial.ErrBatch, id)
		}
		failed[id] = true
	}
	return failed, nil
}
