package functionurl

import "net/http"

// Lambda's own answers. The 502 and the 403 have been recorded on AWS; the bodies of the
// others are chosen.
const (
	failedBody    = "Internal Server Error"
	throttledBody = `{"message":"Rate Exceeded."}` // as in Lambda's API
	tooLargeBody  = `{"message":"Request Entity Too Large"}`
	tooSlowBody   = `{"message":"Request Timeout"}`
	badBody       = `{"message":"Bad Request"}`
)

// account is the caller's account in the event of an unauthenticated request. The guide
// says that it is the owner's; this has been seen on AWS.
const account = "anonymous"

// fail responds with one of Lambda's own answers.
func fail(w http.ResponseWriter, status int) {
	contentType, body := "application/json", badBody
	switch status {
	case http.StatusBadGateway:
		contentType, body = "text/plain", failedBody
	case http.StatusTooManyRequests:
		body = throttledBody
	case http.StatusRequestEntityTooLarge:
		body = tooLargeBody
	case http.StatusRequestTimeout:
		body = tooSlowBody
	}
	answer(w, status, contentType, body)
}

// Unknown answers a request for a URL that does not exist.
func Unknown(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
	answer(w, http.StatusForbidden, "application/json", `{"Message":null}`)
}
