package httpapi

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/danielgtaylor/huma/v2"
)

// queryNames returns the names of the query parameters that an operation takes: those of
// its input type, and tenant.
func queryNames(op *huma.Operation) []string {
	var names []string
	for _, p := range op.Parameters {
		if p.In == "query" {
			names = append(names, p.Name)
		}
	}
	return append(names, "tenant")
}

// maxQueryErrors bounds how many parameters one answer complains about.
const maxQueryErrors = 10

// checkQuery refuses a query with anything but the parameters named, each at most once: what
// is ignored might be a filter, and the answer then shows what it should not. Of values it
// refuses only card numbers.
func checkQuery(rawQuery string, names ...string) *Problem {
	if rawQuery == "" {
		return nil
	}
	var bad, cards []FieldDetail
	seen := make(map[string]int)
	for pair := range strings.SplitSeq(rawQuery, "&") {
		if pair == "" || len(bad) == maxQueryErrors {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		unescaped, err := url.QueryUnescape(name)
		if err == nil {
			name = unescaped
		}
		plain, invalid := url.QueryUnescape(value)
		if invalid != nil {
			err, plain = invalid, value
		}
		switch {
		case holdsCard(name):
			cards = append(cards, cardDetail("query"))
			continue
		case holdsCard(plain):
			cards = append(cards, cardDetail("query."+shown(name)))
			continue
		}
		seen[name]++
		wrong := ""
		switch known := slices.Contains(names, name); {
		case !known && seen[name] == 1:
			wrong = unknownParameter(name, names)
		case known && seen[name] == 2:
			wrong = "must not be repeated"
		case known && seen[name] == 1 && (err != nil || strings.Contains(value, ";")):
			wrong = "is not percent-encoded: write % as %25 and ; as %3B" // url.ParseQuery would drop it
		}
		if wrong != "" {
			bad = append(bad, FieldDetail{Location: "query." + shown(name), Message: wrong})
		}
	}
	switch {
	case len(cards) > 0:
		return cardNumber(firstOfEach(cards)...)
	case len(bad) > 0:
		return typeInvalid.problem(seeErrors, bad...)
	}
	return nil
}

func unknownParameter(name string, names []string) string {
	if len(names) == 0 {
		return "is not a parameter; this operation takes none"
	}
	message := "is not a parameter; this operation takes " + strings.Join(names, ", ")
	if near := nearest(shown(name), names); near != "" {
		message += " (did you mean " + near + "?)"
	}
	return message
}

const (
	// maxShown is how much of a name is repeated, in characters.
	maxShown = 40
	// manyDigits is how many digits may be a card number.
	manyDigits = 12
)

// shown returns a name that a caller made up as it may be repeated: cut, without what is
// not printable, and without the digits if they could be a card number.
func shown(name string) string {
	digits := 0
	for _, r := range name {
		if unicode.IsDigit(r) {
			digits++
		}
	}
	var out []rune
	for _, r := range name {
		switch {
		case len(out) == maxShown:
			return string(append(out, '…'))
		case digits >= manyDigits && unicode.IsDigit(r):
			r = '#'
		case !strconv.IsPrint(r):
			r = unicode.ReplacementChar
		}
		out = append(out, r)
	}
	return string(out)
}

// nearest returns the name that another is probably a misspelling of, or "".
func nearest(misspelt string, names []string) string {
	const most = 2 // mistakes
	found, least := "", most+1
	for _, name := range names {
		if d := distance(strings.ToLower(misspelt), strings.ToLower(name)); d < min(least, len(name)) {
			found, least = name, d
		}
	}
	return found
}

// distance returns the Levenshtein distance of two texts, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0]++
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d++
			}
			diagonal = row[j+1]
			row[j+1] = min(d, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
