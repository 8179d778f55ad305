package handlers_test

import (
	"encoding/json"
	"slices"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"paylane/shared/handlers"
)

// FuzzSQSEvent sends any JSON to the payment and deadletter functions, as Lambda
// would. Whatever decodes is answered without an error, and only with ids of the event's
// own records: Lambda treats any other id as a failure of the whole batch.
func FuzzSQSEvent(f *testing.F) {
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"Records": null}`))
	f.Add([]byte(`{"Records": [{"messageId": "a", "body": "", "attributes": {"SentTimestamp": "-1", "ApproximateReceiveCount": "x"}}]}`))
	f.Add([]byte(`{"Records": [{"messageId": "a", "body": "{\"version\":1,\"kind\":\"charge\",\"tenant\":\"t\",\"orderId\":\"` +
		sampleID + `\",\"round\":1}"}, {"messageId": "b", "receiptHandle": "?"}]}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		var event events.SQSEvent
		if json.Unmarshal(payload, &event) != nil || len(event.Records) > 10 {
			return // it never reaches a handler, or is more than a mapping sends
		}
		inBubble(t, func(t *testing.T, functions functions) {
			for _, handler := range []handlers.SQSHandler{functions.payment, functions.deadletter} {
				answer, err := lambda.NewHandler(handler).Invoke(t.Context(), payload)
				if err != nil {
					t.Fatal(err)
				}
				var response events.SQSEventResponse
				if err := json.Unmarshal(answer, &response); err != nil {
					t.Fatal(err)
				}
				for _, failure := range response.BatchItemFailures {
					if !slices.ContainsFunc(event.Records, func(r events.SQSMessage) bool { return r.MessageId == failure.ItemIdentifier }) {
						t.Errorf("the failure %q is not a record of %s", failure.ItemIdentifier, payload)
					}
				}
			}
		})
	})
}
