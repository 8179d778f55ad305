package order_test

import (
	"bytes"
	"testing"

	"paylane/shared/order"
)

// TestScanQuery: a cursor is one of its segment, and the edges of what can be asked for.
func TestScanQuery(t *testing.T) {
	q := order.ScanQuery{Segment: 1, Segments: 3, Limit: 1}
	if key, err := q.Start(); key != nil || err != nil {
		t.Errorf("without a cursor: %q, %v", key, err)
	}
	q.Cursor = q.After([]byte("a key\x00"))
	if key, err := q.Start(); !bytes.Equal(key, []byte("a key\x00")) || err != nil {
		t.Errorf("with its cursor: %q, %v", key, err)
	}
	for name, change := range map[string]func(*order.ScanQuery){
		"cursor of another segment":       func(q *order.ScanQuery) { q.Segment = 2 },
		"cursor of another number":        func(q *order.ScanQuery) { q.Segments = 4 },
		"cursor without a key":            func(q *order.ScanQuery) { q.Cursor = q.After(nil) },
		"cursor that is garbled":          func(q *order.ScanQuery) { q.Cursor += "!" },
		"cursor that is none":             func(q *order.ScanQuery) { q.Cursor = "x" },
		"no limit":                        func(q *order.ScanQuery) { q.Limit = 0 },
		"no segments":                     func(q *order.ScanQuery) { q.Segment, q.Segments, q.Cursor = 0, 0, "" },
		"a segment before the first":      func(q *order.ScanQuery) { q.Segment, q.Cursor = -1, "" },
		"a segment after the last":        func(q *order.ScanQuery) { q.Segment, q.Cursor = 3, "" },
		"more segments than there may be": func(q *order.ScanQuery) { q.Segments, q.Cursor = order.MaxSegments+1, "" },
	} {
		bad := q
		change(&bad)
		if key, err := bad.Start(); err == nil {
			t.Errorf("%s: %q, and no error", name, key)
		}
	}
	most := order.ScanQuery{Segment: order.MaxSegments - 1, Segments: order.MaxSegments, Limit: 1}
	if _, err := most.Start(); err != nil {
		t.Errorf("the last of most segments: %v", err)
	}
}
