package runtimeapi

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"paylane/shared/emulator"
)

// state is the state of an environment's process between its calls. The names are those
// in the refusals of Lambda's own Runtime API.
type state string

const (
	started      state = "Started" // in its init
	initFailed   state = "InitError"
	ready        state = "Ready"                   // waits for an invocation
	running      state = "Running"                 // has one
	sendingValue state = "InvocationResponse"      // is sending its result,
	sendingError state = "InvocationErrorResponse" // or error
	sent         state = "RuntimeResponseSentState"
)

// routes are the calls of the Runtime API, and those of the Extensions API that
// lambda.WithEnableSIGTERM makes.
func (e *environment) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", e.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", e.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", e.invocationError)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", e.initError)
	mux.HandleFunc("POST /2020-01-01/extension/register", e.register)
	mux.HandleFunc("GET /2020-01-01/extension/event/next", e.extensionEvent)
	return mux
}

// next ends the previous invocation, and answers with the next as soon as there is one.
func (e *environment) next(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	before, current := e.state, e.current
	switch before {
	case started:
		e.state, e.initTook = ready, e.function.config.Now().Sub(e.started)
		close(e.asked)
	case sent:
		e.state, e.current = ready, nil
		if current != nil {
			close(current.called)
		}
	default:
	}
	e.mu.Unlock()
	switch before {
	case running: // the answer did not reach it: it gets the same again, as on Lambda
		e.deliver(w, current)
	case started, ready, sent:
		select {
		case inv := <-e.work:
			e.mu.Lock()
			e.state, e.current, e.posting = running, inv, nil
			e.mu.Unlock()
			e.deliver(w, inv)
		case <-r.Context().Done():
		}
	default:
		refuse(w, before, ready)
	}
}

func (e *environment) deliver(w http.ResponseWriter, inv *invocation) {
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(inv.event)))
	h.Set("Lambda-Runtime-Aws-Request-Id", inv.id)
	h.Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(inv.deadline.UnixMilli(), 10))
	h.Set("Lambda-Runtime-Invoked-Function-Arn", e.function.config.ARN)
	h.Set("Lambda-Runtime-Trace-Id", inv.trace)
	_, _ = w.Write(inv.event) // the end of the process is noticed elsewhere
}

// response receives a result.
func (e *environment) response(w http.ResponseWriter, r *http.Request) {
	if mode := r.Header.Get("Lambda-Runtime-Function-Response-Mode"); mode != "" && mode != "streaming" {
		answer(w, http.StatusBadRequest, fault{"Invalid function response mode", "InvalidFunctionResponseMode"})
		return
	}
	e.post(w, r, sendingValue, func(inv *invocation) (payload []byte, err error) {
		if inv.stream != nil {
			inv.stream.Begin(r.Header.Get("Content-Type"))
			_, err = io.Copy(inv.stream, r.Body)
		} else {
			payload, err = read(r.Body)
		}
		if err != nil {
			return nil, err
		}
		return payload, trailerError(r.Trailer)
	})
}

// invocationError receives the error that the function failed with.
func (e *environment) invocationError(w http.ResponseWriter, r *http.Request) {
	e.post(w, r, sendingError, func(*invocation) ([]byte, error) {
		payload, err := read(r.Body)
		if err != nil {
			return nil, err
		}
		return nil, failure(payload)
	})
}

// post receives an invocation's outcome. take reads it: a payload, or an error that is a
// function error, errTooLarge, or one of reading.
func (e *environment) post(w http.ResponseWriter, r *http.Request, sending state, take func(*invocation) ([]byte, error)) {
	e.mu.Lock()
	before, inv := e.state, e.current
	known := inv != nil && inv.id == r.PathValue("id")
	over := make(chan struct{})
	defer close(over)
	if known && before == running {
		e.state, e.posting = sending, over
	}
	e.mu.Unlock()
	switch {
	case !known:
		answer(w, http.StatusBadRequest, fault{"Invalid request ID", "InvalidRequestID"})
		return
	case before != running:
		refuse(w, before, sending)
		return
	}

	payload, err := take(inv)
	var failed *emulator.FunctionError
	switch {
	case err == nil || errors.As(err, &failed):
		e.settle(inv, sent, payload, err)
		accept(w)
	case errors.Is(err, errTooLarge):
		e.settle(inv, sent, nil, emulator.SizeError())
		answer(w, http.StatusRequestEntityTooLarge, fault{err.Error(), "RequestEntityTooLarge"})
	default: // nothing was posted, most likely because the process ended
		e.settle(inv, running, nil, nil)
		answer(w, http.StatusBadRequest, fault{"HTTP request detected as truncated", "TruncatedHTTPRequest"})
	}
}

// settle records an outcome, unless the invocation has ended meanwhile.
func (e *environment) settle(inv *invocation, after state, payload []byte, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == inv {
		e.state, inv.payload, inv.err = after, payload, err
	}
}

// initError receives the error that an init failed with, after which the process exits.
// aws-lambda-go never calls it.
func (e *environment) initError(w http.ResponseWriter, r *http.Request) {
	payload, err := read(r.Body)
	e.mu.Lock()
	before := e.state
	if before == started && err == nil {
		e.state, e.initFailure = initFailed, failure(payload)
	}
	e.mu.Unlock()
	switch {
	case before != started:
		refuse(w, before, initFailed)
	case err != nil:
		answer(w, http.StatusBadRequest, fault{err.Error(), "TruncatedHTTPRequest"})
	default:
		accept(w)
	}
}

var errTooLarge = fmt.Errorf("Exceeded maximum allowed payload size (%d bytes).", emulator.MaxPayloadBytes) //nolint:staticcheck // Lambda's text

// read reads a body up to the limit. A larger one is read to its end too: the caller does
// not look for the answer before.
func read(body io.Reader) ([]byte, error) {
	payload, err := io.ReadAll(io.LimitReader(body, emulator.MaxPayloadBytes+1))
	if err == nil && len(payload) > emulator.MaxPayloadBytes {
		_, err = io.Copy(io.Discard, body)
		payload = nil
		err = cmp.Or(err, errTooLarge)
	}
	return payload, err
}

// fault is the answer to a refused call.
type fault struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func refuse(w http.ResponseWriter, from, to state) {
	answer(w, http.StatusForbidden, fault{
		fmt.Sprintf("State transition from %s to %s failed for runtime. Error: State transition is not allowed", from, to),
		"InvalidStateTransition",
	})
}

func accept(w http.ResponseWriter) {
	answer(w, http.StatusAccepted, map[string]string{"status": "OK"})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}
