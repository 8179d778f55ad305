package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// FuzzReadBody compares readBody with encoding/json: what it reads has the same value there,
// and what it refuses as JSON is one of the things that it must refuse.
func FuzzReadBody(f *testing.F) {
	for _, text := range []string{
		`{"amount": 12000, "currency": "KRW", "items": [{"sku": "TEA-1", "quantity": 2, "unitPrice": 6000}], "metadata": {"cart": "77"}}`,
		`{}`, `[]`, `null`, `true`, `"a"`, ` 1 `, `-0`, `1e3`, `[1, [2, {"a": false}]]`, `{"a": 1, "a": 2}`, `{"a": 1, "\u0061": 2}`, `{"a": {"a": 1}}`,
		`"\ud800"`, `"\ud83d\ude00"`, `"\\ud800"`, `"\u0000"`, `"\\u0000"`, "\"\xff\"", `{"a": 1} {}`, `{"a": 1}}`, `{"a": 1,}`, `[1 2]`, `"4111111111111111"`, ``,
		strings.Repeat("[", 20) + strings.Repeat("]", 20), `9007199254740993`, "\ufeff{}", `"\ufffd"`, `"\ufFfd"`, `"\udead\ud800"`, `"\ud83d\\ude00"`, `{"a": [{"b": {}}], "c": 1.0}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		value, numbers, p := readBody(bytes.Clone(text))
		decoder := json.NewDecoder(bytes.NewReader(text))
		decoder.UseNumber()
		var want any
		err := decoder.Decode(&want)
		if err == nil {
			if _, more := decoder.Token(); !errors.Is(more, io.EOF) {
				err = errors.New("more follows")
			}
		}
		switch {
		case p == nil:
			if err != nil || unfit(text, want) {
				t.Fatalf("%q is read: %v", text, err)
			}
			if len(numbers) == 0 {
				if diff := cmp.Diff(plainNumbers(want), value); diff != "" {
					t.Errorf("%q (-encoding/json +readBody):\n%s", text, diff)
				}
			}
		case p.Status == http.StatusBadRequest:
			if err == nil && !unfit(text, want) {
				t.Errorf("%q is refused: %+v", text, p)
			}
		case !holdsCard(string(text)) && !bytes.Contains(text, []byte(`\`)):
			t.Errorf("%q has no card number: %+v", text, p)
		}
	})
}

// unfit reports whether a JSON text is one that two readers could understand differently,
// or nested too deeply.
func unfit(text []byte, value any) bool {
	return !utf8.Valid(text) || loneSurrogate(text) || hasNUL(value) || depth(value) > maxDepth || repeats(json.NewDecoder(bytes.NewReader(text)))
}

// loneSurrogate reports whether a JSON text escapes half of a UTF-16 pair, which encoding/json
// replaces by U+FFFD. A backslash stands in strings only.
func loneSurrogate(text []byte) bool {
	unit := func(i int) rune {
		if i+6 > len(text) || text[i] != '\\' || text[i+1] != 'u' {
			return -1
		}
		n, err := strconv.ParseUint(string(text[i+2:i+6]), 16, 16)
		if err != nil {
			return -1
		}
		return rune(n)
	}
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		switch r := unit(i); {
		case !utf16.IsSurrogate(r):
			i++
		case utf16.DecodeRune(r, unit(i+6)) != utf8.RuneError:
			i += 11
		default:
			return true
		}
	}
	return false
}

func hasNUL(value any) bool {
	switch value := value.(type) {
	case string:
		return strings.ContainsRune(value, 0)
	case []any:
		for _, v := range value {
			if hasNUL(v) {
				return true
			}
		}
	case map[string]any:
		for name, v := range value {
			if hasNUL(name) || hasNUL(v) {
				return true
			}
		}
	}
	return false
}

func depth(value any) int {
	deepest := 0
	switch value := value.(type) {
	case []any:
		for _, v := range value {
			deepest = max(deepest, depth(v))
		}
		return deepest + 1
	case map[string]any:
		for _, v := range value {
			deepest = max(deepest, depth(v))
		}
		return deepest + 1
	}
	return 0
}

// repeats reads one value and reports whether a member is in an object twice.
func repeats(d *json.Decoder) bool {
	token, err := d.Token()
	if err != nil {
		return false
	}
	names := make(map[string]bool)
	found := false
	switch token {
	case json.Delim('{'):
		for d.More() {
			name, _ := d.Token()
			text, _ := name.(string)
			found = found || names[text]
			names[text] = true
			found = repeats(d) || found
		}
	case json.Delim('['):
		for d.More() {
			found = repeats(d) || found
		}
	default:
		return false
	}
	_, _ = d.Token()
	return found
}

// plainNumbers makes the numbers of a value what readBody makes them.
func plainNumbers(value any) any {
	switch value := value.(type) {
	case json.Number:
		n, _ := value.Int64()
		return n
	case []any:
		for i := range value {
			value[i] = plainNumbers(value[i])
		}
	case map[string]any:
		for name := range value {
			value[name] = plainNumbers(value[name])
		}
	}
	return value
}
