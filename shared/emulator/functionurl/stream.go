package functionurl

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/payload"
)

// serveStream passes on what the function sends, as it arrives.
func (u *URL) serveStream(w http.ResponseWriter, r *http.Request, i emulator.Invocation) {
	ctx := r.Context()
	connection := http.NewResponseController(w)
	stream, err := u.stream.InvokeStream(ctx, i)
	u.extend(connection) // the function may have taken longer than the server's write timeout
	if err != nil {
		u.failed(ctx, w, err)
		return
	}
	defer func() { _ = stream.Body.Close() }()
	body := bufio.NewReader(stream.Body)
	reply := payload.Reply{Status: http.StatusOK, Headers: map[string]string{"content-type": stream.ContentType}}
	if stream.ContentType == emulator.IntegrationResponse {
		reply, err = readPrelude(body)
		u.extend(connection)
		if err != nil {
			u.failed(ctx, w, err)
			return
		}
	}
	u.rules.SetHeaders(w.Header(), reply)
	w.WriteHeader(reply.Status)
	if err = connection.Flush(); err == nil { // the headers, before there is a body
		err = u.copy(w, connection, body)
	}
	if err != nil {
		u.options.Logger.DebugContext(ctx, "stream cut off", "url", u.url.LogicalID, "error", err)
	}
}

// copy passes on each chunk as soon as it arrives.
func (u *URL) copy(w io.Writer, connection *http.ResponseController, body *bufio.Reader) error {
	for {
		if _, err := body.Peek(1); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		chunk, _ := body.Peek(body.Buffered())
		u.extend(connection)
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		if err := connection.Flush(); err != nil {
			return err
		}
		_, _ = body.Discard(len(chunk))
	}
}

// errPrelude is the error of a stream that should be an HTTP response, but does not begin
// like one.
var errPrelude = errors.New("the stream does not begin with JSON and eight NUL bytes")

// readPrelude reads what precedes a response's body in a stream: at most 64 KiB.
func readPrelude(body *bufio.Reader) (payload.Reply, error) {
	const nuls, most = 8, 64 << 10
	var head []byte
	for full := true; full; {
		part, err := body.ReadSlice(0)
		head = append(head, part...)
		full = errors.Is(err, bufio.ErrBufferFull)
		if err != nil && !full {
			return payload.Reply{}, fmt.Errorf("%w: %w", errPrelude, err)
		}
		if len(head) > most {
			return payload.Reply{}, fmt.Errorf("%w: within %d bytes", errPrelude, most)
		}
	}
	rest := make([]byte, nuls-1)
	if _, err := io.ReadFull(body, rest); err != nil || bytes.ContainsFunc(rest, func(r rune) bool { return r != 0 }) {
		return payload.Reply{}, errPrelude
	}
	var fields map[string]json.RawMessage // case matters in the names of fields
	if err := json.Unmarshal(head[:len(head)-1], &fields); err != nil {
		return payload.Reply{}, fmt.Errorf("%w: %w", errPrelude, err)
	}
	var reply payload.Reply
	for name, target := range map[string]any{"statusCode": &reply.Status, "headers": &reply.Headers, "cookies": &reply.Cookies} {
		if raw := fields[name]; raw != nil && json.Unmarshal(raw, target) != nil {
			return payload.Reply{}, payload.ErrReply
		}
	}
	reply.Status = cmp.Or(reply.Status, http.StatusOK)
	if !payload.ValidStatus(reply.Status) {
		return payload.Reply{}, payload.ErrReply
	}
	return reply, nil
}
