// Package stream tells of an order's changes as they happen: GET /orders/{id}/events, as
// Server-Sent Events ("Server-sent events" in the HTML standard). [New] makes the
// http.Handler; it serves behind a Function URL that streams, which passes on each Write
// at once.
//
// A client gets the order as it stands, then each newer version:
//
//	retry: 1000
//
//	event: order
//	id: 2
//	data: {"id":"…","status":"PROCESSING", …, "version":2, …}
//
// The data is what GET /orders/{id} answers, and the id is its version. No version comes
// twice and none out of order; changes between two looks at the order show as the newest.
// In between a comment comes every 15 seconds, by which a client notices that its connection
// broke. This side notices only where a write can fail: behind a real Function URL none does,
// and a stream whose client has gone lasts until its end.
//
// The stream ends when the order does, and also after a while: a Lambda function has no
// more than 15 minutes, and an access token expires. A client then comes back by itself,
// and says in Last-Event-ID what it has; if that is how the order ended, the answer is 204,
// which the standard has a client take for the end.
package stream
