package httpapi

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// The lengths of card numbers (ISO/IEC 7812). Shorter ones are no longer issued, and would
// be found among EAN-13 and timestamps in milliseconds.
const (
	minCard = 14
	maxCard = 19
)

// holdsCard reports whether a text contains a card number: digits, perhaps in groups joined
// by single blanks or dashes, that have an issuer's prefix and length and pass the Luhn check.
//
// What is part of something longer is not a card number. That is a group of digits that a
// letter, a digit or an underscore touches, or that a dash joins to a further group: words,
// UUIDs, hashes, order numbers such as ORD-4111-…; further, the digits of an IBAN, those
// after a decimal point, and what is grouped 3-7-7. Among other digits that blanks join to it, as in "4111 1111 1111
// 1111 12/27", a number counts only if it is one group, or grouped as on a card and not
// followed or preceded by one more group of four.
func holdsCard(text string) bool {
	digits, ascii := 0, true
	for i := range len(text) {
		if isDigit(text[i]) {
			digits++
		}
		ascii = ascii && text[i] < utf8.RuneSelf
	}
	if ascii && digits < minCard || len(text) < minCard {
		return false
	}
	if !ascii {
		text = strings.Map(asASCII, text)
	}
	groups := groupsOf(text)
	for i, g := range groups {
		if g.numeric && g.joint != '-' && !inFraction(text, g.start) && cardAt(text, groups, i) {
			return true
		}
	}
	return false
}

// asASCII maps a character to the ASCII one that does the same for a card number: every
// script's digits, blanks and dashes count. Letters of scripts without case do not extend a
// word: in "카드4111 …" the number begins after them.
func asASCII(r rune) rune {
	switch {
	case r < utf8.RuneSelf:
		return r
	case unicode.IsDigit(r):
		zero := r
		for unicode.IsDigit(zero - 1) {
			zero--
		}
		return '0' + (r-zero)%10
	case unicode.Is(unicode.Zs, r):
		return ' '
	case unicode.Is(unicode.Pd, r), r == '−':
		return '-'
	case unicode.In(r, unicode.Cf, unicode.M): // invisible, or part of the character before
		return -1
	case unicode.IsUpper(r), unicode.IsLower(r):
		return 'x'
	default:
		return ','
	}
}

// group is letters, digits and underscores without a gap.
type group struct {
	start, end int
	numeric    bool // digits only, and not an IBAN's
	joint      byte // the single blank or dash that joins it to the group before it, or 0
}

func (g group) len() int { return g.end - g.start }

func groupsOf(text string) []group {
	var groups []group
	for i := 0; i < len(text); {
		if !isDigit(text[i]) && !isWord(text[i]) {
			i++
			continue
		}
		g := group{start: i, numeric: true}
		for ; i < len(text) && (isDigit(text[i]) || isWord(text[i])); i++ {
			g.numeric = g.numeric && isDigit(text[i])
		}
		g.end = i
		if n := len(groups); n > 0 && groups[n-1].end == g.start-1 && (text[g.start-1] == ' ' || text[g.start-1] == '-') {
			g.joint = text[g.start-1]
		}
		groups = append(groups, g)
	}
	for i := range groups {
		for j := range iban(text, groups[i:]) {
			groups[i+j].numeric = false
		}
	}
	return groups
}

// iban returns how many groups make up an IBAN as it is printed (ISO 13616): in groups of
// four, of which the first is a country and two check digits. It is 0 if the check fails.
func iban(text string, groups []group) int {
	const shortest, longest = 15, 34
	head := text[groups[0].start:groups[0].end]
	if len(head) != 4 || !isUpper(head[0]) || !isUpper(head[1]) || !isDigit(head[2]) || !isDigit(head[3]) {
		return 0
	}
	var body []byte
	for i, g := range groups[1:] {
		if g.joint != ' ' || g.len() > 4 || len(body)+4+g.len() > longest {
			return 0
		}
		body = append(body, text[g.start:g.end]...)
		if len(body)+4 >= shortest && mod97(append(body[:len(body):len(body)], head...)) == 1 {
			return i + 2
		}
		if g.len() < 4 {
			return 0
		}
	}
	return 0
}

// mod97 is the remainder of ISO 7064, with letters as 10 to 35; -1 if there is another character.
func mod97(text []byte) int {
	remainder := 0
	for _, c := range text {
		switch {
		case isDigit(c):
			remainder = (remainder*10 + int(c-'0')) % 97
		case isUpper(c):
			remainder = (remainder*100 + int(c-'A') + 10) % 97
		default:
			return -1
		}
	}
	return remainder
}

// inFraction reports whether what starts here follows a decimal point.
func inFraction(text string, start int) bool {
	return start >= 2 && text[start-1] == '.' && isDigit(text[start-2])
}

// cardAt reports whether a card number begins with groups[i].
func cardAt(text string, groups []group, i int) bool {
	var digits [maxCard]byte
	n := 0
	for j := i; j < len(groups) && groups[j].numeric && (j == i || groups[j].joint != 0); j++ {
		g := groups[j]
		if n+g.len() > maxCard {
			return false
		}
		n += copy(digits[n:], text[g.start:g.end])
		if j+1 < len(groups) && groups[j+1].joint == '-' {
			continue
		}
		if n >= minCard && issued(digits[:n]) && luhn(digits[:n]) && standsOut(groups, i, j) {
			return true
		}
	}
	return false
}

// standsOut reports whether groups[i] to groups[j] are a number of their own and not some of
// the groups of a longer one.
func standsOut(groups []group, i, j int) bool {
	sizes := make([]byte, 0, maxCard)
	for _, g := range groups[i : j+1] {
		sizes = append(sizes, byte('0'+g.len()))
	}
	left := groups[i].joint != 0 && groups[i-1].numeric
	right := j+1 < len(groups) && groups[j+1].joint != 0 && groups[j+1].numeric
	switch form := string(sizes); {
	case form == "377": // an order number of Amazon's; in Europe they begin like those of Diners Club
		return false
	case i == j, !left && !right:
		return true
	case left && groups[i-1].len() == 4, right && groups[j+1].len() == 4 && groups[j].len() == 4:
		return false
	default:
		return form == "4444" || form == "44441" || form == "44442" || form == "44443" || form == "465" || form == "464"
	}
}

// issued reports whether an issuer's numbers begin like these digits and are as long. Maestro
// has only the prefixes that are nobody else's.
func issued(digits []byte) bool {
	prefix := 0
	for _, c := range digits[:4] {
		prefix = prefix*10 + int(c-'0')
	}
	within := func(low, high int) bool { return low <= prefix && prefix <= high }
	switch n := len(digits); {
	case within(4000, 4999): // Visa
		return n == 16 || n == 19
	case within(5100, 5599), within(2221, 2720): // Mastercard
		return n == 16
	case within(3400, 3499), within(3700, 3799): // American Express
		return n == 15
	case within(3000, 3059), within(3090, 3099), within(3600, 3699), within(3800, 3999): // Diners Club
		return n >= 14
	case within(3528, 3589), // JCB
		within(6011, 6011), within(6440, 6599), // Discover; its 622126 to 622925 are in 62
		within(6200, 6299), within(8100, 8199), // UnionPay
		within(5018, 5018), within(5020, 5020), within(5038, 5038), within(5893, 5893), // Maestro
		within(6304, 6304), within(6700, 6799): // Maestro
		return n >= 16
	}
	return false
}

func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i] - '0')
		if i%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
	}
	return sum%10 == 0
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }

func isWord(c byte) bool { return isUpper(c) || 'a' <= c && c <= 'z' || c == '_' }
