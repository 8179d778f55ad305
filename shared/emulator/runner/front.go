package runner

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"paylane/shared/emulator"
	"paylane/shared/emulator/functionurl"
	"paylane/shared/emulator/template"
)

// front serves the HTTP API and the function URLs at one origin. On AWS each has a domain
// of its own.
type front struct {
	api  http.Handler            // nil without one
	urls map[string]http.Handler // by the functions' logical ids
	// paths are the template's LocalPaths, which lead to a function's URL.
	paths []localPath
	// ending ends the function URLs' requests; end ends it.
	ending context.Context //nolint:containedctx // it lives as long as the front
	end    context.CancelFunc
}

type localPath struct {
	segments []string // a variable is empty
	url      http.Handler
}

// newFront makes the handlers of the template's function URLs.
func newFront(c Config, t *template.Template, invokers map[string]emulator.Invoker, api http.Handler) (*front, error) {
	f := &front{api: api, urls: make(map[string]http.Handler)}
	f.ending, f.end = context.WithCancel(context.Background()) //nolint:gosec // the end of the server calls it
	for _, function := range t.Functions {
		if function.URL == nil {
			continue
		}
		url, err := functionurl.New(*function.URL, functionurl.Options{Invoker: invokers[function.LogicalID], Logger: c.Logger, Now: c.Now})
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", c.Template, function.Line, err)
		}
		guarded := c.guardOrigin(function.URL.CORS, url)
		f.urls[function.LogicalID] = guarded
		for _, path := range function.URL.LocalPaths {
			f.paths = append(f.paths, localPath{segmentsOf(path), guarded})
		}
	}
	return f, nil
}

func segmentsOf(path string) []string {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if strings.HasPrefix(s, "{") {
			segments[i] = ""
		}
	}
	return segments
}

// ServeHTTP implements [http.Handler].
func (f *front) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, template.LocalURLPath) {
		// As it was sent: an escaped prefix does not name a function URL.
		id, _, _ := strings.Cut(strings.TrimPrefix(r.URL.EscapedPath(), template.LocalURLPath), "/")
		if url := f.urls[id]; url != nil {
			f.serve(http.StripPrefix(template.LocalURLPath+id, url), w, r)
		} else {
			functionurl.Unknown(w, r)
		}
		return
	}
	for _, p := range f.paths {
		if p.matches(r.URL.Path) {
			f.serve(p.url, w, r)
			return
		}
	}
	if f.api == nil {
		functionurl.Unknown(w, r)
		return
	}
	f.api.ServeHTTP(w, r)
}

// serve serves a function URL. Its streams end with the runner, which would otherwise wait
// for them: their clients can come back.
func (f *front) serve(url http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(f.ending, cancel)() //nolint:contextcheck // it ends what the request's does not
	url.ServeHTTP(w, r.WithContext(ctx))
}

func (p localPath) matches(path string) bool {
	if strings.Count(path, "/") != len(p.segments)-1 {
		return false
	}
	i := 0
	for segment := range strings.SplitSeq(path, "/") {
		if want := p.segments[i]; want != "" && want != segment {
			return false
		}
		i++
	}
	return true
}
