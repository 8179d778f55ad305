package httpapi

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"net/http"
	"strings"
	"sync"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// The OpenAPI document, and the page that explains the API. Both are made ahead of time, by
// `go test ./shared/httpapi -run TestOpenAPI -update`, except for what they say of payment
// tokens: a function that had to make them would start later.
var (
	//go:embed openapi.json
	document []byte
	//go:embed openapi.html
	page string
)

// serveDocument serves the OpenAPI document. It is completed at the first request, so that
// a function that never serves it does not pay for it.
func serveDocument(tokens gateway.TokenDescription) http.HandlerFunc {
	text := sync.OnceValue(func() string {
		var compact bytes.Buffer
		if err := json.Compact(&compact, document); err != nil {
			panic(err) // a test reads it
		}
		return describeTokens(compact.String(), tokens, quoted)
	})
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(text()))
	}
}

// servePage serves the page that explains the API.
func servePage(tokens gateway.TokenDescription) http.HandlerFunc {
	// The package html would link its table of entities, 80 KB.
	escapeHTML := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")
	text := sync.OnceValue(func() string {
		for _, example := range []*order.Token{&tokens.Approved, &tokens.Declined} {
			*example = order.Token(quoted(string(*example))) // they are in JSON
		}
		return describeTokens(page, tokens, escapeHTML.Replace)
	})
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
		_, _ = w.Write([]byte(text()))
	}
}

// quoted escapes a text for the inside of a JSON string.
func quoted(text string) string {
	out, err := json.Marshal(text)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(out[1 : len(out)-1])
}

// describeTokens replaces the placeholders of a document by a gateway's tokens.
func describeTokens(text string, tokens gateway.TokenDescription, escape func(string) string) string {
	// The documents have what a gateway with a default token needs, marked by that, and
	// what one without needs, marked by ${token.required}.
	absent := []string{
		`"required":["paymentToken${token.required}"],`, `,"paymentToken":"${token.approved}${token.required}"`,
		"required${token.required}", ",\n  &#34;paymentToken&#34;: &#34;${token.approved}${token.required}&#34;",
	}
	if tokens.Default == "" {
		absent = []string{`"default":"${token.default}",`, "; default ${token.default}", "${token.required}"}
	}
	var pairs []string
	for _, fragment := range absent {
		pairs = append(pairs, fragment, "")
	}
	for name, value := range map[string]string{
		"default": string(tokens.Default), "approved": string(cmp.Or(tokens.Approved, tokens.Declined)), "declined": string(tokens.Declined),
		"pattern": tokens.Pattern, "doc": tokens.Doc,
	} {
		pairs = append(pairs, "${token."+name+"}", escape(value))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}
