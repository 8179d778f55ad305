package order

import (
	"context"
	"encoding/base64"
	"fmt"
)

// MaxSegments is how many segments a scan may have.
const MaxSegments = 64

// Scanner is implemented by stores that can visit all orders of all tenants.
type Scanner interface {
	// Scan returns some of the orders of one segment, in no particular order, and never a
	// tombstone. Following Next until it is empty visits, over all segments of
	// q.Segments together, every order that existed from before the first call until
	// after the last at least once, whatever is written meanwhile. What it shows may
	// lag behind writes. Errors are those of every method of [Store]; a cursor of another
	// segment or number of segments is an error as well.
	Scan(ctx context.Context, q ScanQuery) (ScanPage, error)
}

// ScanQuery asks for a page of a segment.
type ScanQuery struct {
	// Segment is from 0 to Segments-1; Segments is 1 to [MaxSegments], the same for a
	// whole walk. Segments can be scanned side by side.
	Segment, Segments int
	// Cursor is Next of the previous page; empty starts the segment.
	Cursor string
	// Limit is how many orders to read at most, and at least 1. A page may have fewer, or
	// none, and still a Next.
	Limit int
}

// ScanPage is a page of a segment.
type ScanPage struct {
	Orders []Order
	// Next is where to continue, opaque and printable; empty at the end of the segment.
	Next string
}

// After returns the cursor of the place right after a record in the query's segment. What a
// key is, is up to the store.
func (q ScanQuery) After(key []byte) (cursor string) {
	return fmt.Sprintf("%d.%d.%s", q.Segment, q.Segments, base64.RawURLEncoding.EncodeToString(key))
}

// Start checks the query and returns the key that its cursor follows; nil starts the
// segment. The error says what is wrong, or that the cursor is another segment's.
func (q ScanQuery) Start() (key []byte, err error) {
	if q.Segments < 1 || q.Segments > MaxSegments || q.Segment < 0 || q.Segment >= q.Segments || q.Limit < 1 {
		return nil, fmt.Errorf("there is no segment %d of %d to read %d orders of", q.Segment, q.Segments, q.Limit)
	}
	if q.Cursor == "" {
		return nil, nil
	}
	var segment, segments int
	var encoded string
	_, err = fmt.Sscanf(q.Cursor, "%d.%d.%s", &segment, &segments, &encoded)
	key, bad := base64.RawURLEncoding.DecodeString(encoded)
	if err != nil || bad != nil || len(key) == 0 || segment != q.Segment || segments != q.Segments {
		return nil, fmt.Errorf("the cursor is not one of segment %d of %d", q.Segment, q.Segments)
	}
	return key, nil
}
