package httpapi

import (
	"strconv"
	"strings"
	"time"
)

// maxWait is the longest wait that is granted. API Gateway gives up after 30 s.
const maxWait = 20 * time.Second

// preferWait parses wait=N in Prefer headers (RFC 7240). As the RFC demands, a preference
// that can't be understood is ignored. A wait longer than maxWait is cut.
func preferWait(prefer string) (wait time.Duration, ok bool) {
	for preference := range strings.SplitSeq(prefer, ",") {
		token, _, _ := strings.Cut(preference, ";")
		name, value, _ := strings.Cut(token, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		seconds, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 31)
		if err != nil {
			return 0, false
		}
		return min(time.Duration(seconds)*time.Second, maxWait), true
	}
	return 0, false
}

// etag returns the entity tag of an order's version.
func etag(version int64) string {
	return `"` + strconv.FormatInt(version, 10) + `"`
}

// matchesETag reports whether If-None-Match matches an entity tag, by the weak comparison
// (RFC 9110, sections 8.8.3.2 and 13.1.2).
func matchesETag(ifNoneMatch, tag string) bool {
	for candidate := range strings.SplitSeq(ifNoneMatch, ",") {
		candidate = strings.TrimSpace(candidate)
		if candidate == "*" || strings.TrimPrefix(candidate, "W/") == tag {
			return true
		}
	}
	return false
}
