package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/go-json-experiment/json/jsontext"

	"paylane/shared/order"
)

const (
	// maxBody is how large a request's body may be, in bytes.
	maxBody = 64 << 10
	// maxDepth is how deeply a body may nest. No field is deeper than three.
	maxDepth = 16
	// maxDetails and maxName bound a problem, in details and in bytes of a member's name.
	maxDetails = 100
	maxName    = 256
)

// withBody has an operation take a body: read once, strictly, and checked against the
// operation's schema before huma decodes it.
func withBody(h huma.API, op huma.Operation) huma.Operation {
	op.Middlewares = append(op.Middlewares, func(ctx huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(ctx)
		if p := checkBody(h.OpenAPI().Components.Schemas, ctx.Operation().RequestBody, r); p != nil {
			writeProblem(w, p)
			return
		}
		next(ctx)
	})
	op.MaxBodyBytes = maxBody + 1 // huma's limit is exclusive
	op.SkipValidateBody = true
	return op
}

// checkBody returns the problem of a request's body, or leaves the body to be read again.
func checkBody(schemas huma.Registry, want *huma.RequestBody, r *http.Request) *Problem {
	text, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	switch {
	case err != nil:
		return plain(http.StatusBadRequest, "The body could not be read.")
	case len(text) > maxBody:
		return tooLarge()
	case len(text) == 0 && !want.Required:
		return nil
	}
	if given := r.Header.Get("Content-Type"); given != "" {
		// Case and parameters are insignificant (RFC 9110, section 8.3.1).
		mediaType, _, err := mime.ParseMediaType(given)
		if err != nil || mediaType != "application/json" {
			return wrongMediaType()
		}
		r.Header.Set("Content-Type", mediaType)
	}
	if len(text) == 0 {
		return plain(http.StatusBadRequest, "The body must be JSON.")
	}
	value, numbers, p := readBody(text)
	if p != nil {
		return p
	}
	var result huma.ValidateResult
	at := huma.NewPathBuffer(make([]byte, 0, 64), 0)
	at.Push("body")
	huma.Validate(schemas, want.Content["application/json"].Schema, at, huma.ModeWriteToServer, value, &result)
	var fields []FieldDetail
	for _, err := range result.Errors {
		if e, ok := err.(*huma.ErrorDetail); ok { //nolint:errorlint // Validate's own
			fields = append(fields, fieldDetail(e))
		}
	}
	if fields = append(fields, numbers...); len(fields) > 0 {
		return typeInvalid.problem(seeErrors, firstOfEach(fields)...)
	}
	r.Body = io.NopCloser(bytes.NewReader(text))
	return nil
}

// firstOfEach drops all details of a location but the first.
func firstOfEach(fields []FieldDetail) []FieldDetail {
	seen := make(map[string]bool, len(fields))
	return slices.DeleteFunc(fields, func(f FieldDetail) bool {
		again := seen[f.Location]
		seen[f.Location] = true
		return again
	})
}

// readBody reads a JSON text once and returns its value for huma.Validate. The problem says
// where the text is not I-JSON (RFC 7493), or where it has a card number. The details
// are of numbers that this API has no field for; each is replaced by 1 in the value.
func readBody(text []byte) (value any, numbers []FieldDetail, p *Problem) {
	// The reader finds members that appear twice itself, in the map that it makes anyway.
	r := bodyReader{text: text, tokens: jsontext.NewDecoder(bytes.NewBuffer(text), jsontext.AllowDuplicateNames(true))}
	value, err := r.value()
	if err == nil {
		if rest := bytes.TrimLeft(text[r.tokens.InputOffset():], " \t\r\n"); len(rest) > 0 {
			err = &bodyError{len(text) - len(rest), "body", "goes on after the JSON"}
		}
	}
	if err != nil && len(r.cards) == 0 && holdsCard(string(text)) {
		r.cards = []FieldDetail{cardDetail("body")}
	}
	switch {
	case len(r.cards) > 0:
		return nil, nil, cardNumber(firstOfEach(r.cards)...)
	case err != nil:
		return nil, nil, r.notJSON(err)
	}
	return value, r.numbers, nil
}

// bodyReader reads the tokens of a body.
type bodyReader struct {
	text           []byte
	tokens         *jsontext.Decoder
	cards, numbers []FieldDetail
}

func (r *bodyReader) value() (any, error) {
	kind := r.tokens.PeekKind()
	switch {
	case (kind == '{' || kind == '[') && r.tokens.StackDepth() == maxDepth:
		return nil, r.fault(0, "is nested too deeply")
	case kind == '{':
		return r.object()
	case kind == '[':
		return r.array()
	}
	raw, err := r.tokens.ReadValue()
	if err != nil {
		return nil, err
	}
	switch kind { //nolint:exhaustive // what remains is a number
	case '"':
		text, err := r.unquoted(raw)
		if err == nil {
			r.checkCard(text)
		}
		return text, err
	case 't', 'f':
		return kind == 't', nil
	case 'n':
		return nil, nil //nolint:nilnil // JSON's null
	}
	return r.integer(raw), nil
}

func (r *bodyReader) object() (any, error) {
	if _, err := r.tokens.ReadToken(); err != nil {
		return nil, err
	}
	members := make(map[string]any)
	for r.tokens.PeekKind() == '"' {
		raw, err := r.tokens.ReadValue()
		if err != nil {
			return nil, err
		}
		name, err := r.unquoted(raw)
		if err != nil {
			return nil, err
		}
		if _, again := members[name]; again {
			return nil, r.fault(len(raw), "has a member for the second time")
		}
		r.checkCard(name)
		if members[name], err = r.value(); err != nil {
			return nil, err
		}
	}
	_, err := r.tokens.ReadToken()
	return members, err
}

func (r *bodyReader) array() (any, error) {
	if _, err := r.tokens.ReadToken(); err != nil {
		return nil, err
	}
	elements := []any{}
	for kind := r.tokens.PeekKind(); kind != ']' && kind != jsontext.KindInvalid; kind = r.tokens.PeekKind() {
		element, err := r.value()
		if err != nil {
			return nil, err
		}
		elements = append(elements, element)
	}
	_, err := r.tokens.ReadToken()
	return elements, err
}

// unquoted returns the text of a JSON string.
func (r *bodyReader) unquoted(raw []byte) (string, error) {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	text, err := jsontext.AppendUnquote(nil, raw)
	if err == nil && bytes.IndexByte(text, 0) >= 0 {
		return "", r.fault(len(raw)-nulIn(raw), "has the character U+0000")
	}
	return string(text), err
}

// nulIn returns where a JSON string has the escape of U+0000.
func nulIn(raw []byte) int {
	for i := 0; i < len(raw); i++ {
		if raw[i] == '\\' {
			if bytes.HasPrefix(raw[i:], []byte(`\u0000`)) {
				return i
			}
			i++
		}
	}
	return 0
}

// integer returns the value of a JSON number, all of which are integers in this API.
func (r *bodyReader) integer(raw []byte) any {
	r.checkCard(string(raw))
	n, err := strconv.ParseInt(string(raw), 10, 64)
	if err == nil && -order.MaxAmount <= n && n <= order.MaxAmount {
		return n
	}
	if len(r.numbers) < maxDetails {
		r.numbers = append(r.numbers, FieldDetail{
			Location: r.location(""),
			Message:  fmt.Sprintf("must be a whole number of at most %d, written without a fraction or an exponent", order.MaxAmount),
		})
	}
	return int64(1)
}

// checkCard notes where the token is that was read last if its text has a card number.
func (r *bodyReader) checkCard(text string) {
	if len(r.cards) < maxDetails && holdsCard(text) {
		r.cards = append(r.cards, cardDetail(r.location("")))
	}
}

// location returns where a JSON pointer points, or if that is empty, where the token is that
// was read last. It ends before a member's name that is long or has a card number.
func (r *bodyReader) location(pointer jsontext.Pointer) string {
	if pointer == "" {
		pointer = r.tokens.StackPointer()
	}
	var at strings.Builder
	at.WriteString("body")
	depth := 0
	for name := range pointer.Tokens() {
		depth++
		kind := jsontext.Kind('{')
		if depth <= r.tokens.StackDepth() {
			kind, _ = r.tokens.StackIndex(depth)
		}
		switch {
		case kind == '[':
			at.WriteString("[" + name + "]")
		case len(name) > maxName || holdsCard(name):
			return at.String()
		default:
			at.WriteString("." + name)
		}
	}
	return at.String()
}

// bodyError is why a body is not the JSON that this API takes.
type bodyError struct {
	offset    int
	location  string
	predicate string // of "the body"
}

func (e *bodyError) Error() string { return e.predicate }

// fault returns the error of what begins this far before the end of the token that was read last.
func (r *bodyReader) fault(back int, predicate string) error {
	return &bodyError{int(r.tokens.InputOffset()) - back, r.location(""), predicate}
}

// notJSON returns the problem of an error from value. It repeats nothing but member names.
func (r *bodyReader) notJSON(err error) *Problem {
	var e *bodyError
	if !errors.As(err, &e) {
		e = &bodyError{len(r.text), "body", "ends too early"}
		var s *jsontext.SyntacticError
		if errors.As(err, &s) && !errors.Is(err, io.ErrUnexpectedEOF) {
			e = &bodyError{int(s.ByteOffset), r.location(s.JSONPointer), "is not JSON"}
			rest := r.text[e.offset:]
			switch c, size := utf8.DecodeRune(rest); {
			case c == utf8.RuneError && size == 1:
				e.predicate = "is not UTF-8"
			case isSurrogate(rest):
				e.predicate = "has half of a surrogate pair"
			}
		}
	}
	before := r.text[:e.offset]
	line := bytes.Count(before, []byte{'\n'}) + 1
	column := utf8.RuneCount(before[bytes.LastIndexByte(before, '\n')+1:]) + 1
	what := fmt.Sprintf("%s at line %d, column %d", e.predicate, line, column)
	p := plain(http.StatusBadRequest, "The body "+what+".")
	p.Errors = []FieldDetail{{Location: e.location, Message: what}}
	return p
}

// isSurrogate reports whether a text begins with the escape of half a surrogate pair.
func isSurrogate(text []byte) bool {
	if len(text) < 6 || text[0] != '\\' || text[1] != 'u' {
		return false
	}
	code, err := strconv.ParseUint(string(text[2:6]), 16, 16)
	return err == nil && code&0xf800 == 0xd800
}

func writeJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
