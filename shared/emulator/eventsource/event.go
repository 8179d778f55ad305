package eventsource

import (
	"crypto/md5" //nolint:gosec // SQS's hashes are MD5
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator/internal/aws"
)

// batchEvent is the event of a batch. It is aws-lambda-go's type, and what that can't
// say: whether there is a window, since a hash that is missing is absent without one
// and null with one.
type batchEvent struct {
	events.SQSEvent
	window bool
}

// Typed implements emulator.Event.
func (e *batchEvent) Typed() any { return &e.SQSEvent }

// newEvent makes the event of a batch ("Using Lambda with Amazon SQS").
func (p *Poller) newEvent(batch []Record) *batchEvent {
	e := &batchEvent{window: p.mapping.Window > 0}
	e.Records = make([]events.SQSMessage, len(batch))
	for i, r := range batch {
		e.Records[i] = events.SQSMessage{
			MessageId:              r.MessageID,
			ReceiptHandle:          r.ReceiptHandle,
			Body:                   aws.ValidText(r.Body),
			Attributes:             r.Attributes,
			MessageAttributes:      eventAttributes(r.MessageAttributes),
			Md5OfMessageAttributes: attributesMD5(r.MessageAttributes),
			Md5OfBody:              hash([]byte(r.Body)),
			EventSource:            "aws:sqs",
			EventSourceARN:         p.queue.ARN,
			AWSRegion:              p.region,
		}
	}
	return e
}

func eventAttributes(attributes map[string]Attribute) map[string]events.SQSMessageAttribute {
	made := make(map[string]events.SQSMessageAttribute, len(attributes))
	for name, a := range attributes {
		attribute := events.SQSMessageAttribute{
			DataType: a.DataType, StringListValues: []string{}, BinaryListValues: [][]byte{},
		}
		if a.isBinary() {
			attribute.BinaryValue = a.Binary
		} else {
			value := aws.ValidText(a.String)
			attribute.StringValue = &value
		}
		made[name] = attribute
	}
	return made
}

func (a Attribute) isBinary() bool { return strings.HasPrefix(a.DataType, "Binary") }

func hash(b []byte) string {
	sum := md5.Sum(b) //nolint:gosec // SQS's hashes are MD5
	return hex.EncodeToString(sum[:])
}

// attributesMD5 is the hash of a message's attributes as SQS makes it ("Calculating
// the MD5 message digest for message attributes"): in the order of their names, of
// each the name, the type and the value, with lengths before them. Without
// attributes it is empty.
func attributesMD5(attributes map[string]Attribute) string {
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
		if a.isBinary() {
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

// weight is about what a record adds to the event as JSON, and never less.
func (r Record) weight() int {
	const keys = 512 // the names of a record's fields, its hashes, source and region
	size := keys + len(r.MessageID) + len(r.ReceiptHandle) + encodedLength(r.Body)
	for name, value := range r.Attributes {
		size += len(name) + len(value) + len(`"":"",`)
	}
	for name, a := range r.MessageAttributes {
		const empty = 100 // the names of an attribute's fields and the empty lists
		size += empty + encodedLength(name) + len(a.DataType) + encodedLength(a.String) + len(a.Binary)*4/3 + 4
	}
	return size
}

// encodedLength is the length of a text in JSON, without its quotes.
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
