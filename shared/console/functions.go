package console

import (
	"html/template"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paylane/shared/order"
)

// functions are what pages may call.
func (s *console) functions() template.FuncMap {
	return template.FuncMap{
		"asset": s.assets.url,
		"money": func(amount int64, currency string) string {
			return order.Money{Amount: amount, Currency: order.Currency(currency)}.String()
		},
		"clock": func(t time.Time) string { return t.UTC().Format("15:04:05.000") },
		"stamp": stamp,
		"iso":   func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
		"parse": parseTime,
		"took":  took,

		"thousands": thousands,
		"visible":   visible,
		"long":      long,
		"ago":       ago,
	}
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

// parseTime reads a time of the API; the zero time is none.
func parseTime(text string) time.Time {
	t, _ := time.Parse(time.RFC3339Nano, text)
	return t
}

// took writes a duration for people.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return d.Round(10 * time.Millisecond).String()
	default:
		return d.Round(time.Second).String()
	}
}

// statusText writes an HTTP status as its line has it.
func statusText(status int) string {
	return strings.TrimSpace(strconv.Itoa(status) + " " + http.StatusText(status))
}

// thousands writes a count with commas.
func thousands(n int) string {
	text := strconv.Itoa(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}
