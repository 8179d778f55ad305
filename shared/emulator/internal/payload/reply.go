package payload

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
)

// Rules are where HTTP APIs and Function URLs differ in what they make of a result.
type Rules struct {
	CORS *CORS
	// ContentType is that of a response which names none.
	ContentType string
	// Owned are the response headers, in lower case, that a function does not decide.
	Owned []string
	// TextStatus says that a status code may be a text, as "418".
	TextStatus bool
}

// Reply is a function's result, read as an HTTP response.
type Reply struct {
	Status  int
	Headers map[string]string
	Cookies []string
	Body    string
}

// ErrReply says that a result has a status code but is no response otherwise.
var ErrReply = errors.New("the function's response does not fit")

// Reply reads a result by the rules of payload format 2.0.
func (r Rules) Reply(result emulator.Result) (Reply, error) {
	if v, ok := result.Value.(*events.APIGatewayV2HTTPResponse); ok {
		return checked(Reply{
			Status: v.StatusCode, Headers: validHeaders(v.Headers), Cookies: validTexts(v.Cookies), Body: aws.ValidText(v.Body),
		}, v.IsBase64Encoded)
	}
	payload, err := result.Payload()
	if err != nil {
		return Reply{}, err
	}
	return r.replyOfJSON(payload)
}

// replyOfJSON infers a response from anything that has no status code of its own.
func (r Rules) replyOfJSON(payload []byte) (Reply, error) {
	inferred := Reply{
		Status: http.StatusOK, Headers: map[string]string{"content-type": "application/json"}, Body: string(payload),
	}
	var quoted string
	if bytes.HasPrefix(bytes.TrimSpace(payload), []byte(`"`)) && json.Unmarshal(payload, &quoted) == nil {
		inferred.Body = quoted
		return inferred, nil
	}
	// Decoded into a map first: names of fields are exact in JSON, and Go's
	// structs are not.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil || fields["statusCode"] == nil {
		return inferred, nil //nolint:nilerr // what is no object is a body as it stands
	}
	if r.TextStatus {
		fields["statusCode"] = bytes.Trim(fields["statusCode"], `"`)
	}
	var answer Reply
	var encoded bool
	for name, target := range map[string]any{
		"statusCode": &answer.Status, "headers": &answer.Headers, "cookies": &answer.Cookies,
		"body": &answer.Body, "isBase64Encoded": &encoded,
	} {
		if raw := fields[name]; raw != nil && json.Unmarshal(raw, target) != nil {
			return Reply{}, ErrReply
		}
	}
	return checked(answer, encoded)
}

// checked undoes the body's encoding and refuses what can't be sent.
func checked(answer Reply, encoded bool) (Reply, error) {
	if !ValidStatus(answer.Status) {
		return Reply{}, ErrReply
	}
	if encoded {
		body, err := base64.StdEncoding.DecodeString(answer.Body)
		if err != nil {
			return Reply{}, ErrReply
		}
		answer.Body = string(body)
	}
	return answer, nil
}

// ValidStatus says whether a function may answer with a status. Informational ones
// can't end a response.
func ValidStatus(status int) bool { return status >= 200 && status <= 599 }

// SetHeaders gives a response the headers and cookies that a function may decide.
func (r Rules) SetHeaders(h http.Header, answer Reply) {
	hasType := false
	for name, value := range answer.Headers {
		lower := LowerName(name)
		if HopByHop(lower) || slices.Contains(r.Owned, lower) || r.CORS.Owns(lower) {
			continue
		}
		hasType = hasType || lower == "content-type"
		h[http.CanonicalHeaderKey(name)] = []string{value}
	}
	if !hasType {
		h["Content-Type"] = []string{r.ContentType}
	}
	for _, cookie := range answer.Cookies {
		h.Add("Set-Cookie", cookie)
	}
}

// WriteBody writes the status and the body, which net/http leaves out of the
// responses that have none.
func WriteBody(w http.ResponseWriter, status int, body string) {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // fails when the client has gone, which is no matter
}

// validHeaders and validTexts do to typed results what JSON would have done.
func validHeaders(headers map[string]string) map[string]string {
	for name, value := range headers {
		if aws.ValidText(name) != name || aws.ValidText(value) != value {
			valid := make(map[string]string, len(headers))
			for name, value := range headers {
				valid[aws.ValidText(name)] = aws.ValidText(value)
			}
			return valid
		}
	}
	return headers
}

func validTexts(texts []string) []string {
	if !slices.ContainsFunc(texts, func(t string) bool { return aws.ValidText(t) != t }) {
		return texts
	}
	valid := make([]string, len(texts))
	for i, t := range texts {
		valid[i] = aws.ValidText(t)
	}
	return valid
}
