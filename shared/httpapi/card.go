package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
)

// holdsCardNumber reports whether a JSON text contains something that looks like a payment
// card's number: 13 to 19 digits that pass the Luhn check (ISO/IEC 7812-1), perhaps in
// groups separated by spaces or dashes. Names, values and numbers count.
func holdsCardNumber(body []byte) bool {
	if cardIn(body) {
		return true
	}
	if !bytes.Contains(body, []byte(`\u`)) {
		return false
	}
	// A digit may be written as an escape.
	tokens := json.NewDecoder(bytes.NewReader(body))
	tokens.UseNumber()
	for {
		token, err := tokens.Token()
		if err != nil {
			return err != io.EOF && cardIn(unescapeDigits(body))
		}
		if text, ok := token.(string); ok && cardIn([]byte(text)) {
			return true
		}
	}
}

// unescapeDigits is for a text that is not JSON, which will be refused anyway.
func unescapeDigits(body []byte) []byte {
	for d := byte('0'); d <= '9'; d++ {
		body = bytes.ReplaceAll(body, []byte{'\\', 'u', '0', '0', '3', d}, []byte{d})
	}
	return body
}

const (
	minCard = 13
	maxCard = 19
)

// cardIn checks every run of digit groups. A card number may begin and end only where a
// group does; otherwise nearly every long number would contain one.
func cardIn(text []byte) bool {
	for i := 0; i < len(text); {
		if !isDigit(text[i]) {
			i++
			continue
		}
		// text[i] begins a group.
		if cardAt(text[i:]) {
			return true
		}
		for i < len(text) && isDigit(text[i]) {
			i++
		}
	}
	return false
}

// cardAt reports whether a card number begins at the start of text, which is that of a group.
func cardAt(text []byte) bool {
	var digits [maxCard]byte
	n := 0
	for i := 0; i < len(text); {
		for i < len(text) && isDigit(text[i]) {
			if n == maxCard {
				return false
			}
			digits[n] = text[i] - '0'
			n++
			i++
		}
		if n >= minCard && luhn(digits[:n]) {
			return true
		}
		start := i
		for i < len(text) && (text[i] == ' ' || text[i] == '-') {
			i++
		}
		if i == start || i == len(text) || !isDigit(text[i]) {
			return false
		}
	}
	return false
}

func luhn(digits []byte) bool {
	sum := 0
	for i := range digits {
		d := int(digits[len(digits)-1-i])
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
