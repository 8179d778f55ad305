package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// The package comment is where machines' authors look up what the report holds.
func TestEveryFieldIsDocumented(t *testing.T) {
	t.Parallel()
	doc, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, word := range strings.FieldsFunc(string(doc), func(r rune) bool {
		return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", r)
	}) {
		known[word] = true
	}
	for _, part := range []reflect.Type{
		reflect.TypeFor[report](), reflect.TypeFor[latencyReport](), reflect.TypeFor[failureReport](),
		reflect.TypeFor[floorReport](), reflect.TypeFor[floorRun](),
	} {
		for i := range part.NumField() {
			name, _, _ := strings.Cut(part.Field(i).Tag.Get("json"), ",")
			if !known[name] {
				t.Errorf("%s of %s is not in the package comment", name, part.Name())
			}
		}
	}
}
