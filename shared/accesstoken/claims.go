package accesstoken

import (
	"bytes"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Claims are the claims of a verified token, as encoding/json decodes them with numbers as
// [json.Number].
type Claims map[string]any

// wrong says which of the authorizer's rules the claims break; it returns "" if none. There
// is no leeway for clocks that differ, because none is documented.
func (v *Verifier) wrong(c Claims) string {
	now := float64(v.now().UnixNano()) / float64(time.Second)
	if c["iss"] != v.issuer {
		return "the token does not have a valid issuer"
	}
	if expires, ok := c.seconds("exp"); !ok || expires <= now {
		return "the token has expired"
	}
	for _, name := range []string{"nbf", "iat"} {
		if _, there := c[name]; !there {
			continue
		}
		if begins, ok := c.seconds(name); !ok || begins > now {
			return "the token is not valid yet"
		}
	}
	meant, there := c["aud"]
	if !there { // not even null
		meant = c["client_id"]
	}
	if !slices.ContainsFunc(texts(meant), func(a string) bool { return slices.Contains(v.audience, a) }) {
		return "the token does not have a valid audience"
	}
	return ""
}

// seconds returns a claim that is a time since 1970; ok is false if it is not a number.
func (c Claims) seconds(name string) (s float64, ok bool) {
	number, ok := c[name].(json.Number)
	if !ok {
		return 0, false
	}
	s, _ = number.Float64() // infinite if it is too large
	return s, true
}

// Expires returns when the token expires, or zero if that is after the year 9999.
func (c Claims) Expires() time.Time {
	const beyond = 253402300800 // seconds: the year 10000
	s, ok := c.seconds("exp")
	if !ok || s >= beyond {
		return time.Time{}
	}
	whole, part := math.Modf(s)
	return time.Unix(int64(whole), int64(part*float64(time.Second)))
}

// Text returns a claim as API Gateway passes it to functions: numbers and booleans as text,
// a list as "[a b]", an object as JSON. It returns "" if the claim is absent or null.
func (c Claims) Text(name string) string { return text(c[name]) }

// Strings returns all claims as API Gateway passes them to functions, without those that
// are null.
func (c Claims) Strings() map[string]string {
	all := make(map[string]string, len(c))
	for name, value := range c {
		if value != nil {
			all[name] = text(value)
		}
	}
	return all
}

// Scopes returns the scopes of the token: those in the claim scope, separated by spaces, or
// without that claim the list scp.
func (c Claims) Scopes() []string {
	if _, ok := c["scope"]; ok {
		return fields(c["scope"])
	}
	return fields(c["scp"])
}

func fields(claim any) []string {
	var all []string
	for _, part := range texts(claim) {
		all = append(all, strings.Fields(part)...)
	}
	return all
}

// texts returns the strings in a claim that is a string or a list.
func texts(claim any) []string {
	switch claim := claim.(type) {
	case string:
		return []string{claim}
	case []any:
		var all []string
		for _, item := range claim {
			if one, ok := item.(string); ok {
				all = append(all, one)
			}
		}
		return all
	}
	return nil
}

func text(claim any) string {
	switch claim := claim.(type) {
	case nil:
		return ""
	case string:
		return claim
	case bool:
		return strconv.FormatBool(claim)
	case json.Number:
		return claim.String()
	case []any:
		items := make([]string, len(claim))
		for i, item := range claim {
			items[i] = text(item)
		}
		return "[" + strings.Join(items, " ") + "]"
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(claim); err != nil {
		panic(err) // it was decoded from JSON
	}
	return strings.TrimSuffix(out.String(), "\n")
}
