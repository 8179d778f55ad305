package order

import (
	"errors"
	"math"
	"strconv"
)

// ErrOverflow reports that a sum or product does not fit in 64 bits.
var ErrOverflow = errors.New("amount is too large")

// Money is an amount in the currency's minor unit: 1234 with USD is 12.34 dollars,
// with KRW 1,234 won. There are no fractions and no rounding.
type Money struct {
	Amount   int64
	Currency Currency
}

// Plus adds an amount of the same currency. The error is [ErrOverflow].
func (m Money) Plus(amount int64) (Money, error) {
	if (amount > 0 && m.Amount > math.MaxInt64-amount) || (amount < 0 && m.Amount < math.MinInt64-amount) {
		return Money{}, ErrOverflow
	}
	m.Amount += amount
	return m, nil
}

// Times multiplies by a count. The error is [ErrOverflow].
func (m Money) Times(n int64) (Money, error) {
	product := m.Amount * n
	if n != 0 && (product/n != m.Amount || (n == -1 && m.Amount == math.MinInt64)) {
		return Money{}, ErrOverflow
	}
	m.Amount = product
	return m, nil
}

// String shows the amount in the currency's major unit, "12.34 USD".
func (m Money) String() string {
	digits, _ := m.Currency.MinorDigits()
	text := strconv.FormatInt(m.Amount, 10)
	sign := ""
	if m.Amount < 0 {
		sign, text = "-", text[1:]
	}
	if digits > 0 {
		for len(text) <= digits {
			text = "0" + text
		}
		text = text[:len(text)-digits] + "." + text[len(text)-digits:]
	}
	return sign + text + " " + string(m.Currency)
}
