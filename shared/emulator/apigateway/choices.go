package apigateway

import "net/http"

// Choices where AWS's documentation is silent and observations disagree or are
// missing. Each is decided here and nowhere else.
const (
	// An empty segment matches a variable: / matches /{x} and /{x+}, /a/ matches
	// /a/{x+}. AWS's own Lambda test tool does so, and architect/architect #981 saw
	// it on AWS.
	emptySegmentMatches = true

	// A throttled function: 503 is the usual claim; REST APIs have been seen to
	// answer 500.
	throttledStatus = http.StatusServiceUnavailable

	// A request line and headers of more than 10,240 bytes: 431 or 414.
	headersTooLargeStatus = http.StatusRequestHeaderFieldsTooLarge
)
