package pebblestore

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"paylane/shared/queue"
)

// The refusals have SQS's own codes and texts (API reference, "Errors" of each action).

func invalid(format string, args ...any) *queue.RequestError {
	return &queue.RequestError{Code: "InvalidParameterValue", Message: fmt.Sprintf(format, args...)}
}

// checkBody checks the body of a message; reason introduces the text about its size, which
// SQS words differently for a message alone and in a batch.
func (q *Queue) checkBody(body, reason string) *queue.RequestError {
	switch {
	case body == "":
		return &queue.RequestError{Code: "MissingParameter", Message: "The request must contain the parameter MessageBody."}
	case len(body) > q.config.MaxMessageBytes:
		return invalid("%s Reason: Message must be shorter than %d bytes.", reason, q.config.MaxMessageBytes)
	case strings.ContainsFunc(body, unsendable) || !utf8.ValidString(body):
		return &queue.RequestError{
			Code:    "InvalidMessageContents",
			Message: "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
		}
	}
	return nil
}

// unsendable reports whether SQS refuses a character, as it does those that XML 1.0 can't
// carry.
func unsendable(r rune) bool {
	switch r {
	case '\t', '\n', '\r':
		return false
	}
	return r < ' ' || r == 0xFFFE || r == 0xFFFF
}

func checkDelay(delay time.Duration) *queue.RequestError {
	if delay < 0 || delay > queue.MaxDelay || delay%time.Second != 0 {
		return invalid("Value %v for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
			delay.Seconds())
	}
	return nil
}

func checkVisibility(timeout time.Duration) *queue.RequestError {
	if timeout < 0 || timeout > queue.MaxVisibility || timeout%time.Second != 0 {
		return invalid("Value %v for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.",
			timeout.Seconds())
	}
	return nil
}

func checkReceive(r queue.ReceiveRequest) *queue.RequestError {
	switch {
	case r.Max < 1 || r.Max > queue.MaxBatch:
		return invalid("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", r.Max)
	case r.Wait < 0 || r.Wait > queue.MaxReceiveWait:
		return invalid("Value %v for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.",
			r.Wait.Seconds())
	}
	return checkVisibility(r.Visibility)
}

// namespace begins the codes of refused batches.
const namespace = "AWS.SimpleQueueService."

// checkEntries checks the number of entries in a batch.
func checkEntries(n int) *queue.RequestError {
	if n > queue.MaxBatch {
		return &queue.RequestError{
			Code:    namespace + "TooManyEntriesInBatchRequest",
			Message: fmt.Sprintf("Maximum number of entries per request are %d. You have sent %d.", queue.MaxBatch, n),
		}
	}
	return nil
}

// checkBatch checks a batch as a whole.
func checkBatch(entries []queue.SendEntry) *queue.RequestError {
	if len(entries) == 0 {
		return &queue.RequestError{
			Code:    namespace + "EmptyBatchRequest",
			Message: "There should be at least one SendMessageBatchRequestEntry in the request.",
		}
	}
	if refusal := checkEntries(len(entries)); refusal != nil {
		return refusal
	}
	total := 0
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		if !validEntryID(e.ID) {
			return &queue.RequestError{
				Code: namespace + "InvalidBatchEntryId",
				Message: "A batch entry id can only contain alphanumeric characters, hyphens and underscores. " +
					"It can be at most 80 letters long.",
			}
		}
		if seen[e.ID] {
			return &queue.RequestError{
				Code: namespace + "BatchEntryIdsNotDistinct", Message: fmt.Sprintf("Id %s repeated.", e.ID),
			}
		}
		seen[e.ID] = true
		total += len(e.Body)
	}
	if total > queue.MaxBodyBytes {
		return &queue.RequestError{
			Code: namespace + "BatchRequestTooLong",
			Message: fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.",
				queue.MaxBodyBytes, total),
		}
	}
	return nil
}

func validEntryID(id string) bool {
	for _, c := range []byte(id) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return false
		}
	}
	return len(id) >= 1 && len(id) <= queue.MaxBatchIDBytes
}

// check checks the settings against SQS's limits (API reference, CreateQueue).
func (c QueueConfig) check() error {
	within := func(name string, v, low, high time.Duration) error {
		if v < low || v > high {
			return fmt.Errorf("%s is %v and must be %v to %v", name, v, low, high)
		}
		return nil
	}
	switch {
	case c.Name == "":
		return fmt.Errorf("a queue needs a name")
	case c.MaxMessageBytes < 1024 || c.MaxMessageBytes > queue.MaxBodyBytes:
		return fmt.Errorf("MaxMessageBytes is %d and must be 1024 to %d", c.MaxMessageBytes, queue.MaxBodyBytes)
	case (c.DeadLetterQueue != "") != (c.MaxReceiveCount != 0):
		return fmt.Errorf("DeadLetterQueue and MaxReceiveCount need each other")
	case c.MaxReceiveCount < 0 || c.MaxReceiveCount > 1000:
		return fmt.Errorf("MaxReceiveCount is %d and must be 1 to 1000", c.MaxReceiveCount)
	}
	for _, err := range []error{
		within("VisibilityTimeout", c.VisibilityTimeout, 0, queue.MaxVisibility),
		within("Retention", c.Retention, time.Minute, 14*24*time.Hour),
		within("Delay", c.Delay, 0, queue.MaxDelay),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
