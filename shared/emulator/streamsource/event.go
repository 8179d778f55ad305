package streamsource

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator/internal/aws"
	"paylane/shared/feed"
)

// item is a record as the function gets it.
type item struct {
	feed.Record
	wire    []byte    // the record as JSON
	created time.Time // as exactly as the stream knows it
	done    bool      // guarded by the shard's mu
}

// newItem completes a record. It is done already if no filter of the mapping matches it.
func (p *Poller) newItem(r feed.Record) *item {
	it := &item{Record: r, created: r.Change.ApproximateCreationDateTime.Time}
	it.EventVersion, it.EventSource, it.EventSourceArn, it.AWSRegion = "1.1", "aws:dynamodb", p.table.StreamARN, p.region
	var seconds int64
	if !it.created.IsZero() {
		seconds = it.created.Unix()
		it.Change.ApproximateCreationDateTime.Time = time.Unix(seconds, 0)
	}
	it.wire = wireOf(it.Record, seconds)
	it.done = !p.matches(it.wire)
	return it
}

// matches reports whether one of the mapping's filters matches a record, if it has any.
func (p *Poller) matches(wire []byte) bool {
	if len(p.filters) == 0 {
		return true
	}
	var seen map[string]any
	if err := json.Unmarshal(wire, &seen); err != nil {
		panic(err) // it was encoded here
	}
	for _, f := range p.filters {
		if f.Match(seen) {
			return true
		}
	}
	return false
}

// wireRecord is a record as Lambda writes it, in Lambda's order.
type wireRecord struct {
	EventID        string                       `json:"eventID"`
	EventName      string                       `json:"eventName"`
	EventVersion   string                       `json:"eventVersion"`
	EventSource    string                       `json:"eventSource"`
	AWSRegion      string                       `json:"awsRegion"`
	UserIdentity   *events.DynamoDBUserIdentity `json:"userIdentity,omitempty"`
	Change         wireChange                   `json:"dynamodb"`
	EventSourceARN string                       `json:"eventSourceARN"`
}

type wireChange struct {
	Created        int64          `json:"ApproximateCreationDateTime,omitempty"`
	Keys           map[string]any `json:"Keys,omitempty"`
	NewImage       map[string]any `json:"NewImage,omitempty"`
	OldImage       map[string]any `json:"OldImage,omitempty"`
	SequenceNumber string         `json:"SequenceNumber"`
	SizeBytes      int64          `json:"SizeBytes"`
	StreamViewType string         `json:"StreamViewType"`
}

func wireOf(r feed.Record, created int64) []byte {
	wire, err := aws.JSON(wireRecord{
		EventID: r.EventID, EventName: r.EventName, EventVersion: r.EventVersion, EventSource: r.EventSource,
		AWSRegion: r.AWSRegion, UserIdentity: r.UserIdentity, EventSourceARN: r.EventSourceArn,
		Change: wireChange{
			Created: created, Keys: plainMap(r.Change.Keys), NewImage: plainMap(r.Change.NewImage), OldImage: plainMap(r.Change.OldImage),
			SequenceNumber: r.Change.SequenceNumber, SizeBytes: r.Change.SizeBytes, StreamViewType: r.Change.StreamViewType,
		},
	})
	if err != nil {
		panic(err) // strings, bytes, numbers and booleans always encode
	}
	return wire
}

// plainMap returns attributes in DynamoDB's JSON, as values of encoding/json. The method
// of events.DynamoDBAttributeValue escapes <, > and &, which AWS leaves as they are.
func plainMap(attributes map[string]events.DynamoDBAttributeValue) map[string]any {
	made := make(map[string]any, len(attributes))
	for name, value := range attributes {
		made[name] = plain(value)
	}
	return made
}

func plain(v events.DynamoDBAttributeValue) map[string]any {
	switch v.DataType() {
	case events.DataTypeBinary:
		return map[string]any{"B": v.Binary()}
	case events.DataTypeBoolean:
		return map[string]any{"BOOL": v.Boolean()}
	case events.DataTypeBinarySet:
		return map[string]any{"BS": v.BinarySet()}
	case events.DataTypeList:
		list := make([]any, len(v.List()))
		for i, element := range v.List() {
			list[i] = plain(element)
		}
		return map[string]any{"L": list}
	case events.DataTypeMap:
		return map[string]any{"M": plainMap(v.Map())}
	case events.DataTypeNumber:
		return map[string]any{"N": v.Number()}
	case events.DataTypeNumberSet:
		return map[string]any{"NS": v.NumberSet()}
	case events.DataTypeString:
		return map[string]any{"S": v.String()}
	case events.DataTypeStringSet:
		return map[string]any{"SS": v.StringSet()}
	case events.DataTypeNull:
	}
	return map[string]any{"NULL": true}
}

// batchEvent is the event of a batch ("Using AWS Lambda with Amazon DynamoDB").
type batchEvent struct {
	events.DynamoDBEvent
	wires [][]byte
}

func newEvent(items []*item) *batchEvent {
	e := &batchEvent{wires: make([][]byte, len(items))}
	e.Records = make([]feed.Record, len(items))
	for i, it := range items {
		e.Records[i], e.wires[i] = it.Record, it.wire
	}
	return e
}

// Typed implements emulator.Event.
func (e *batchEvent) Typed() any { return &e.DynamoDBEvent }

// JSON implements emulator.Event.
func (e *batchEvent) JSON() ([]byte, error) {
	var event bytes.Buffer
	event.WriteString(`{"Records":[`)
	event.Write(bytes.Join(e.wires, []byte(",")))
	event.WriteString(`]}`)
	return event.Bytes(), nil
}
