// Package id makes the identifiers that AWS gives to requests, in AWS's formats,
// from a source of randomness that a simulation can replace.
package id

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"time"
)

// UUID makes a random UUID (RFC 9562, version 4), as Lambda's request ids are. The
// source must not fail.
func UUID(random io.Reader) string {
	var b [16]byte
	fill(random, b[:])
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	var text [36]byte
	hex.Encode(text[0:8], b[0:4])
	text[8] = '-'
	hex.Encode(text[9:13], b[4:6])
	text[13] = '-'
	hex.Encode(text[14:18], b[6:8])
	text[18] = '-'
	hex.Encode(text[19:23], b[8:10])
	text[23] = '-'
	hex.Encode(text[24:36], b[10:16])
	return string(text[:])
}

// Trace makes the root of an X-Ray trace: "Root=1-", the seconds since 1970, and 96
// random bits ("Tracing header" in the X-Ray developer guide).
func Trace(random io.Reader, now time.Time) string {
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

// Gateway makes an id like those of API Gateway's HTTP APIs: 16 characters of base64
// that end in "=".
func Gateway(random io.Reader) string {
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
