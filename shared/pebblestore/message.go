package pebblestore

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc32"

	"github.com/google/uuid"

	"paylane/shared/queue"
)

// The schemas of a message, which is written in the oldest that holds it; see schemaFirst.
const (
	messageFirst  = 1
	messageTraced = 2 // with a trace header
)

// stateSchema is the only schema of a receive state so far.
const stateSchema = 1

// message is the content of a message; the index has the rest.
type message struct {
	id            uuid.UUID // random
	sent          stamp
	firstReceived stamp // 0 before the first receive
	// source is the ARN of the queue that the message was moved from by redrive.
	source string
	// trace is the trace header that the message was sent with.
	trace string
	body  string
}

// state is the receive state of a message.
type state struct {
	// visible is when the message may be received: the end of its delay or visibility
	// timeout, or any time in the past.
	visible stamp
	// received is when it was last received; 0 before the first receive.
	received      stamp
	firstReceived stamp
	count         uint32
}

// appendMessage encodes the part that is written once, with the state at that time.
func appendMessage(b []byte, m *message, s state) []byte {
	schema := byte(messageFirst)
	if m.trace != "" {
		schema = messageTraced
	}
	b = append(append(b, schema), m.id[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(m.sent))
	b = appendStateFields(b, s)
	b = appendText(b, m.source)
	if m.trace != "" {
		b = appendText(b, m.trace)
	}
	return append(b, m.body...)
}

func appendState(b []byte, s state) []byte {
	return appendStateFields(append(b, stateSchema), s)
}

func appendStateFields(b []byte, s state) []byte {
	b = binary.BigEndian.AppendUint64(b, uint64(s.visible))
	b = binary.BigEndian.AppendUint64(b, uint64(s.received))
	b = binary.BigEndian.AppendUint64(b, uint64(s.firstReceived))
	return binary.BigEndian.AppendUint32(b, s.count)
}

const (
	stateBytes   = 1 + 8 + 8 + 8 + 4
	messageBytes = stateBytes + 16 + 8 // and the texts
)

func checkSchema(record []byte, newest byte, atLeast int) error {
	switch {
	case len(record) < 1 || record[0] == 0:
		return errRecord
	case record[0] > newest:
		return fmt.Errorf("the record has schema %d and this build reads up to %d: it was written by a newer build",
			record[0], newest)
	case len(record) < atLeast:
		return errRecord
	}
	return nil
}

// decodeSent reads what appendMessage wrote, except the texts, which it returns encoded and
// uncopied.
func decodeSent(record []byte) (m message, s state, rest []byte, err error) {
	if err := checkSchema(record, messageTraced, messageBytes); err != nil {
		return message{}, state{}, nil, err
	}
	copy(m.id[:], record[1:])
	m.sent = stamp(binary.BigEndian.Uint64(record[17:]))
	return m, decodeStateFields(record[25:]), record[messageBytes:], nil
}

// decodeMessage reads what appendMessage wrote.
func decodeMessage(record []byte) (message, state, error) {
	m, s, rest, err := decodeSent(record)
	if err != nil {
		return message{}, state{}, err
	}
	source, rest, ok := cutText(rest)
	if ok && record[0] == messageTraced {
		m.trace, rest, ok = cutText(rest)
	}
	if !ok {
		return message{}, state{}, errRecord
	}
	m.source, m.body, m.firstReceived = source, string(rest), s.firstReceived
	return m, s, nil
}

func decodeState(record []byte) (state, error) {
	if err := checkSchema(record, stateSchema, stateBytes); err != nil {
		return state{}, err
	}
	return decodeStateFields(record[1:]), nil
}

func decodeStateFields(b []byte) state {
	return state{
		visible:       stamp(binary.BigEndian.Uint64(b)),
		received:      stamp(binary.BigEndian.Uint64(b[8:])),
		firstReceived: stamp(binary.BigEndian.Uint64(b[16:])),
		count:         binary.BigEndian.Uint32(b[24:]),
	}
}

// handle is the content of a receipt handle: it names the count-th receive of a message.
// Message numbers are never reused, so handles survive restarts and never fit another
// message.
type handle struct {
	number uint64
	count  uint32
}

const (
	handleVersion = 1
	handleBytes   = 1 + 8 + 4 + 4
)

// encode returns the receipt handle for a queue. The checksum, which is not a secret, also
// covers the queue's name: it tells a handle from garbage and from another queue's.
func (h handle) encode(queueName string) string {
	b := append(make([]byte, 0, handleBytes), handleVersion)
	b = binary.BigEndian.AppendUint64(b, h.number)
	b = binary.BigEndian.AppendUint32(b, h.count)
	return base64.RawURLEncoding.EncodeToString(binary.BigEndian.AppendUint32(b, handleSum(b, queueName)))
}

func handleSum(b []byte, queueName string) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b), crc32.IEEETable, []byte(queueName))
}

// parseHandle is the inverse of encode; the error is [queue.ErrReceiptHandle].
func parseHandle(text, queueName string) (handle, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != handleBytes || b[0] != handleVersion {
		return handle{}, queue.ErrReceiptHandle
	}
	if sum := b[handleBytes-4:]; binary.BigEndian.Uint32(sum) != handleSum(b[:handleBytes-4], queueName) {
		return handle{}, queue.ErrReceiptHandle
	}
	return handle{number: binary.BigEndian.Uint64(b[1:]), count: binary.BigEndian.Uint32(b[9:])}, nil
}
