package filter_test

import (
	"testing"

	"paylane/shared/emulator/filter"
)

func TestMatch(t *testing.T) {
	rows := []struct {
		name, pattern, body string
		want                bool
	}{
		{"equals", `{"body":{"k":["v"]}}`, `{"k":"v"}`, true},
		{"equals, other value", `{"body":{"k":["v"]}}`, `{"k":"w"}`, false},
		{"equals, one of two", `{"body":{"k":["v","w"]}}`, `{"k":"w"}`, true},
		{"equals a number", `{"body":{"k":[1]}}`, `{"k":1.0}`, true},
		{"a number is not a string", `{"body":{"k":[1]}}`, `{"k":"1"}`, false},
		{"null", `{"body":{"k":[null]}}`, `{"k":null}`, true},
		{"null is not absent", `{"body":{"k":[null]}}`, `{}`, false},
		{"two fields are and", `{"body":{"a":["x"],"b":["y"]}}`, `{"a":"x","b":"z"}`, false},
		{"nested", `{"body":{"a":{"b":["x"]}}}`, `{"a":{"b":"x"}}`, true},
		{"nested, not an object", `{"body":{"a":{"b":["x"]}}}`, `{"a":"b"}`, false},
		{"in a list", `{"body":{"k":["v"]}}`, `{"k":["u","v"]}`, true},
		{"in objects of a list", `{"body":{"k":{"n":["v"]}}}`, `{"k":[{"n":"u"},{"n":"v"}]}`, true},
		{"prefix", `{"body":{"k":[{"prefix":"ab"}]}}`, `{"k":"abc"}`, true},
		{"prefix, not", `{"body":{"k":[{"prefix":"ab"}]}}`, `{"k":"bab"}`, false},
		{"suffix", `{"body":{"k":[{"suffix":"bc"}]}}`, `{"k":"abc"}`, true},
		{"ignore case", `{"body":{"k":[{"equals-ignore-case":"ABC"}]}}`, `{"k":"aBc"}`, true},
		{"anything but", `{"body":{"k":[{"anything-but":["v"]}]}}`, `{"k":"w"}`, true},
		{"anything but, that", `{"body":{"k":[{"anything-but":["v"]}]}}`, `{"k":"v"}`, false},
		{"anything but, absent", `{"body":{"k":[{"anything-but":["v"]}]}}`, `{}`, false},
		{"anything but a prefix", `{"body":{"k":[{"anything-but":{"prefix":"v"}}]}}`, `{"k":"vw"}`, false},
		{"numeric", `{"body":{"k":[{"numeric":[">",0,"<=",5]}]}}`, `{"k":5}`, true},
		{"numeric, outside", `{"body":{"k":[{"numeric":[">",0,"<=",5]}]}}`, `{"k":0}`, false},
		{"exists", `{"body":{"k":[{"exists":true}]}}`, `{"k":null}`, true},
		{"exists, not", `{"body":{"k":[{"exists":true}]}}`, `{}`, false},
		{"absent", `{"body":{"k":[{"exists":false}]}}`, `{}`, true},
		{"absent, not", `{"body":{"k":[{"exists":false}]}}`, `{"k":1}`, false},
		{"$or, one", `{"body":{"$or":[{"a":["x"]},{"b":["y"]}]}}`, `{"b":"y"}`, true},
		{"$or, none", `{"body":{"$or":[{"a":["x"]},{"b":["y"]}]}}`, `{"b":"x"}`, false},
		{"$or beside a field", `{"body":{"c":["z"],"$or":[{"a":["x"]},{"b":["y"]}]}}`, `{"b":"y"}`, false},

		{"JSON pattern, body text", `{"body":{"k":["v"]}}`, `plain`, false},
		{"JSON pattern, broken JSON", `{"body":{"k":["v"]}}`, `{"k":"v"`, false},
		{"JSON pattern, two values", `{"body":{"k":["v"]}}`, `{"k":"v"}{}`, false},
		{"text pattern, body text", `{"body":["plain",{"prefix":"x"}]}`, `plain`, true},
		{"text pattern, body JSON", `{"body":[{"prefix":"{"}]}`, `{"k":"v"}`, false},
		{"text pattern, body that begins like JSON", `{"body":[{"prefix":"["}]}`, `[INFO] started`, true},
		{"no body in the pattern", `{"messageAttributes":{"kind":{"stringValue":["order"]}}}`, `anything`, true},
		{"metadata, other value", `{"messageAttributes":{"kind":{"stringValue":["refund"]}}}`, `{"k":"v"}`, false},
		{"metadata and body", `{"eventSource":["aws:sqs"],"body":{"k":["v"]}}`, `{"k":"v"}`, true},
		{"empty pattern", `{}`, `plain`, true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			pattern, err := filter.Compile(row.pattern)
			if err != nil {
				t.Fatal(err)
			}
			record := map[string]any{
				"body": row.body, "eventSource": "aws:sqs",
				"messageAttributes": map[string]any{"kind": map[string]any{"stringValue": "order"}},
			}
			if got := pattern.Match(record); got != row.want {
				t.Errorf("match is %v, want %v", got, row.want)
			}
			if record["body"] != row.body {
				t.Error("the record was changed")
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	for name, pattern := range map[string]string{
		"not JSON":              `{`,
		"two values":            `{}{}`,
		"no object":             `["a"]`,
		"a value without list":  `{"body":"x"}`,
		"an empty list":         `{"body":{"k":[]}}`,
		"a list in a list":      `{"body":{"k":[["v"]]}}`,
		"an unknown operator":   `{"body":{"k":[{"wildcard":"a*"}]}}`,
		"two operators":         `{"body":{"k":[{"prefix":"a","suffix":"b"}]}}`,
		"exists without truth":  `{"body":{"k":[{"exists":"yes"}]}}`,
		"prefix without a text": `{"body":{"k":[{"prefix":1}]}}`,
		"numeric without pairs": `{"body":{"k":[{"numeric":[">"]}]}}`,
		"numeric by a text":     `{"body":{"k":[{"numeric":[">","1"]}]}}`,
		"anything-but nothing":  `{"body":{"k":[{"anything-but":[]}]}}`,
		"$or of one":            `{"body":{"$or":[{"a":["x"]}]}}`,
		"$or of texts":          `{"body":{"$or":["a","b"]}}`,
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := filter.Compile(pattern); err == nil {
				t.Errorf("%s was accepted", pattern)
			}
		})
	}
}
