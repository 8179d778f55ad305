package load_test

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"paylane/cmd/paylane/internal/load"
)

// TestEveryFieldIsDocumented: the package comment explains each field of the report.
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
	parts := []reflect.Type{reflect.TypeFor[load.Report]()}
	for seen := 0; seen < len(parts); seen++ {
		part := parts[seen]
		for i := range part.NumField() {
			field := part.Field(i)
			if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); !known[name] {
				t.Errorf("%s of %s is not in the package comment", name, part.Name())
			}
			kind := field.Type
			for kind.Kind() == reflect.Pointer || kind.Kind() == reflect.Slice {
				kind = kind.Elem()
			}
			if kind.Kind() == reflect.Struct {
				parts = append(parts, kind)
			}
		}
	}
	if len(parts) < 5 {
		t.Errorf("the report has only the parts %v", parts)
	}
}
