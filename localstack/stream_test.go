//go:build integration

package localstack_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"paylane/shared/e2e"
)

// TestStream reads an order's events, as they happen, from the built stream function behind
// its Function URL. Neither an open stream nor one whose client has gone may hold up the
// runner's end. TestEndToEnd has clients that resume.
func TestStream(t *testing.T) {
	s := newStack(t)
	r := s.start(t, repository)
	id := r.create(t, "tok_unknown_600").ID
	follow := func() *http.Response {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, r.url+"/_url/Stream/orders/"+id+"/events", nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		return response
	}
	_ = follow().Body.Close()
	open := follow()
	defer func() { _ = open.Body.Close() }()
	waits := make(chan []int64, 1)
	ended := make(chan error, 1)
	go func() {
		var versions []int64
		ended <- e2e.ReadEvents(open.Body, func(e e2e.Event) {
			versions = append(versions, e.ID)
			if strings.Contains(e.Data, `"outcome":"unknown"`) { // then nothing happens for a minute
				waits <- versions
			}
		})
	}()
	select {
	case versions := <-waits:
		t.Logf("versions %v", versions)
	case <-time.After(time.Minute):
		t.Fatal("the attempt's outcome did not come as an event")
	}
	began := time.Now()
	r.stop()
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("the runner ended after %v", took)
	}
	if err := <-ended; !errors.Is(err, io.EOF) {
		t.Errorf("the stream ended with %v", err)
	}
}
