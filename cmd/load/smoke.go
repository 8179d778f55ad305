package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"paylane/shared/gateway/simulator"
	"paylane/shared/smoke"
)

// check runs the smoke test on a target, with a line for each check. It tells whether
// all are well.
func check(ctx context.Context, t *target, w io.Writer) bool {
	ok := true
	for name, err := range smoke.Checks(ctx, func(ctx context.Context, method, path string, header http.Header, body []byte) (smoke.Answer, error) {
		a, err := t.ask(ctx, method, path, header, body)
		return smoke.Answer{Status: a.status, Header: a.header, Body: a.body}, err
	}, simulator.New(time.Now).Describe()) {
		if err != nil {
			ok = false
			fmt.Fprintf(w, "FAIL  %s: %v\n", name, err)
		} else {
			fmt.Fprintf(w, "ok    %s\n", name)
		}
	}
	return ok
}
