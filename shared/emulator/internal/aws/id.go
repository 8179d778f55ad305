// Package aws holds what the emulator's packages share: how AWS writes identifiers and
// JSON, which variables Lambda reserves, and the defaults of a configuration.
package aws

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	"github.com/google/uuid"
)

// UUID returns a random UUID (RFC 9562, version 4), as Lambda's request ids are. Like
// all functions here it panics if the source of randomness fails.
func UUID(random io.Reader) string {
	return uuid.Must(uuid.NewRandomFromReader(random)).String()
}

// TraceID returns the root of an X-Ray trace: "Root=1-", the seconds since 1970, and 96
// random bits ("Tracing header" in the X-Ray developer guide).
func TraceID(random io.Reader, now time.Time) string {
	var b [12]byte
	fill(random, b[:])
	const prefix = "Root=1-"
	var text [len(prefix) + 8 + 1 + 24]byte
	copy(text[:], prefix)
	seconds := uint32(now.Unix()) // AWS writes eight digits; they last until 2106
	at := len(prefix)
	hex.Encode(text[at:at+8], []byte{byte(seconds >> 24), byte(seconds >> 16), byte(seconds >> 8), byte(seconds)})
	text[at+8] = '-'
	hex.Encode(text[at+9:], b[:])
	return string(text[:])
}

// GatewayID returns an id like those of API Gateway's HTTP APIs: 16 characters of base64
// that end in "=".
func GatewayID(random io.Reader) string {
	var b [11]byte
	fill(random, b[:])
	var text [16]byte
	base64.URLEncoding.Encode(text[:], b[:])
	return string(text[:])
}

func fill(random io.Reader, b []byte) {
	if _, err := io.ReadFull(random, b); err != nil {
		panic(fmt.Sprintf("the source of randomness failed: %v", err))
	}
}
