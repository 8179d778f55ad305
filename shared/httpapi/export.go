package httpapi

import (
	"bytes"
	"errors"
	"net/http"

	"paylane/shared/order"
)

// OrderJSON is an order as GET /orders/{id} answers it, byte for byte, without the line
// break at its end. It has no other line break.
func OrderJSON(o order.Order) []byte {
	var body bytes.Buffer
	if err := writeJSON(&body, newOrderBody(o)); err != nil {
		panic(err) // texts and numbers can't fail to encode
	}
	return bytes.TrimSuffix(body.Bytes(), []byte("\n"))
}

// WriteError answers with the problem that an error of a use case is to callers. It is
// false for one that nobody expected: a bare 500, whose cause belongs in the log. A
// [*Problem] is answered as it is.
func WriteError(w http.ResponseWriter, err error) (known bool) {
	var own *Problem
	if errors.As(err, &own) {
		writeProblem(w, own)
		return true
	}
	p, known := problemFor(err)
	writeProblem(w, p)
	return known
}

// WriteStatus answers with a problem whose status says it all.
func WriteStatus(w http.ResponseWriter, status int, detail string) {
	writeProblem(w, plain(status, detail))
}
