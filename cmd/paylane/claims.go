package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// claims are values of --claim: claims of a token, as encoding/json decodes them with
// numbers as json.Number. An absent claim that would otherwise be there is nil.
type claims map[string]any

// dates are the claims that are numbers of seconds (RFC 7519, section 4.1; OpenID Connect
// Core 1.0, section 2).
//
//nolint:gochecknoglobals // a table, never written
var dates = []string{"auth_time", "exp", "iat", "nbf", "updated_at"}

const claimUsage = "`name=value` of a claim, to add or replace it; may be repeated. A value with commas is a list, true and false are " +
	"booleans, what is in quotes, brackets or braces is JSON, and an empty value leaves the claim out"

// add takes one value of the flag.
func (c *claims) add(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return errors.New("it must be name=value")
	}
	parsed, err := claim(name, strings.TrimSpace(value))
	if err != nil {
		return err
	}
	if *c == nil {
		*c = make(claims)
	}
	(*c)[name] = parsed
	return nil
}

// number matches numbers as JSON has them.
var number = regexp.MustCompile(`^-?(0|[1-9][0-9]*)(\.[0-9]+)?$`)

func claim(name, value string) (any, error) {
	switch {
	case value == "":
		return nil, nil //nolint:nilnil // nil is a claim that is left out
	case value == "true" || value == "false":
		return value == "true", nil
	case slices.Contains(dates, name):
		if !number.MatchString(value) {
			return nil, fmt.Errorf("%s must be a time in seconds since 1970, not %q", name, value)
		}
		return json.Number(value), nil
	case strings.ContainsAny(value[:1], `"[{`):
		decoder := json.NewDecoder(strings.NewReader(value))
		decoder.UseNumber()
		var parsed any
		if err := decoder.Decode(&parsed); err != nil || decoder.More() {
			return nil, fmt.Errorf("the value of %s is not JSON: %s", name, value)
		}
		return parsed, nil
	case strings.Contains(value, ","):
		var list []any
		for item := range strings.SplitSeq(value, ",") {
			list = append(list, strings.TrimSpace(item))
		}
		return list, nil
	}
	return value, nil
}
