package load

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
)

// failures are failed requests by their kind.
type failures map[string]FailureReport

// FailureReport is one kind of failed request.
type FailureReport struct {
	Kind    string `json:"kind"`
	Count   int    `json:"count"`
	Example string `json:"example"`
}

// add counts a failed request.
func (f failures) add(err error) { f.count(kindOf(err), 1, err.Error()) }

// merge adds other failures.
func (f failures) merge(other failures) {
	for _, r := range other {
		f.count(r.Kind, r.Count, r.Example)
	}
}

func (f failures) count(kind string, n int, example string) {
	r, ok := f[kind]
	if !ok {
		r = FailureReport{Kind: kind, Example: example}
	}
	r.Count += n
	f[kind] = r
}

// total returns the number of failed requests.
func (f failures) total() int {
	n := 0
	for _, r := range f {
		n += r.Count
	}
	return n
}

// list returns the failures, the most frequent kind first.
func (f failures) list() []FailureReport {
	list := make([]FailureReport, 0, len(f))
	for _, r := range f {
		list = append(list, r)
	}
	slices.SortFunc(list, func(a, b FailureReport) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Kind, b.Kind))
	})
	return list
}

// statusError is an answer with an unexpected status.
type statusError struct {
	status int
	body   string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("%d: %.400s", e.status, strings.TrimSpace(e.body))
}

// answerError is a 201 that does not name an order.
type answerError struct{ reason string }

func (e *answerError) Error() string { return "201, but " + e.reason }

// kindOf returns the report's name for an error.
func kindOf(err error) string {
	var status *statusError
	var answer *answerError
	var network net.Error
	switch {
	case errors.As(err, &status):
		return fmt.Sprintf("http_%d", status.status)
	case errors.As(err, &answer):
		return "answer"
	case errors.Is(err, context.Canceled):
		return "canceled"
	case errors.As(err, &network) && network.Timeout():
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "closed"
	default:
		return "transport"
	}
}
