package main

import (
	"bytes"
	"context"
	"log/slog"

	"paylane/shared/console"
	"paylane/shared/emulator/runner"
	"paylane/shared/emulator/template"
)

// jsonLines makes a record of each line that functions and builds write.
type jsonLines struct{ *slog.Logger }

// Write implements [io.Writer]; it gets whole lines.
func (l jsonLines) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		l.Info(string(bytes.TrimSuffix(line, []byte("\n"))))
	}
	return len(text), nil
}

// The parts of the start page as a record.
type (
	servedRoute struct {
		Method   string   `json:"method"`
		Path     string   `json:"path"`
		Function string   `json:"function"`
		Scopes   []string `json:"scopes,omitempty"`
	}
	servedURL struct {
		Function string `json:"function"`
		URL      string `json:"url"`
	}
	servedQueue struct {
		Name              string  `json:"name"`
		VisibilitySeconds float64 `json:"visibilitySeconds"`
		RetentionSeconds  float64 `json:"retentionSeconds"`
		MaxReceiveCount   int     `json:"maxReceiveCount,omitempty"`
		DeadLetterQueue   string  `json:"deadLetterQueue,omitempty"`
	}
	servedFunction struct {
		Name           string   `json:"name"`
		TimeoutSeconds float64  `json:"timeoutSeconds"`
		Sources        []string `json:"sources"`
	}
	servedAccess struct {
		Tokens   bool     `json:"tokens"`
		Issuer   string   `json:"issuer,omitempty"`
		Audience []string `json:"audience,omitempty"`
	}
	withoutEffect struct {
		Path   string `json:"path"`
		Line   int    `json:"line"`
		Reason string `json:"reason"`
	}
)

// logServed logs what the start page shows, in one record.
func logServed(ctx context.Context, log *slog.Logger, c config, r *runner.Runner) {
	t, url := r.Template(), r.URL()
	routes, urls := []servedRoute{}, []servedURL{} // empty lists, not null
	for _, api := range t.APIs {
		for _, route := range sortedRoutes(api) {
			one := servedRoute{route.Method, route.Path, route.Function, route.Scopes}
			if route.Key == template.DefaultRoute {
				one.Method, one.Path = template.AnyMethod, template.DefaultRoute
			}
			routes = append(routes, one)
		}
	}
	functions := []servedFunction{}
	for _, f := range t.Functions {
		functions = append(functions, servedFunction{f.LogicalID, f.Timeout.Seconds(), append([]string{}, sources(t, f.LogicalID)...)})
		for _, path := range urlPaths(f) {
			urls = append(urls, servedURL{f.LogicalID, url + path})
		}
	}
	queues := []servedQueue{}
	for _, q := range t.Queues {
		queues = append(queues, servedQueue{q.LogicalID, q.VisibilityTimeout.Seconds(), q.Retention.Seconds(), q.MaxReceiveCount, q.DeadLetterQueue})
	}
	skipped := []withoutEffect{}
	for _, s := range t.Skipped {
		skipped = append(skipped, withoutEffect{s.Path, s.Line, s.Reason})
	}
	attributes := []slog.Attr{
		slog.String("address", url),
		slog.Any("access", servedAccess{c.Access.Tokens, c.Access.Issuer, c.Access.audience()}),
		slog.Any("routes", routes), slog.Any("functionUrls", urls), slog.Any("queues", queues), slog.Any("functions", functions),
		slog.Any("withoutEffect", skipped),
	}
	if c.embedded() {
		attributes = append(attributes, slog.String("console", url+console.Root), slog.String("data", c.Data))
	}
	log.LogAttrs(ctx, slog.LevelInfo, whatRuns(url), attributes...)
}
