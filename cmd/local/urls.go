package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"paylane/shared/emulator"
	"paylane/shared/emulator/functionurl"
	"paylane/shared/emulator/template"
)

// front shares one origin between the HTTP API and the function URLs, which have domains
// of their own on AWS.
type front struct {
	api  http.Handler            // nil without one
	urls map[string]http.Handler // by the functions' logical ids
	// paths lead to a function's URL: the template's LocalPaths, by segments.
	paths []localPath
	// ending ends the function URLs' requests.
	ending context.Context //nolint:containedctx // it lives as long as this
}

type localPath struct {
	segments []string // a variable is empty
	url      http.Handler
}

// newFront makes the handlers of the template's function URLs. It is nil if there is
// nothing to serve. The end of ctx ends open streams.
func newFront(ctx context.Context, c config, t *template.Template, invokers map[string]emulator.Invoker, api http.Handler) (http.Handler, error) {
	f := &front{api: api, urls: make(map[string]http.Handler), ending: ctx}
	for _, function := range t.Functions {
		if function.URL == nil {
			continue
		}
		url, err := functionurl.New(*function.URL, functionurl.Options{Invoker: invokers[function.LogicalID], Logger: c.Log, Now: c.Now})
		if err != nil {
			return nil, fmt.Errorf("%s:%d: %w", c.Template, function.Line, err)
		}
		f.urls[function.LogicalID] = url
		for _, path := range function.URL.LocalPaths {
			f.paths = append(f.paths, localPath{segmentsOf(path), url})
		}
	}
	switch {
	case len(f.urls) > 0:
		return f, nil
	case api != nil:
		return api, nil
	}
	return nil, nil
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
		// As it was sent: what is escaped there is no URL.
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

// serve serves a function URL. Its streams end with the runner, which would wait for them:
// their clients can come back.
func (f *front) serve(url http.Handler, w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(f.ending, cancel)() //nolint:contextcheck // it ends what the request's does not
	url.ServeHTTP(w, r.WithContext(ctx))
}

func (p localPath) matches(path string) bool {
	segments := strings.Split(path, "/")
	if len(segments) != len(p.segments) {
		return false
	}
	for i, want := range p.segments {
		if want != "" && want != segments[i] {
			return false
		}
	}
	return true
}
