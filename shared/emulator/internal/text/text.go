// Package text helps typed events and results to be what JSON would have made of
// them.
package text

import "unicode/utf8"

// Valid replaces each byte that is not UTF-8 by U+FFFD, as encoding it as JSON does.
func Valid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
