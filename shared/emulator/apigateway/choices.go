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

	// A body that does not come in time. What API Gateway says then is not known; this
	// is RFC 9110's word for it (15.5.9).
	bodyTooSlowStatus = http.StatusRequestTimeout

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

// hopByHop are the headers that belong to one connection (RFC 9110, 7.6.1). They are
// taken out of requests, as every gateway does, and out of functions' responses,
// where they would break the framing of this server's own. AWS renames some of them
// in responses of REST APIs.
//
//nolint:gochecknoglobals // a table, never written
var hopByHop = map[string]bool{
	"connection": true, "expect": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true,
}

// ownedByGateway are response headers that a function does not decide.
//
//nolint:gochecknoglobals // a table, never written
var ownedByGateway = map[string]bool{
	"apigw-requestid": true, "content-length": true, "date": true,
}

// isText says whether a body of this media type (in lower case, without parameters)
// goes into the event as text. That other JSON and XML types are not is a choice, as
// it is for any body with a Content-Encoding.
func isText(mediaType string) bool {
	switch mediaType {
	case "application/json", "application/xml", "application/javascript":
		return true
	}
	return len(mediaType) > 5 && mediaType[:5] == "text/"
}

// validStatus says whether a function may answer with a status. Informational ones
// can't end a response.
func validStatus(status int) bool { return status >= 200 && status <= 599 }
