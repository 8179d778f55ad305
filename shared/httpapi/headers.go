package httpapi

import (
	"errors"
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest wait that is granted. API Gateway gives up after 30 s.
const maxWait = 20 * time.Second

// preferWait parses wait=N in Prefer headers (RFC 7240). As the RFC demands, a preference
// that can't be understood is ignored, and so is every repetition. A wait longer than
// maxWait is cut.
func preferWait(prefer string) (wait time.Duration, ok bool) {
	for preference, rest := cutUnquoted(prefer, ','); preference != "" || rest != ""; preference, rest = cutUnquoted(rest, ',') {
		withoutParameters, _ := cutUnquoted(preference, ';')
		name, value, _ := strings.Cut(withoutParameters, "=")
		if !strings.EqualFold(strings.Trim(name, blanks), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(unquote(strings.Trim(value, blanks)), 10, 31)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return 0, false
		}
		return time.Duration(min(seconds, uint64(maxWait/time.Second))) * time.Second, true
	}
	return 0, false
}

// blanks are what may surround the parts of a header (RFC 9110, section 5.6.3).
const blanks = " \t"

// cutUnquoted cuts a header's value at the first separator outside quoted strings (RFC 9110,
// section 5.6.4).
func cutUnquoted(s string, separator byte) (before, after string) {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '"':
			quoted = !quoted
		case s[i] == '\\' && quoted:
			i++
		case s[i] == separator && !quoted:
			return s[:i], s[i+1:]
		}
	}
	return s, ""
}

// unquote returns what a word stands for, which is a token or a quoted string. It returns
// anything else as it is.
func unquote(word string) string {
	if len(word) < 2 || word[0] != '"' || word[len(word)-1] != '"' {
		return word
	}
	var out []byte
	for i := 1; i < len(word)-1; i++ {
		if word[i] == '\\' {
			i++
		}
		out = append(out, word[i])
	}
	return string(out)
}

// etag returns the entity tag of an order's version.
func etag(version int64) string {
	return `"` + strconv.FormatInt(version, 10) + `"`
}

// matchesETag reports whether a list of entity tags has the tag of an order's version, or is
// * (RFC 9110, section 13.1). The comparison is weak or strong (section 8.8.3.2): by the
// strong one, a weak tag matches nothing.
func matchesETag(list, tag string, weak bool) bool {
	if strings.Trim(list, blanks) == "*" {
		return true
	}
	for candidate := range strings.SplitSeq(list, ",") { // no tag of an order has a comma in it
		candidate = strings.Trim(candidate, blanks)
		if weak {
			candidate = strings.TrimPrefix(candidate, "W/")
		}
		if candidate == tag {
			return true
		}
	}
	return false
}
