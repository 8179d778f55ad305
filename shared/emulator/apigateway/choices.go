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
)

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
