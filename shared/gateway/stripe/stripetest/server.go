// Package stripetest is a stand-in for Stripe's API: PaymentIntents and refunds with their
// states, idempotency that replays failures too, and a fault at any call. It holds its books
// in memory, for a test to compare with.
package stripetest

import (
	"cmp"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
)

// Fault is what happens to a call instead of its answer.
type Fault int

// The faults. "Stored" is what Stripe replays under the call's idempotency key.
const (
	None         Fault = iota
	ResetBefore        // the connection breaks, and nothing is done
	ResetAfter         // it is done, and then the connection breaks
	CutAfter           // it is done, and the answer ends in its middle
	GarbageAfter       // it is done, and the answer is no JSON
	StoredBefore       // 500, stored; nothing is done
	StoredAfter        // it is done, and then 500 is stored
	StoredLost         // it is done, 500 is stored, and then the connection breaks
	Unstored           // 503, not stored; nothing is done
	RateLimited        // 429
	Locked             // 429, lock_timeout: something else is at work on the object
	InUse              // 409: another call under the key is under way
	HangBefore         // nothing, until the client leaves; nothing is done
	HangAfter          // it is done; then nothing, until the client leaves
	NotPermitted       // 403
	InvalidOther       // 400, for what no payment is to blame for
)

// Call is a call as a fault is chosen for it.
type Call struct {
	// Name is the method and the path without ids, such as "POST /v1/payment_intents/{id}/confirm".
	Name string
	// Key is the idempotency key, if the call has one.
	Key string
	// Count is how many calls of this name and key there were, this one included.
	Count int
}

// Server is the stand-in. Its exported fields are set before the first call.
type Server struct {
	// URL is where it listens.
	URL string
	Now func() time.Time
	// Fault chooses what goes wrong; nil is nothing. Until it returns, the call is under way.
	Fault func(Call) Fault
	// SearchLag is how long an intent can't be searched for; it is a minute at first.
	SearchLag time.Duration

	mu      sync.Mutex
	key     string
	intents []*intent // oldest first
	refunds []*refund
	byID    map[string]*intent
	stored  map[string]*stored
	counts  map[string]int
	methods map[string]bool // payment methods that were used up
	inUse   map[string]bool // idempotency keys of calls under way
}

// intent is a PaymentIntent.
type intent struct {
	id, status, currency, method string
	amount, received             int64
	metadata                     map[string]string
	created                      time.Time
	failure                      *apiError
	disputed                     bool
}

// refund is a refund.
type refund struct {
	id, status, reason string
	amount             int64
	intent             *intent
	metadata           map[string]string
	created            time.Time
}

// stored is what is kept under an idempotency key.
type stored struct {
	request string // method, path and parameters
	at      time.Time
	answer  answer
}

// answer is an HTTP response.
type answer struct {
	status int
	body   any
	// notBegun says that the call failed before it was begun, so that the answer is not stored.
	notBegun bool
}

// New starts a stand-in that knows this API key, and stops it when the test ends.
func New(t testing.TB, key string) *Server {
	t.Helper()
	s := &Server{
		Now: time.Now, SearchLag: time.Minute, key: key,
		byID: make(map[string]*intent), stored: make(map[string]*stored), counts: make(map[string]int),
		methods: make(map[string]bool), inUse: make(map[string]bool),
	}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

// SetKey makes another API key the only one.
func (s *Server) SetKey(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.key = key
}

// keysLive is how long answers are stored.
const keysLive = 24 * time.Hour

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Request-Id", "req_"+short())
	if err := r.ParseForm(); err != nil {
		write(w, invalid(apiError{Message: "The parameters can't be read."}))
		return
	}
	c := s.call(r)
	if !s.begin(c.Key) {
		write(w, keyInUse())
		return
	}
	fault := None
	if s.Fault != nil {
		fault = s.Fault(c)
	}
	a, replayed := s.answer(r, c, fault)
	s.end(c.Key)
	if replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	switch fault {
	case ResetBefore, ResetAfter, StoredLost:
		reset(w)
	case HangBefore, HangAfter:
		<-r.Context().Done()
	case CutAfter:
		text, _ := json.Marshal(a.body)
		w.Header().Set("Content-Length", strconv.Itoa(len(text)))
		_, _ = w.Write(text[:len(text)/2])
		reset(w)
	case GarbageAfter:
		_, _ = w.Write([]byte("<html>"))
	default:
		write(w, a)
	}
}

// call names and counts a call.
func (s *Server) call(r *http.Request) Call {
	parts := strings.Split(r.URL.Path, "/")
	for i, part := range parts {
		if strings.HasPrefix(part, "pi_") || strings.HasPrefix(part, "re_") {
			parts[i] = "{id}"
		}
	}
	c := Call{Name: r.Method + " " + strings.Join(parts, "/"), Key: r.Header.Get("Idempotency-Key")}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[c.Name+" "+c.Key]++
	c.Count = s.counts[c.Name+" "+c.Key]
	return c
}

// begin takes an idempotency key for a call, unless another one has it.
func (s *Server) begin(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.inUse[key] {
		return false
	}
	s.inUse[key] = key != ""
	return true
}

func (s *Server) end(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.inUse, key)
}

// refusal is what a fault answers in place of doing anything.
func refusal(fault Fault) (a answer, refused bool) {
	switch fault {
	case RateLimited:
		a = failed(http.StatusTooManyRequests, apiError{Type: invalidRequest, Code: "rate_limit", Message: "Too many requests."})
	case Locked:
		a = failed(http.StatusTooManyRequests, apiError{Type: invalidRequest, Code: "lock_timeout", Message: "This object cannot be accessed right now."})
	case InUse:
		a = keyInUse()
	case Unstored:
		a = failed(http.StatusServiceUnavailable, apiError{Type: "api_error", Message: "Unavailable."})
	case NotPermitted:
		a = failed(http.StatusForbidden, apiError{Type: invalidRequest, Message: "The provided key does not have the required permissions."})
	case InvalidOther:
		a = invalid(apiError{Code: "account_invalid", Message: "Your account cannot do this."})
	case ResetBefore, HangBefore:
	default:
		return answer{}, false
	}
	return a, true
}

func keyInUse() answer {
	return failed(http.StatusConflict, apiError{
		Type: invalidRequest, Code: "idempotency_key_in_use", Message: "There is currently another in-progress request using this Idempotent Key.",
	})
}

// answer acts, at most once under an idempotency key, and stores what must be stored.
func (s *Server) answer(r *http.Request, c Call, fault Fault) (a answer, replayed bool) {
	if a, refused := refusal(fault); refused {
		return a, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if r.Header.Get("Authorization") != "Bearer "+s.key {
		return failed(http.StatusUnauthorized, apiError{Type: invalidRequest, Message: "Invalid API Key provided: sk_test_********"}), false
	}
	if r.Method != http.MethodPost || c.Key == "" {
		return s.act(r, c.Name), false
	}
	request := r.Method + " " + r.URL.Path + "?" + r.PostForm.Encode()
	if kept := s.stored[c.Key]; kept != nil && s.Now().Sub(kept.at) < keysLive {
		if kept.request != request {
			return failed(http.StatusBadRequest, apiError{Type: "idempotency_error", Message: "Keys for idempotent requests can only be used with the same parameters they were first used with."}), false
		}
		return kept.answer, true
	}
	if fault == StoredBefore {
		a = internal()
	} else {
		a = s.act(r, c.Name)
	}
	if fault == StoredAfter || fault == StoredLost {
		a = internal()
	}
	if !a.notBegun {
		s.stored[c.Key] = &stored{request: request, at: s.Now(), answer: a}
	}
	return a, false
}

func internal() answer {
	return failed(http.StatusInternalServerError, apiError{Type: "api_error", Message: "An unknown error occurred."})
}

// act does what is asked for. The caller holds the lock.
func (s *Server) act(r *http.Request, name string) answer {
	switch name {
	case "POST /v1/payment_intents":
		return s.createIntent(r.PostForm)
	case "POST /v1/payment_intents/{id}/confirm", "POST /v1/payment_intents/{id}/cancel", "GET /v1/payment_intents/{id}":
		id := strings.Split(r.URL.Path, "/")[3]
		i := s.byID[id]
		switch {
		case i == nil:
			return missing("payment_intent", "intent", id)
		case strings.HasSuffix(name, "/confirm"):
			return s.confirm(i)
		case strings.HasSuffix(name, "/cancel"):
			return s.cancel(i)
		}
		return s.shown(i)
	case "GET /v1/payment_intents":
		return s.listIntents(r.Form)
	case "GET /v1/payment_intents/search":
		return s.search(r.Form)
	case "POST /v1/refunds":
		return s.createRefund(r.PostForm)
	case "GET /v1/refunds":
		return s.listRefunds(r.Form)
	case "GET /v1/refunds/{id}":
		id := strings.Split(r.URL.Path, "/")[3]
		if i := slices.IndexFunc(s.refunds, func(f *refund) bool { return f.id == id }); i >= 0 {
			return shown(s.refunds[i].json())
		}
		return missing("refund", "refund", id)
	}
	return notFound(apiError{Message: "Unrecognized request URL (" + name + ")."})
}

func write(w http.ResponseWriter, a answer) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(a.status)
	_ = json.NewEncoder(w).Encode(a.body)
}

// reset breaks the connection.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	_ = connection.Close()
}

// metadata reads metadata[k]=v.
func metadata(form url.Values) map[string]string {
	values := make(map[string]string)
	for name := range form {
		if key, ok := strings.CutPrefix(name, "metadata["); ok {
			values[strings.TrimSuffix(key, "]")] = form.Get(name)
		}
	}
	return values
}

// window reads the filter created, and the limit.
func window(form url.Values, created time.Time) bool {
	at := created.Unix()
	from, _ := strconv.ParseInt(form.Get("created[gte]"), 10, 64)
	to, err := strconv.ParseInt(form.Get("created[lt]"), 10, 64)
	return at >= from && (err != nil || at < to)
}

// page returns part of a list of objects, newest first, as a list.
func page(path string, form url.Values, ids []string, objects []any) answer {
	limit, err := strconv.Atoi(cmp.Or(form.Get("limit"), "10"))
	if err != nil || limit < 1 || limit > 100 {
		return invalid(apiError{Param: "limit", Message: "Invalid limit."})
	}
	if after := form.Get("starting_after"); after != "" {
		at := slices.Index(ids, after)
		if at < 0 {
			return missing("object", "starting_after", after)
		}
		objects = objects[at+1:]
	}
	more := len(objects) > limit
	if more {
		objects = objects[:limit]
	}
	return shown(map[string]any{"object": "list", "url": path, "has_more": more, "data": append([]any{}, objects...)})
}

func short() string { return strings.ReplaceAll(uuid.NewString(), "-", "")[:24] }
