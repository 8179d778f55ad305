package httpapi

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"sync"
)

// docsPage explains the API. It is made from the OpenAPI document ahead of time, by
// `go test ./shared/httpapi -run TestDocs -update`: a function that could make it would
// be a fifth larger, and start later.
//
//go:embed docs.html
var docsPage []byte

// serveDocument serves the OpenAPI document. It is written down at the first request,
// so that a function that never serves it starts no later for it.
func serveDocument() http.HandlerFunc {
	text := sync.OnceValue(func() []byte {
		text, err := json.Marshal(document())
		if err != nil {
			panic(err) // the document is made of our own types
		}
		return text
	})
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text())
	}
}

func serveDocs(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = w.Write(docsPage)
}
