package streamsource_test

import (
	"context"
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"pgregory.net/rapid"

	"paylane/shared/emulator"
	"paylane/shared/emulator/streamsource"
	"paylane/shared/emulator/template"
	"paylane/shared/feed"
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

// eventOf returns the event that a mapping makes of records.
func eventOf(t interface{ Fatal(args ...any) }, records ...feed.Record) (wire []byte, typed *events.DynamoDBEvent) {
	s := newStream()
	s.split("", "s")
	s.add(records...)
	ctx, cancel := context.WithCancel(context.Background())
	c := capture{stop: cancel}
	poller, err := streamsource.New(streamsource.Config{
		Mapping: enabled(mapping{}), Table: template.Table{StreamARN: streamARN}, Stream: s, Invoker: &c,
	})
	if err != nil {
		t.Fatal(err)
	}
	poller.Run(ctx)
	wire, err = c.event.JSON()
	if err != nil {
		t.Fatal(err)
	}
	return wire, c.event.Typed().(*events.DynamoDBEvent)
}

// The event as JSON, byte for byte.
func TestEventOnTheWire(t *testing.T) {
	created := events.SecondsEpochTime{Time: time.UnixMilli(1783711145678)}
	text := events.NewStringAttribute
	wire, typed := eventOf(t, feed.Record{
		EventID: "f07f8ca4b0b26cb9c4e5e77e69f274ee", EventName: feed.Modify,
		Change: events.DynamoDBStreamRecord{
			ApproximateCreationDateTime: created,
			Keys:                        map[string]events.DynamoDBAttributeValue{"pk": text("local/<1>")},
			NewImage: map[string]events.DynamoDBAttributeValue{
				"pk": text("local/<1>"), "n": events.NewNumberAttribute("1.50"), "b": events.NewBinaryAttribute([]byte{0, 255}),
				"l": events.NewListAttribute([]events.DynamoDBAttributeValue{events.NewNullAttribute(), events.NewBooleanAttribute(false)}),
				"m": events.NewMapAttribute(map[string]events.DynamoDBAttributeValue{
					"ss": events.NewStringSetAttribute([]string{"a"}), "ns": events.NewNumberSetAttribute([]string{"1"}),
					"bs": events.NewBinarySetAttribute([][]byte{{1}}),
				}),
			},
			OldImage:       map[string]events.DynamoDBAttributeValue{"pk": text("local/<1>")},
			SequenceNumber: "4421584500000000017450439091", SizeBytes: 112, StreamViewType: "NEW_AND_OLD_IMAGES",
		},
	}, feed.Record{
		EventID: "2", EventName: feed.Remove, UserIdentity: &events.DynamoDBUserIdentity{Type: "Service", PrincipalID: "dynamodb.amazonaws.com"},
		Change: events.DynamoDBStreamRecord{
			Keys:           map[string]events.DynamoDBAttributeValue{"pk": text("2")},
			SequenceNumber: "4421584500000000017450439092", SizeBytes: 3, StreamViewType: "KEYS_ONLY",
		},
	})
	const want = `{"Records":[{"eventID":"f07f8ca4b0b26cb9c4e5e77e69f274ee","eventName":"MODIFY","eventVersion":"1.1",` +
		`"eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":1783711145,` +
		`"Keys":{"pk":{"S":"local/<1>"}},"NewImage":{"b":{"B":"AP8="},"l":{"L":[{"NULL":true},{"BOOL":false}]},` +
		`"m":{"M":{"bs":{"BS":["AQ=="]},"ns":{"NS":["1"]},"ss":{"SS":["a"]}}},"n":{"N":"1.50"},"pk":{"S":"local/<1>"}},` +
		`"OldImage":{"pk":{"S":"local/<1>"}},"SequenceNumber":"4421584500000000017450439091","SizeBytes":112,` +
		`"StreamViewType":"NEW_AND_OLD_IMAGES"},"eventSourceARN":"` + streamARN + `"},` +
		`{"eventID":"2","eventName":"REMOVE","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1",` +
		`"userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"},` +
		`"dynamodb":{"Keys":{"pk":{"S":"2"}},"SequenceNumber":"4421584500000000017450439092","SizeBytes":3,` +
		`"StreamViewType":"KEYS_ONLY"},"eventSourceARN":"` + streamARN + `"}]}`
	diff(t, "event", want, string(wire))
	sameEvents(t, wire, typed)
}

// sameEvents checks that a typed handler and one behind JSON get the same event.
func sameEvents(t interface{ Fatalf(string, ...any) }, wire []byte, typed *events.DynamoDBEvent) {
	var decoded events.DynamoDBEvent
	if err := json.Unmarshal(wire, &decoded); err != nil {
		t.Fatalf("%v in %s", err, wire)
	}
	if !reflect.DeepEqual(*typed, decoded) {
		t.Fatalf("typed %+v\nJSON %+v", *typed, decoded)
	}
}

// The two agree whatever is written.
func TestModesAgree(t *testing.T) {
	text := rapid.Map(rapid.String(), events.NewStringAttribute)
	attribute := rapid.OneOf(text,
		rapid.Map(rapid.SliceOfN(rapid.Byte(), 1, -1), events.NewBinaryAttribute),
		rapid.Map(rapid.Int(), func(n int) events.DynamoDBAttributeValue { return events.NewNumberAttribute(time.Duration(n).String()) }),
		rapid.Map(rapid.SliceOfN(text, 1, 3), events.NewListAttribute),
		rapid.Map(rapid.MapOfN(rapid.String(), text, 1, 3), events.NewMapAttribute),
	)
	rapid.Check(t, func(t *rapid.T) {
		r := record("1", rapid.String().Draw(t, "key"), "")
		r.Change.ApproximateCreationDateTime.Time = time.UnixMilli(rapid.Int64Range(1000, 4e12).Draw(t, "created"))
		r.Change.NewImage = rapid.MapOfN(rapid.String(), attribute, 1, 4).Draw(t, "image")
		wire, typed := eventOf(t, r)
		sameEvents(t, wire, typed)
	})
}
