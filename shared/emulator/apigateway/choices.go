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

	// The issuer's keys can't be had: callers have seen 401, with the cause in the
	// challenge as if it were the token's fault.
	noKeysStatus = http.StatusUnauthorized

	// A request line and headers of more than 10,240 bytes: 431 or 414.
	headersTooLargeStatus = http.StatusRequestHeaderFieldsTooLarge

	// A rate and a burst of 0 refuse every request (seen on AWS:
	// hashicorp/terraform-provider-aws #14742, pulumi/pulumi-aws #2363). A rate of 0
	// alone does too, rather than serve one burst and then nothing.
	zeroRateRefusesAll = true
)

// throttled says whether a request is one too many for its route, and takes its token if
// it is not.
//
// Each route has a bucket of its own, also where only the stage's default limits it: so
// AWS documents it for REST APIs ("limits are applied at the API method level for a
// stage", api-gateway-request-throttling), and HTTP APIs have the same setting by route.
//
// The bucket comes before the authorizer, which is not asked about a request that is
// refused (AWS re:Post, "Client API throttling in API Gateway"): a flood of bad tokens
// costs no signature checks. A preflight counts for the route for OPTIONS, since that
// route's authorizer is asked too. What has no route has no bucket.
func throttled(r *route) bool { return r != nil && r.bucket != nil && !r.bucket.take() }
