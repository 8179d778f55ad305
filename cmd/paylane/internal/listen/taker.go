package listen

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// maxBody is far above any order. What is longer is not read.
const maxBody = 1 << 20

// taker verifies deliveries, forwards them and prints a line for each, before it is answered.
type taker struct {
	Config
	webhook   *standardwebhooks.Webhook
	transport http.RoundTripper

	mu sync.Mutex // guards Out
}

// line is what is printed of a delivery. What nobody signed is not shown.
type line struct {
	Time      time.Time `json:"time"`
	WebhookID string    `json:"webhookId,omitempty"`
	Type      string    `json:"type,omitempty"`
	OrderID   string    `json:"orderId,omitempty"`
	// Status is the answer's. Error is why there was none from the server, or why the delivery
	// was refused.
	Status int    `json:"status"`
	Error  string `json:"error,omitempty"`
	// Milliseconds is how long the answer took.
	Milliseconds int64 `json:"ms"`
}

// ServeHTTP answers what the server answers to which the delivery is forwarded.
func (t *taker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l := line{Time: t.Now()}
	refuse := func(status int, why string) {
		t.print(l, status, why)
		http.Error(w, why, status)
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var tooLong *http.MaxBytesError
	if errors.As(err, &tooLong) {
		refuse(http.StatusRequestEntityTooLarge, "the body is longer than 1 MiB")
		return
	}
	if err != nil {
		refuse(http.StatusBadRequest, "the body is incomplete")
		return
	}
	if err := t.webhook.Verify(body, r.Header); err != nil {
		refuse(http.StatusBadRequest, "not signed by paylane: "+cmp.Or(errors.Unwrap(err), err).Error())
		return
	}
	var event struct {
		Type string `json:"type"`
		Data struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &event); err != nil {
		refuse(http.StatusBadRequest, "the body is not an event")
		return
	}
	l.WebhookID, l.Type, l.OrderID = r.Header.Get(standardwebhooks.HeaderWebhookID), event.Type, event.Data.ID
	if t.ForwardTo == nil {
		t.print(l, http.StatusNoContent, "")
		w.WriteHeader(http.StatusNoContent)
		return
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	proxy := httputil.ReverseProxy{
		Transport: t.transport,
		Rewrite: func(p *httputil.ProxyRequest) {
			to := *t.ForwardTo
			p.Out.URL, p.Out.Host = &to, ""
		},
		ModifyResponse: func(answer *http.Response) error {
			t.print(l, answer.StatusCode, "")
			return nil
		},
		ErrorHandler: func(_ http.ResponseWriter, r *http.Request, err error) {
			if r.Context().Err() != nil {
				err = errors.New("paylane did not wait for the answer")
			}
			refuse(http.StatusBadGateway, err.Error())
		},
	}
	proxy.ServeHTTP(w, r)
}

// print writes the line of a delivery that is answered now.
func (t *taker) print(l line, status int, why string) {
	l.Status, l.Milliseconds = status, t.Now().Sub(l.Time).Milliseconds()
	l.Error = strings.Join(strings.Fields(why), " ") // some errors have several lines
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.JSON {
		l.Time = l.Time.UTC().Truncate(time.Millisecond)
		_ = json.NewEncoder(t.Out).Encode(l)
		return
	}
	text := fmt.Sprintf("%s  --> %-14s  %s  <-- %d %s  %dms", l.Time.Format(time.TimeOnly), cmp.Or(l.Type, "?"), cmp.Or(l.OrderID, "-"), status, http.StatusText(status), l.Milliseconds)
	if l.Error != "" {
		text += "  " + l.Error
	}
	fmt.Fprintln(t.Out, text)
}
