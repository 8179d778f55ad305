package httpapi

import (
	_ "embed"
	"encoding/json"
	"net/http"
	"sync"

	"github.com/danielgtaylor/huma/v2"
)

// docsPage explains the API. It is made from the OpenAPI document ahead of time, by
// `go test ./shared/httpapi -run TestDocs -update`: a function that could make it would
// be a fifth larger, and start later.
//
//go:embed docs.html
var docsPage []byte

// docs serves the OpenAPI document and the page. The document is written down at the
// first request, so that a function that never serves it starts no later for it.
type docs struct {
	json func() []byte
}

func newDocs(doc *huma.OpenAPI) *docs {
	return &docs{json: sync.OnceValue(func() []byte {
		text, err := json.Marshal(doc)
		if err != nil {
			panic(err) // the document is made of our own types
		}
		return text
	})}
}

func (d *docs) serveJSON(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(d.json())
}

func (d *docs) serveHTML(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	_, _ = w.Write(docsPage)
}
