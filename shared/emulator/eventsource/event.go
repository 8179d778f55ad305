package eventsource

import (
	"crypto/md5" //nolint:gosec // SQS's hashes are MD5
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator/internal/aws"
	"paylane/shared/queue"
)

// batchEvent is the event of a batch: aws-lambda-go's type, and whether the mapping has a
// window, which that type can't hold. A hash that is missing is null with a window, and
// absent without one.
type batchEvent struct {
	events.SQSEvent
	window bool
}

// Typed implements emulator.Event.
func (e *batchEvent) Typed() any { return &e.SQSEvent }

// newEvent returns the event of a batch ("Using Lambda with Amazon SQS").
func (p *Poller) newEvent(batch []queue.Message) *batchEvent {
	e := &batchEvent{window: p.mapping.Window > 0}
	e.Records = make([]events.SQSMessage, len(batch))
	for i, m := range batch {
		e.Records[i] = events.SQSMessage{
			MessageId:              m.MessageID,
			ReceiptHandle:          m.ReceiptHandle,
			Body:                   aws.ValidText(m.Body),
			Attributes:             m.Attributes,
			MessageAttributes:      eventAttributes(m.MessageAttributes),
			Md5OfMessageAttributes: attributesMD5(m.MessageAttributes),
			Md5OfBody:              hash([]byte(m.Body)),
			EventSource:            "aws:sqs",
			EventSourceARN:         p.queue.ARN,
			AWSRegion:              p.region,
		}
	}
	return e
}

func eventAttributes(attributes map[string]queue.Attribute) map[string]events.SQSMessageAttribute {
	made := make(map[string]events.SQSMessageAttribute, len(attributes))
	for name, a := range attributes {
		attribute := events.SQSMessageAttribute{
			DataType: a.DataType, StringListValues: []string{}, BinaryListValues: [][]byte{},
		}
		if a.IsBinary() {
			attribute.BinaryValue = a.Binary
		} else {
			value := aws.ValidText(a.String)
			attribute.StringValue = &value
		}
		made[name] = attribute
	}
	return made
}

func hash(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // SQS's hashes are MD5
	return hex.EncodeToString(sum[:])
}

// attributesMD5 returns the hash of a message's attributes as SQS computes it
// ("Calculating the MD5 message digest for message attributes"): in the order of their
// names, the name, type and value of each, preceded by their lengths. Without attributes
// it is empty.
func attributesMD5(attributes map[string]queue.Attribute) string {
	if len(attributes) == 0 {
		return ""
	}
	const stringValue, binaryValue = 1, 2
	var b []byte
	part := func(s string) {
		b = binary.BigEndian.AppendUint32(b, uint32(len(s)))
		b = append(b, s...)
	}
	for _, name := range slices.Sorted(maps.Keys(attributes)) {
		a := attributes[name]
		part(name)
		part(a.DataType)
		if a.IsBinary() {
			b = append(b, binaryValue)
			part(string(a.Binary))
		} else {
			b = append(b, stringValue)
			part(a.String)
		}
	}
	return hash(b)
}

// wireRecord is a record as Lambda writes it, in Lambda's order.
type wireRecord struct {
	MessageID              string                                `json:"messageId"`
	ReceiptHandle          string                                `json:"receiptHandle"`
	Body                   string                                `json:"body"`
	Attributes             map[string]string                     `json:"attributes"`
	MessageAttributes      map[string]events.SQSMessageAttribute `json:"messageAttributes"`
	MD5OfMessageAttributes json.RawMessage                       `json:"md5OfMessageAttributes,omitempty"`
	MD5OfBody              string                                `json:"md5OfBody"`
	EventSource            string                                `json:"eventSource"`
	EventSourceARN         string                                `json:"eventSourceARN"`
	AWSRegion              string                                `json:"awsRegion"`
}

// JSON implements emulator.Event.
func (e *batchEvent) JSON() ([]byte, error) {
	var event struct{ Records []wireRecord }
	event.Records = make([]wireRecord, len(e.Records))
	for i, r := range e.Records {
		w := wireRecord{
			MessageID: r.MessageId, ReceiptHandle: r.ReceiptHandle, Body: r.Body, Attributes: r.Attributes,
			MessageAttributes: r.MessageAttributes, MD5OfBody: r.Md5OfBody,
			EventSource: r.EventSource, EventSourceARN: r.EventSourceARN, AWSRegion: r.AWSRegion,
		}
		switch {
		case r.Md5OfMessageAttributes != "":
			w.MD5OfMessageAttributes = json.RawMessage(`"` + r.Md5OfMessageAttributes + `"`)
		case e.window:
			w.MD5OfMessageAttributes = json.RawMessage("null")
		}
		event.Records[i] = w
	}
	encoded, err := aws.JSON(event)
	if err != nil {
		return nil, fmt.Errorf("encode the event: %w", err)
	}
	return encoded, nil
}

// weight returns about what a message adds to the event as JSON, and never less.
func weight(m queue.Message) int {
	const keys = 512 // the names of a record's fields, its hashes, source and region
	size := keys + len(m.MessageID) + len(m.ReceiptHandle) + encodedLength(m.Body)
	for name, value := range m.Attributes {
		size += len(name) + len(value) + len(`"":"",`)
	}
	for name, a := range m.MessageAttributes {
		const empty = 100 // the names of an attribute's fields and the empty lists
		size += empty + encodedLength(name) + len(a.DataType) + encodedLength(a.String) + len(a.Binary)*4/3 + 4
	}
	return size
}

// encodedLength returns at least the length of a text in JSON, without its quotes.
func encodedLength(s string) int {
	size := len(s)
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"', c == '\\', c == '\n', c == '\r', c == '\t', c == '\b', c == '\f':
			size++
		case c < 0x20:
			size += len(`\u0000`) - 1
		case c == 0xe2: // perhaps U+2028 or U+2029, which Go escapes
			size += len(`\u2028`) - 3
		case c >= 0x80:
			size += len("\ufffd") - 1 // what a byte that is not UTF-8 becomes
		}
	}
	return size
}
