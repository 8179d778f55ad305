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
	"strings"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/aws"
)

// Rules are the differences between HTTP APIs and function URLs in reading a result.
type Rules struct {
	CORS *CORS
	// ContentType is the default of a response.
	ContentType string
	// Owned are the response headers, in lower case, that a function can't set.
	Owned []string
	// TextStatus reports whether a status code may be a string, such as "418".
	TextStatus bool
}

// Reply is a function's result, read as an HTTP response.
type Reply struct {
	Status  int
	Headers map[string]string
	Cookies []string
	Body    string
}

// ErrReply is the error of a result that has a status code but is not a response.
var ErrReply = errors.New("the function's result is not a valid response")

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
	// It is decoded into a map since case matters in the names of fields, and Go ignores
	// it for structs.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil || fields["statusCode"] == nil {
		return inferred, nil //nolint:nilerr // anything but an object is a body as it is
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

// checked decodes the body and refuses what can't be sent.
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

// ValidStatus reports whether a function may respond with a status. Informational ones
// can't end a response.
func ValidStatus(status int) bool { return status >= 200 && status <= 599 }

// SetHeaders sets the headers and cookies that a function may decide.
func (r Rules) SetHeaders(h http.Header, answer Reply) {
	hasType := false
	for name, value := range answer.Headers {
		lower := strings.ToLower(name)
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

// WriteBody writes the status and the body, which net/http omits from responses that
// can't have one.
func WriteBody(w http.ResponseWriter, status int, body string) {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		w.Header()["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // fails if the client has left, which does not matter
}

// validHeaders and validTexts do to typed results what encoding as JSON would do.
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
