package reference_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"paylane/shared/order"
	"paylane/shared/sim/reference"
)

// The two tenants of the scripts, and the order of tenant a's key k.
const a, b = "a", "b"

func id() string { return order.KeyedID(a, "k") }

// play records a script: each line is a request and its answer,
//
//	client: METHOD what [if=version] [unless=version] [#key] [body] -> status [STATUS version] [name=value …]
//
// of which the request comes and goes before the next line; or, with > for ->, only after
// all lines. An answer of ? is lost. What is an action on tenant a's order k; client b is
// another tenant.
func play(t *testing.T, script string) *reference.History {
	t.Helper()
	var h reference.History
	lines := slices.DeleteFunc(strings.Split(script, "\n"), func(line string) bool { return strings.TrimSpace(line) == "" })
	for i, line := range lines {
		line = strings.TrimSpace(line)
		request, answer, ok := strings.Cut(line, " -> ")
		returned := int64(2*i + 1)
		if !ok {
			request, answer, ok = strings.Cut(line, " > ")
			returned = int64(2*len(lines) + i)
		}
		tenant, request, named := strings.Cut(request, ": ")
		if !ok || !named {
			t.Fatalf("%q is not a line of a script", line)
		}
		request, body, _ := strings.Cut(request, " {")
		if body != "" {
			body = "{" + body
		}
		header := http.Header{}
		request, key, _ := strings.Cut(request, " #")
		request, unless, _ := strings.Cut(request, " unless=")
		request, only, _ := strings.Cut(request, " if=")
		header.Set("If-None-Match", strconv.Quote(unless))
		header.Set("If-Match", strconv.Quote(only))
		method, what, _ := strings.Cut(request, " ")
		path := "/orders/" + id() + what
		if what == "/orders" {
			path = what
		}
		if key != "" {
			header.Set("Idempotency-Key", key)
		}
		in, err := reference.Observe(tenant, method, path, header, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		handle := h.Begin(i, in, int64(2*i))
		if answer != "?" {
			h.End(handle, answered(t, answer), returned)
		}
	}
	return &h
}

// answered is the Output of an answer in a script. What it leaves out of an order follows from
// the status.
func answered(t *testing.T, answer string) reference.Output {
	t.Helper()
	words := strings.Fields(answer)
	status, err := strconv.Atoi(words[0])
	if err != nil {
		t.Fatal(err)
	}
	header := http.Header{}
	body := map[string]any{"id": id(), "amount": 5, "currency": "KRW", "createdAt": "then", "attempts": []any{}}
	outcome := ""
	if status == http.StatusNotModified {
		header.Set("ETag", words[1])
		out, err := reference.Observed(status, header, nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if status >= http.StatusBadRequest {
		body = map[string]any{"type": "/docs#" + words[1]}
		if len(words) > 2 {
			body["detail"] = "No; this one is " + words[2] + "."
		}
	} else {
		body["status"], body["version"] = words[1], json.Number(words[2])
		outcome = map[string]string{
			"PROCESSING": "pending", "PAID": "approved", "REFUNDING": "approved", "REFUNDED": "approved", "FAILED": "unavailable",
		}[words[1]]
		if outcome == "approved" {
			body["paymentRef"] = "PAY"
		}
		if words[1] == "FAILED" {
			body["failure"] = map[string]string{"code": "no"}
		}
		var refunds []map[string]any
		done := 0
		for _, word := range words[3:] {
			name, value, _ := strings.Cut(word, "=")
			switch name {
			case "replayed":
				header.Set("Idempotency-Replayed", "true")
			case "etag":
				header.Set("ETag", strconv.Quote(value))
			case "outcome":
				outcome = value
			case "refund":
				amount, how, _ := strings.Cut(value, ":")
				n, err := strconv.Atoi(amount)
				if err != nil {
					t.Fatal(err)
				}
				if how == "DONE" {
					done += n
				}
				refunds = append(refunds, map[string]any{"id": len(refunds), "amount": n, "status": how})
			default:
				body[name] = value
			}
		}
		for i := range refunds {
			refunds[i]["id"] = fmt.Sprint("r", i)
		}
		body["refunds"], body["refundedAmount"] = refunds, done
	}
	if outcome != "" {
		body["attempts"] = []map[string]any{{"number": 1, "outcome": outcome}}
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	out, err := reference.Observed(status, header, text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestHistories: the specification accepts what the API may do, and nothing else.
func TestHistories(t *testing.T) {
	const placed = `a: POST /orders #k {"amount": 5} -> 201 PENDING 1` + "\n"
	const settled = placed + "a: GET  -> 200 PAID 3\n"
	for _, tt := range []struct {
		name, script string
		bad          bool
	}{
		{name: "nothing"},
		{"an order's life", placed + `
			a: GET  -> 200 PENDING 1 etag=1
			a: GET  -> 200 PROCESSING 2
			a: GET  -> 200 PAID 3 etag=3
			a: POST /orders #k {"currency": "KRW", "amount": 5, "paymentToken": "tok_ok"} -> 201 PENDING 1 replayed
			a: POST /orders #k {"amount": 6} -> 422 idempotency-key-reused
			a: POST /cancel -> 409 wrong-state PAID
			a: POST /refund {"amount": 2} -> 400 idempotency-key-required
			a: POST /refund #r {"amount": 2} -> 202 REFUNDING 4 refund=2:PENDING
			a: POST /refund #s {"amount": 1} -> 409 wrong-state
			a: POST /refund #r {"amount": 2} -> 200 REFUNDING 5 refund=2:PENDING replayed
			a: GET  -> 200 PAID 6 refund=2:DONE
			a: POST /refund #r {"amount": 3} -> 422 idempotency-key-reused
			a: POST /refund #s {"amount": 4} -> 422 invalid-request
			a: POST /refund -> 202 REFUNDING 7 refund=2:DONE refund=3:PENDING
			a: POST /refund -> 200 REFUNDING 8 refund=2:DONE refund=3:PENDING
			a: GET  -> 200 REFUNDED 9 refund=2:DONE refund=3:DONE
			a: POST /refund -> 200 REFUNDED 9 refund=2:DONE refund=3:DONE`, false},
		{"an order that was declined", placed + `
			a: GET  -> 200 FAILED 3 outcome=declined
			a: POST /retry -> 409 wrong-state
			a: POST /pay {"paymentToken": "tok_2"} -> 202 PENDING 4 outcome=declined
			a: POST /pay {"paymentToken": "tok_2"} -> 200 PROCESSING 5
			a: POST /pay {"paymentToken": "tok_3"} -> 409 wrong-state PROCESSING
			a: GET  -> 200 FAILED 7
			a: POST /retry -> 202 PENDING 8 outcome=unavailable`, false},
		{"an order that is erased", `
			a: POST /orders #k {"amount": 5, "customerId": "c"} -> 201 PENDING 1 customerId=c
			a: POST /erase -> 409 wrong-state PENDING
			a: POST /cancel -> 200 CANCELED 2 customerId=c
			a: POST /erase -> 200 CANCELED 3
			a: POST /erase -> 200 CANCELED 3
			a: POST /orders #k {"amount": 5, "customerId": "c"} -> 201 PENDING 1 replayed`, false},
		{"a refund that is declined", settled + `
			a: POST /refund -> 202 REFUNDING 4 refund=5:PENDING
			a: GET  -> 200 PAID 6 refund=5:DECLINED
			a: POST /refund -> 202 REFUNDING 7 refund=5:DECLINED refund=5:PENDING`, false},
		{"one of two at once makes the order", `
			a: POST /orders #k {"amount": 5} > 201 PENDING 1 replayed
			a: POST /orders #k {"amount": 5} > 201 PENDING 1`, false},
		{"a lost order is there", `
			a: POST /orders #k {"amount": 5} -> ?
			a: GET  -> 404 order-not-found
			a: GET  -> 200 PENDING 1`, false},
		{"a lost order is not there", `
			a: POST /orders #k {"amount": 5} -> ?
			a: POST /orders #k {"amount": 5} -> 503 unavailable
			a: GET  -> 404 order-not-found`, false},
		{"a lost cancellation comes late", placed + `
			a: POST /cancel -> ?
			a: GET  -> 200 PENDING 1
			a: GET  -> 200 CANCELED 2`, false},
		{"a tombstone in the order's place", `
			a: GET  -> 404 order-not-found
			a: POST /orders #k {"amount": 5} -> 201 PENDING 3
			a: POST /orders #k {"amount": 5} -> 201 PENDING 3 replayed`, false},
		{"another tenant finds nothing", placed + `b: GET  -> 404 order-not-found`, false},

		{"conditions", placed + `
			a: GET  unless=1 -> 304 "1"
			a: POST /cancel unless=1 -> 412 precondition-failed
			a: POST /cancel if=2 -> 412 precondition-failed
			a: POST /retry if=2 -> 412 precondition-failed
			a: POST /cancel if=1 -> 200 CANCELED 2
			a: GET  unless=1 -> 200 CANCELED 2`, false},

		{"called unchanged, and it is not", placed + `a: GET  unless=1 -> 304 "2"`, true},
		{"changed against a condition", placed + `
			a: GET  -> 200 PROCESSING 2
			a: GET  -> 200 FAILED 3
			a: POST /retry if=1 -> 202 PENDING 4 outcome=unavailable`, true},
		{"refused for its own version", placed + `
			a: POST /cancel -> 200 CANCELED 2
			a: POST /cancel if=2 -> 412 precondition-failed`, true},
		{"an acknowledged order is lost", placed + `a: GET  -> 404 order-not-found`, true},
		{"another tenant finds the order", placed + `b: GET  -> 200 PENDING 1`, true},
		{"a read goes back", settled + `a: GET  -> 200 PROCESSING 2`, true},
		{"a read goes back while others are lost", placed + `
			a: POST /cancel -> ?
			a: POST /retry -> ?
			a: GET  -> 200 PROCESSING 2
			a: GET  -> 200 PENDING 1`, true},
		{"the version stays", placed + `a: GET  -> 200 PROCESSING 1`, true},
		{"the version of the ETag is another", placed + `a: GET  -> 200 PROCESSING 2 etag=1`, true},
		{"a change too many for its version", placed + `a: GET  -> 200 PAID 2`, true},
		{"a replay of the present", settled + `a: POST /orders #k {"amount": 5} -> 201 PAID 3 replayed`, true},
		{"a replay that does not say so", settled + `a: POST /orders #k {"amount": 5} -> 201 PENDING 1`, true},
		{"a replay of another time", settled + `a: POST /orders #k {"amount": 5} -> 201 PENDING 1 replayed createdAt=now`, true},
		{"another body is taken", placed + `a: POST /orders #k {"amount": 6} -> 201 PENDING 1 replayed`, true},
		{"another token is taken", placed + `a: POST /orders #k {"amount": 5, "paymentToken": "t"} -> 201 PENDING 1 replayed`, true},
		{"another body's order", `
			a: POST /orders #k {"amount": 6} -> ?
			a: POST /orders #k {"amount": 5} -> 201 PENDING 1
			a: POST /orders #k {"amount": 6} -> 201 PENDING 1 replayed`, true},
		{"canceled while it is charged", placed + `
			a: GET  -> 200 PROCESSING 2
			a: POST /cancel -> 200 CANCELED 3`, true},
		{"charged though it was canceled", placed + `
			a: POST /cancel -> 200 CANCELED 2
			a: GET  -> 200 PAID 4`, true},
		{"refused for what it is not", placed + `
			a: GET  -> 200 PROCESSING 2
			a: POST /retry -> 409 wrong-state PENDING`, true},
		{"refused for nothing", settled + `a: POST /refund -> 409 wrong-state`, true},
		{"a declined order is retried", placed + `
			a: GET  -> 200 FAILED 3 outcome=declined
			a: POST /retry -> 202 PENDING 4 outcome=declined`, true},
		{"a paid order is paid again", settled + `a: POST /pay {"paymentToken": "t"} -> 202 PENDING 4 outcome=approved`, true},
		{"refunded without being asked", settled + `a: GET  -> 200 REFUNDED 5 refund=5:DONE`, true},
		{"refunded twice under one key", settled + `
			a: POST /refund #r {"amount": 2} -> 202 REFUNDING 4 refund=2:PENDING
			a: GET  -> 200 PAID 6 refund=2:DONE
			a: POST /refund #r {"amount": 2} -> 202 REFUNDING 7 refund=2:DONE refund=2:PENDING`, true},
		{"more refunded than there was", settled + `
			a: POST /refund #r {"amount": 4} -> 202 REFUNDING 4 refund=4:PENDING
			a: GET  -> 200 PAID 6 refund=4:DONE
			a: POST /refund #s {"amount": 2} -> 202 REFUNDING 7 refund=4:DONE refund=2:PENDING`, true},
		{"REFUNDED though something is left", settled + `
			a: POST /refund #r {"amount": 4} -> 202 REFUNDING 4 refund=4:PENDING
			a: GET  -> 200 REFUNDED 6 refund=4:DONE`, true},
		{"an acknowledged refund is forgotten", settled + `
			a: POST /refund #r {"amount": 4} -> 202 REFUNDING 4 refund=4:PENDING
			a: GET  -> 200 PAID 6`, true},
		{"an acknowledged retry is forgotten", placed + `
			a: GET  -> 200 FAILED 3
			a: POST /retry -> 202 PENDING 4 outcome=unavailable
			a: GET  -> 200 FAILED 3`, true},
		{"an attempt is forgotten", placed + `
			a: GET  -> 200 PROCESSING 2
			a: GET  -> 200 PROCESSING 3 outcome=`, true},
		{"paid by no attempt", placed + `a: GET  -> 200 PAID 3 outcome=pending`, true},
		{"charged twice", settled + `a: GET  -> 200 PAID 4 paymentRef=PAY2`, true},
		{"what was erased comes back", `
			a: POST /orders #k {"amount": 5, "customerId": "c"} -> 201 PENDING 1 customerId=c
			a: POST /cancel -> 200 CANCELED 2 customerId=c
			a: POST /erase -> 200 CANCELED 3
			a: POST /orders #k {"amount": 5, "customerId": "c"} -> 201 PENDING 1 replayed customerId=c`, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var h *reference.History
			if h = new(reference.History); tt.script != "" {
				h = play(t, tt.script)
			}
			folder := t.TempDir()
			err := reference.Check(h, 10*time.Second, folder)
			if (err != nil) != tt.bad || errors.Is(err, reference.ErrUndecided) {
				t.Fatalf("the error is %v", err)
			}
			drawings, globErr := filepath.Glob(filepath.Join(folder, "*.html"))
			if globErr != nil || (len(drawings) == 1) != tt.bad {
				t.Fatalf("%v are drawn, %v", drawings, globErr)
			}
			if !tt.bad {
				return
			}
			page, readErr := os.ReadFile(drawings[0])
			if readErr != nil || len(page) == 0 || !strings.Contains(err.Error(), drawings[0]) || !strings.Contains(err.Error(), id()) {
				t.Errorf("%v, %v: %d bytes", err, readErr, len(page))
			}
		})
	}
}

// TestUnspecified: a request that the specification does not know is not taken for one that it
// knows.
func TestUnspecified(t *testing.T) {
	for _, tt := range []struct{ method, path, body string }{
		{"GET", "/orders", ""}, {"DELETE", "/orders/" + id(), ""}, {"POST", "/orders", "{"}, {"POST", "/orders/" + id() + "/refund", "{"},
		{"POST", "/orders/" + id() + "/get", ""}, {"GET", "/orders/" + id() + "/events", ""}, {"POST", "/webhooks", "{}"},
	} {
		if in, err := reference.Observe(a, tt.method, tt.path, http.Header{}, []byte(tt.body)); err == nil {
			t.Errorf("%s %s %s is %v", tt.method, tt.path, tt.body, in)
		}
	}
}
