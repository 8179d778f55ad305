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

	// The issuer's keys can't be fetched: callers have seen 401, with the cause in the
	// challenge as if the token were at fault.
	noKeysStatus = http.StatusUnauthorized

	// A request line and headers of more than 10,240 bytes: 431 or 414.
	headersTooLargeStatus = http.StatusRequestHeaderFieldsTooLarge

	// A rate and a burst of 0 refuse every request (seen on AWS:
	// hashicorp/terraform-provider-aws #14742, pulumi/pulumi-aws #2363). A rate of 0
	// alone does too, rather than serve one burst and then nothing.
	zeroRateRefusesAll = true
)
