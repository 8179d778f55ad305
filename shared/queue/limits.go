package queue

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Queues that are not SQS refuse what it refuses, with its codes and texts (API reference, "Errors"
// of each action). These return nil for what SQS takes.

func invalid(format string, args ...any) *RequestError {
	return &RequestError{Code: "InvalidParameterValue", Message: fmt.Sprintf(format, args...)}
}

// CheckBody checks the body of a message against the queue's maximum; reason introduces the text about its size, which
// SQS words differently for a message alone and in a batch.
func CheckBody(body string, maxBytes int, reason string) *RequestError {
	switch {
	case body == "":
		return &RequestError{Code: "MissingParameter", Message: "The request must contain the parameter MessageBody."}
	case len(body) > maxBytes:
		return invalid("%s Reason: Message must be shorter than %d bytes.", reason, maxBytes)
	case strings.ContainsFunc(body, unsendable) || !utf8.ValidString(body):
		return &RequestError{
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

// CheckDelay checks the delay of a message.
func CheckDelay(delay time.Duration) *RequestError {
	if delay < 0 || delay > MaxDelay || delay%time.Second != 0 {
		return invalid("Value %v for parameter DelaySeconds is invalid. Reason: DelaySeconds must be >= 0 and <= 900.",
			delay.Seconds())
	}
	return nil
}

// CheckVisibility checks a visibility timeout.
func CheckVisibility(timeout time.Duration) *RequestError {
	if timeout < 0 || timeout > MaxVisibility || timeout%time.Second != 0 {
		return invalid("Value %v for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.",
			timeout.Seconds())
	}
	return nil
}

// CheckReceive checks what is asked of a receive.
func CheckReceive(r ReceiveRequest) *RequestError {
	switch {
	case r.Max < 1 || r.Max > MaxBatch:
		return invalid("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", r.Max)
	case r.Wait < 0 || r.Wait > MaxReceiveWait:
		return invalid("Value %v for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.",
			r.Wait.Seconds())
	}
	return CheckVisibility(r.Visibility)
}

// namespace begins the codes of refused batches.
const namespace = "AWS.SimpleQueueService."

// CheckEntries checks the number of entries in a batch.
func CheckEntries(n int) *RequestError {
	if n > MaxBatch {
		return &RequestError{
			Code:    namespace + "TooManyEntriesInBatchRequest",
			Message: fmt.Sprintf("Maximum number of entries per request are %d. You have sent %d.", MaxBatch, n),
		}
	}
	return nil
}

// CheckBatch checks a batch as a whole.
func CheckBatch(entries []SendEntry) *RequestError {
	if len(entries) == 0 {
		return &RequestError{
			Code:    namespace + "EmptyBatchRequest",
			Message: "There should be at least one SendMessageBatchRequestEntry in the request.",
		}
	}
	if refusal := CheckEntries(len(entries)); refusal != nil {
		return refusal
	}
	total := 0
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		if !validEntryID(e.ID) {
			return &RequestError{
				Code: namespace + "InvalidBatchEntryId",
				Message: "A batch entry id can only contain alphanumeric characters, hyphens and underscores. " +
					"It can be at most 80 letters long.",
			}
		}
		if seen[e.ID] {
			return &RequestError{
				Code: namespace + "BatchEntryIdsNotDistinct", Message: fmt.Sprintf("Id %s repeated.", e.ID),
			}
		}
		seen[e.ID] = true
		total += len(e.Body)
	}
	if total > MaxBodyBytes {
		return &RequestError{
			Code: namespace + "BatchRequestTooLong",
			Message: fmt.Sprintf("Batch requests cannot be longer than %d bytes. You have sent %d bytes.",
				MaxBodyBytes, total),
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
	return len(id) >= 1 && len(id) <= MaxBatchIDBytes
}
