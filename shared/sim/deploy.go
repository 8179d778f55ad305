package sim

import (
	"context"
	"errors"
	"slices"
	"strings"

	"paylane/shared/order"
)

// A deployment puts a new build beside the old one, on one table and the same queues, until the
// faults end. It is as different as a build may be: the old one can read nothing that it wrote, and
// must leave that alone.

var errNewer = errors.New("it was written by a newer build")

// newBuild reports whether a context's call is made by the new build.
func newBuild(ctx context.Context) bool {
	e := environmentOf(ctx)
	return e != nil && e.build > 0
}

// unreadable reports whether an order can't be read where a context's call is made.
func (w *world) unreadable(ctx context.Context, refs ...order.Ref) bool {
	if newBuild(ctx) || environmentOf(ctx) == nil {
		return false
	}
	return slices.ContainsFunc(refs, func(ref order.Ref) bool { return w.newer[ref] })
}

func refsOf(orders []order.Order) []order.Ref {
	refs := make([]order.Ref, len(orders))
	for i, o := range orders {
		refs[i] = o.Ref
	}
	return refs
}

// How the bodies of the payments' messages begin.
const (
	oldBody = `{"version":1,"kind":`
	newBody = `{"version":2,"kind":`
)

// written returns a message's body as a build sends it.
func written(ctx context.Context, body string) string {
	if rest, ok := strings.CutPrefix(body, oldBody); ok && newBuild(ctx) {
		return newBody + rest
	}
	return body
}

// read returns a message's body as the new build, which reads both, understands it.
func read(body string) string {
	if rest, ok := strings.CutPrefix(body, newBody); ok {
		return oldBody + rest
	}
	return body
}
