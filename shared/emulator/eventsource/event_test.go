package eventsource_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
	"paylane/shared/queue"
)

// capture is an invoker that keeps the event and ends the poller.
type capture struct {
	event emulator.Event
	stop  context.CancelFunc
}

func (c *capture) Invoke(_ context.Context, i emulator.Invocation) (emulator.Result, error) {
	c.event = i.Event
	c.stop()
	return emulator.Result{}, nil
}

// eventOf returns the event that a mapping makes of a message.
func eventOf(t interface{ Fatal(args ...any) }, window time.Duration, r queue.Message) (wire string, typed events.SQSEvent) {
	ctx, cancel := context.WithCancel(context.Background())
	c := capture{stop: cancel}
	poller, err := eventsource.New(eventsource.Config{
		Mapping: template.Mapping{Enabled: true, BatchSize: 1, Window: window},
		Queue:   template.Queue{ARN: "arn:aws:sqs:us-east-1:123456789012:q"},
		Source:  &source{records: []queue.Message{r}}, Invoker: &c,
	})
	if err != nil {
		t.Fatal(err)
	}
	poller.Run(ctx)
	b, err := c.event.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b), *c.event.Typed().(*events.SQSEvent)
}

// The event as JSON, byte for byte.
func TestEventOnTheWire(t *testing.T) {
	record := queue.Message{
		MessageID: "059f36b4-87a3-44ab-83d2-661975830a7d", ReceiptHandle: "AQEB", Body: `{"id":"<1>"}`,
		Attributes: map[string]string{"SentTimestamp": "1783711145123", "ApproximateReceiveCount": "1"},
		MessageAttributes: map[string]queue.Attribute{
			"kind": {DataType: "String", String: "order"},
		},
	}
	const before = `{"Records":[{"messageId":"059f36b4-87a3-44ab-83d2-661975830a7d","receiptHandle":"AQEB","body":"{\"id\":\"<1>\"}",` +
		`"attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1783711145123"},`
	const after = `"md5OfBody":"e4a91a15d71089d9f0d8774cf7f452ab","eventSource":"aws:sqs",` +
		`"eventSourceARN":"arn:aws:sqs:us-east-1:123456789012:q","awsRegion":"us-east-1"}]}`
	with := `"messageAttributes":{"kind":{"stringValue":"order","stringListValues":[],"binaryListValues":[],"dataType":"String"}},` +
		`"md5OfMessageAttributes":"8cc3ab13200b21b0d17b28c4d98ec74a",`
	binary := `"messageAttributes":{"b":{"binaryValue":"AP8=","stringListValues":[],"binaryListValues":[],"dataType":"Binary"}},` +
		`"md5OfMessageAttributes":"fd655a218bb089c0d7ecd08d9ccc9271",`
	rows := []struct {
		name       string
		window     time.Duration
		attributes map[string]queue.Attribute
		want       string
	}{
		{"text attribute", 0, record.MessageAttributes, with},
		{"text attribute, window", time.Second, record.MessageAttributes, with},
		{"binary attribute", 0, map[string]queue.Attribute{"b": {DataType: "Binary", Binary: []byte{0, 255}}}, binary},
		{"none", 0, nil, `"messageAttributes":{},`},
		{"none, window", time.Second, nil, `"messageAttributes":{},"md5OfMessageAttributes":null,`},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			record.MessageAttributes = row.attributes
			got, _ := eventOf(t, row.window, record)
			diff(t, "event", before+row.want+after, got)
		})
	}
}

// A vector that AWS's answers have been compared with (in the tests of moto and
// LocalStack).
func TestAttributesHash(t *testing.T) {
	_, e := eventOf(t, 0, queue.Message{MessageAttributes: map[string]queue.Attribute{
		"timestamp": {DataType: "Number", String: "1493147359900"},
	}})
	diff(t, "hash", "235c5c510d26fb653d073faed50ae77c", e.Records[0].Md5OfMessageAttributes)
}

// A typed handler and one behind JSON get the same event, whatever is sent.
func TestModesAgree(t *testing.T) {
	text := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }))
	attribute := rapid.Custom(func(t *rapid.T) queue.Attribute {
		if rapid.Bool().Draw(t, "binary") {
			return queue.Attribute{DataType: "Binary.x", Binary: rapid.SliceOfN(rapid.Byte(), 1, -1).Draw(t, "value")}
		}
		return queue.Attribute{DataType: "String", String: text.Draw(t, "value")}
	})
	rapid.Check(t, func(t *rapid.T) {
		wire, typed := eventOf(t, time.Duration(rapid.IntRange(0, 1).Draw(t, "window"))*time.Millisecond, queue.Message{
			MessageID: "id", ReceiptHandle: "handle", Body: text.Draw(t, "body"), Attributes: map[string]string{"SentTimestamp": "1"},
			MessageAttributes: rapid.MapOfN(rapid.StringMatching("[a-z]+"), attribute, 0, 3).Draw(t, "attributes"),
		})
		var decoded events.SQSEvent
		if err := json.Unmarshal([]byte(wire), &decoded); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(typed, decoded); d != "" {
			t.Fatalf("the events differ (-typed +JSON):\n%s", d)
		}
	})
}
