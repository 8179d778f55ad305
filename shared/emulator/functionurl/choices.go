package functionurl

import "net/http"

// What Lambda answers by itself. Recorded on AWS are the 502 and the 403; the bodies of
// the others are chosen.
const (
	failedBody    = "Internal Server Error"
	throttledBody = `{"message":"Rate Exceeded."}` // as Lambda's API says it
	tooLargeBody  = `{"message":"Request Entity Too Large"}`
	tooSlowBody   = `{"message":"Request Timeout"}`
	badBody       = `{"message":"Bad Request"}`
)

// account is what the event has for the caller's account where nobody logs in. The guide
// says that it is the owner's; this was seen on AWS.
const account = "anonymous"

// fail answers by itself.
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

// Unknown answers a request for a URL that is not there.
func Unknown(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
	answer(w, http.StatusForbidden, "application/json", `{"Message":null}`)
}
