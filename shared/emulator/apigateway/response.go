package apigateway

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strconv"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/text"
)

// reply is a function's result, read as an HTTP response.
type reply struct {
	status  int
	headers map[string]string
	cookies []string
	body    string
}

// errReply says that a result has a status code but is no response otherwise.
var errReply = errors.New("the function's response does not fit")

// respond writes a function's result as the response.
func (g *Gateway) respond(ctx context.Context, w http.ResponseWriter, result emulator.Result) {
	answer, err := replyOf(result)
	if err != nil {
		g.options.Logger.ErrorContext(ctx, "the function's result is no HTTP response", "error", err)
		fail(w, http.StatusInternalServerError)
		return
	}
	h := w.Header()
	hasType := false
	for name, value := range answer.headers {
		lower := lowerName(name)
		if hopByHop[lower] || ownedByGateway[lower] || g.cors.owns(lower) {
			continue
		}
		hasType = hasType || lower == "content-type"
		setHeader(h, http.CanonicalHeaderKey(name), value)
	}
	if !hasType {
		setHeader(h, "Content-Type", "text/plain; charset=utf-8")
	}
	for _, cookie := range answer.cookies {
		h.Add("Set-Cookie", cookie)
	}
	writeBody(w, answer.status, answer.body)
}

func setHeader(h http.Header, canonicalName, value string) {
	h[canonicalName] = []string{value}
}

// writeBody writes the status and the body, which net/http leaves out of the
// responses that have none.
func writeBody(w http.ResponseWriter, status int, body string) {
	if status != http.StatusNoContent && status != http.StatusNotModified {
		setHeader(w.Header(), "Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // fails when the client has gone, which is no matter
}

// replyOf reads a result by the rules of payload format 2.0.
func replyOf(result emulator.Result) (reply, error) {
	if v, ok := result.Value.(*events.APIGatewayV2HTTPResponse); ok {
		return checked(reply{
			status: v.StatusCode, headers: validHeaders(v.Headers), cookies: validTexts(v.Cookies), body: text.Valid(v.Body),
		}, v.IsBase64Encoded)
	}
	payload, err := result.Payload()
	if err != nil {
		return reply{}, err
	}
	return replyOfJSON(payload)
}

// replyOfJSON infers a response from anything that has no status code of its own.
func replyOfJSON(payload []byte) (reply, error) {
	inferred := reply{
		status: http.StatusOK, headers: map[string]string{"content-type": "application/json"}, body: string(payload),
	}
	var quoted string
	if bytes.HasPrefix(bytes.TrimSpace(payload), []byte(`"`)) && json.Unmarshal(payload, &quoted) == nil {
		inferred.body = quoted
		return inferred, nil
	}
	// Decoded into a map first: names of fields are exact in JSON, and Go's
	// structs are not.
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(payload, &fields); err != nil || fields["statusCode"] == nil {
		return inferred, nil //nolint:nilerr // what is no object is a body as it stands
	}
	var answer reply
	var encoded bool
	for name, target := range map[string]any{
		"statusCode": &answer.status, "headers": &answer.headers, "cookies": &answer.cookies,
		"body": &answer.body, "isBase64Encoded": &encoded,
	} {
		if raw := fields[name]; raw != nil && json.Unmarshal(raw, target) != nil {
			return reply{}, errReply
		}
	}
	return checked(answer, encoded)
}

// checked undoes the body's encoding and refuses what can't be sent.
func checked(answer reply, encoded bool) (reply, error) {
	if !validStatus(answer.status) {
		return reply{}, errReply
	}
	if encoded {
		body, err := base64.StdEncoding.DecodeString(answer.body)
		if err != nil {
			return reply{}, errReply
		}
		answer.body = string(body)
	}
	return answer, nil
}

// validHeaders and validTexts do to typed results what JSON would have done.
func validHeaders(headers map[string]string) map[string]string {
	for name, value := range headers {
		if text.Valid(name) != name || text.Valid(value) != value {
			valid := make(map[string]string, len(headers))
			for name, value := range headers {
				valid[text.Valid(name)] = text.Valid(value)
			}
			return valid
		}
	}
	return headers
}

func validTexts(texts []string) []string {
	if !slices.ContainsFunc(texts, func(t string) bool { return text.Valid(t) != t }) {
		return texts
	}
	valid := make([]string, len(texts))
	for i, t := range texts {
		valid[i] = text.Valid(t)
	}
	return valid
}
