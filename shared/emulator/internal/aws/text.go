package aws

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"
)

// JSON encodes a value as aws-lambda-go and AWS do: without a line break at the end, and
// with <, > and & as they are.
func JSON(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// ValidText replaces each byte that is not UTF-8 by U+FFFD, as encoding it as JSON does.
func ValidText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
