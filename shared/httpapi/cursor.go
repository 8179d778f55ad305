package httpapi

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"time"

	"github.com/google/uuid"

	"paylane/shared/order"
)

var errCursor = errors.New("not a cursor")

// cursorVersion is the first byte of every cursor, so that the form can change.
const cursorVersion = 1

const cursorBytes = 1 + 8 + 16 // version, milliseconds, UUID

// encodeCursor makes a position opaque. A cursor contains nothing else: not the tenant,
// which is always the caller's own.
func encodeCursor(p order.Position) (string, error) {
	id, err := uuid.Parse(p.ID)
	if err != nil {
		return "", err
	}
	raw := make([]byte, 0, cursorBytes)
	raw = append(raw, cursorVersion)
	raw = binary.BigEndian.AppendUint64(raw, uint64(p.CreatedAt.UnixMilli()))
	raw = append(raw, id[:]...)
	return base64.RawURLEncoding.EncodeToString(raw), nil
}

// decodeCursor accepts only what encodeCursor returns.
func decodeCursor(text string) (order.Position, error) {
	// The length matters because the decoder ignores line breaks.
	if len(text) != base64.RawURLEncoding.EncodedLen(cursorBytes) {
		return order.Position{}, errCursor
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(raw) != cursorBytes || raw[0] != cursorVersion {
		return order.Position{}, errCursor
	}
	ms := binary.BigEndian.Uint64(raw[1:9])
	const year10000 = 253_402_300_800_000
	if ms >= year10000 {
		return order.Position{}, errCursor
	}
	return order.Position{
		CreatedAt: time.UnixMilli(int64(ms)).UTC(),
		ID:        uuid.UUID(raw[9:]).String(),
	}, nil
}
