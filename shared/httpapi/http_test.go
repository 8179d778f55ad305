package httpapi_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/pipeline"
)

// followed returns the handler of the events of one PAID order.
func followed() http.Handler {
	return httpapi.NewEvents(httpapi.EventsConfig{
		Orders: pipeline.NewReader(&polled{order: orderAt(order.Paid, 3)}), Authenticate: as("t"), Log: slog.New(slog.DiscardHandler),
	})
}

// TestClosedQuery: on every route a parameter that is unknown, misspelt, repeated or not
// percent-encoded is refused by name, and nothing happens.
func TestClosedQuery(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	const list = "; this operation takes limit, status, customerId, cursor, tenant"
	const unknown, isCard = "is not a parameter", "has the form of a card number"
	for _, tt := range []struct {
		name, method, path, query string
		want                      []string // locations and messages
	}{
		{"unknown", "GET", "/orders", "page=2", []string{"query.page", unknown + list}},
		{"misspelt", "GET", "/orders", "statsu=PAID", []string{"query.statsu", unknown + list + " (did you mean status?)"}},
		{"in another case", "GET", "/orders", "Limit=1", []string{"query.Limit", unknown + list + " (did you mean limit?)"}},
		{"with brackets", "GET", "/orders", "status[]=PAID", []string{"query.status[]", unknown + list + " (did you mean status?)"}},
		{"without a value", "GET", "/orders", "limits", []string{"query.limits", unknown + list + " (did you mean limit?)"}},
		{"without a name", "GET", "/orders", "=1", []string{"query.", unknown + list}},
		{"escaped", "GET", "/orders", "p%61ge=2", []string{"query.page", unknown + list}},
		{"not ASCII", "GET", "/orders", "größe=1&gr%C3%B6%C3%9Fe=2", []string{"query.größe", unknown + list}},
		{"not printable", "GET", "/orders", "a%00%0D%0A%FF%E2%80%AE=1", []string{"query.a\ufffd\ufffd\ufffd\ufffd\ufffd", unknown + list}},
		{"long", "GET", "/orders", strings.Repeat("x", 5000) + "=1", []string{"query." + strings.Repeat("x", 40) + "…", unknown + list}},
		{"a card number", "GET", "/orders", "card4111-1111-1111-1111=1", []string{"query.card####-####-####-####", unknown + list}},
		{"a card number in other digits", "GET", "/orders", "４１１１１１１１１１１１１１１１=1", []string{"query", isCard}},
		{"a card number as a value", "GET", "/orders", "a=4111+1111+1111+1111&b=1", []string{"query.a", isCard}},
		{"a card number that is cut", "GET", "/orders", strings.Repeat("x", 32) + "4111111111111111", []string{"query." + strings.Repeat("x", 32) + "########…", unknown + list}},
		{"repeated", "GET", "/orders", "limit=1&limit=1", []string{"query.limit", "must not be repeated"}},
		{"repeated three times", "GET", "/orders", "status=PAID&status=FAILED&status=PAID", []string{"query.status", "must not be repeated"}},
		{"repeated in an escape", "GET", "/orders", "limit=1&l%69mit=2", []string{"query.limit", "must not be repeated"}},
		{"repeated and empty", "GET", "/orders", "cursor=&cursor=", []string{"query.cursor", "must not be repeated"}},
		{"a tenant repeated", "GET", "/orders", "tenant=t&tenant=t", []string{"query.tenant", "must not be repeated"}},
		{"a bad escape", "GET", "/orders", "status=%zz", []string{"query.status", "is not percent-encoded: write % as %25 and ; as %3B"}},
		{"a bad escape in a name", "GET", "/orders", "%zz=1", []string{"query.%zz", unknown + list}},
		{"a semicolon", "GET", "/orders", "limit=1;status=PAID", []string{"query.limit", "is not percent-encoded: write % as %25 and ; as %3B"}},
		{"a semicolon that is percent-encoded", "GET", "/orders", "limit=1&customerId=a%3Bb&x=1", []string{"query.x", unknown + list}},
		{"several", "GET", "/orders", "a=1&limit=1&b=2&limit=2", []string{
			"query.a", unknown + list, "query.b", unknown + list, "query.limit", "must not be repeated",
		}},
		{"create", "POST", "/orders", "amount=1", []string{"query.amount", unknown + "; this operation takes tenant"}},
		{"get", "GET", "/orders/" + id, "wait=20", []string{"query.wait", unknown + "; this operation takes tenant"}},
		{"cancel", "POST", "/orders/" + id + "/cancel", "tenat=t", []string{"query.tenat", unknown + "; this operation takes tenant (did you mean tenant?)"}},
		{"refund", "POST", "/orders/" + id + "/refund", "amount=1", []string{"query.amount", unknown + "; this operation takes tenant"}},
		{"retry", "POST", "/orders/" + id + "/retry", "force=1", []string{"query.force", unknown + "; this operation takes tenant"}},
		{"events", "GET", "/orders/" + followedID + "/events", "last-event-id=1", []string{
			"query.last-event-id", unknown + "; this operation takes lastEventId, tenant (did you mean lastEventId?)",
		}},
		{"events, a tenant repeated", "GET", "/orders/" + followedID + "/events", "tenant=t&tenant=t", []string{"query.tenant", "must not be repeated"}},
		{"health", "GET", "/healthz", "verbose", []string{"query.verbose", unknown + "; this operation takes none"}},
		{"document", "GET", "/openapi.json", "tenant=t", []string{"query.tenant", unknown + "; this operation takes none"}},
		{"a card number in events", "GET", "/orders/" + followedID + "/events", "tenant=4111111111111111", []string{"query.tenant", isCard}},
		{"a card number in a page", "GET", "/docs", "4111111111111111", []string{"query", isCard}},
		{"page", "GET", "/docs", "q=x", []string{"query.q", unknown + "; this operation takes none"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := request{method: tt.method, path: tt.path + "?" + tt.query}
			if tt.name == "create" {
				r.body = tea
			}
			response := a.do(t, r)
			if strings.HasSuffix(tt.path, "/events") {
				w := httptest.NewRecorder()
				followed().ServeHTTP(w, httptest.NewRequest(tt.method, r.path, nil))
				response = w.Result()
			}
			p := decode[problem](t, response)
			var got []string
			for _, e := range p.Errors {
				got = append(got, e.Location, e.Message)
			}
			wantType := "/docs#invalid-request"
			if tt.want[1] == isCard {
				wantType = "/docs#card-number"
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || response.StatusCode != http.StatusUnprocessableEntity || p.Type != wantType {
				t.Errorf("%d %s (-want +got):\n%s", response.StatusCode, p.Type, diff)
			}
		})
	}
	if r := a.do(t, request{path: "/orders?" + strings.Repeat("a&", 50) + "&b&c&d&e&f&g&h&i&j&k&l&m"}); len(decode[problem](t, r).Errors) != 10 {
		t.Error("one answer complains about more than ten parameters")
	}
	if o := decode[orderBody](t, a.do(t, request{path: "/orders/" + id + "?&tenant=t&"})); o.Version != 1 {
		t.Errorf("what was refused changed the order: %+v", o)
	}
	if r := a.do(t, request{path: "/orders?limit=2"}); strings.Count(read(t, r), `"id"`) != 1 {
		t.Error("what was refused made an order")
	}
}

// TestLastEventIDInQuery: an EventSource that can't send the header sends a parameter.
func TestLastEventIDInQuery(t *testing.T) {
	for _, tt := range []struct {
		query, header string
		status        int
	}{
		{"", "", 200},
		{"?lastEventId=2", "", 200},
		{"?lastEventId=3", "", 204},
		{"?lastEventId=3&tenant=t", "2", 200},
		{"?lastEventId=2", "3", 204},
	} {
		r := httptest.NewRequest(http.MethodGet, "/orders/"+followedID+"/events"+tt.query, nil)
		r.Header.Set("Last-Event-ID", tt.header)
		w := httptest.NewRecorder()
		followed().ServeHTTP(w, r)
		diff(t, tt.query+" "+tt.header, tt.status, w.Code)
	}
}

// TestHeadAnswersAsGet: on every route for GET, HEAD has the same status and headers.
func TestHeadAnswersAsGet(t *testing.T) {
	a := newAPI(t)
	for range 2 {
		a.create(t)
	}
	id := a.create(t).ID
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a.handler.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), tenantKey{}, "t")))
	}))
	defer server.Close()
	send := func(method, path string, header http.Header) *http.Response {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header = header
		response, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = response.Body.Close() })
		response.Header.Del("Date")
		return response
	}
	for _, tt := range []struct {
		path, name, value string
		status            int
	}{
		{"/orders", "", "", 200},
		{"/orders?limit=1", "", "", 200},
		{"/orders?limits=1", "", "", 422},
		{"/orders?cursor=x", "", "", 400},
		{"/orders/" + id, "", "", 200},
		{"/orders/" + id, "If-None-Match", `"1"`, 304},
		{"/orders/" + id, "If-Match", `"2"`, 412},
		{"/orders/" + id, "Prefer", "wait=0", 200},
		{"/orders/" + followedID, "", "", 404},
		{"/orders/" + id + "/cancel", "", "", 405},
		{"/nope", "", "", 404},
		{"/healthz", "", "", 200},
		{"/healthz?x", "", "", 422},
		{"/openapi.json", "", "", 200},
		{"/docs", "", "", 200},
	} {
		t.Run(tt.path+" "+tt.name, func(t *testing.T) {
			header := http.Header{}
			if tt.name != "" {
				header.Set(tt.name, tt.value)
			}
			get, head := send(http.MethodGet, tt.path, header), send(http.MethodHead, tt.path, header)
			if get.StatusCode != tt.status || head.StatusCode != tt.status || read(t, head) != "" {
				t.Errorf("GET %d, HEAD %d, want %d", get.StatusCode, head.StatusCode, tt.status)
			}
			get.Header.Del("Content-Length") // which net/http leaves out of a HEAD's long answer
			head.Header.Del("Content-Length")
			if d := cmp.Diff(get.Header, head.Header); d != "" {
				t.Errorf("headers (-GET +HEAD):\n%s", d)
			}
		})
	}
}

// TestContentEncoding: a body in a content coding is refused by every operation that could
// have one, and nothing happens.
func TestContentEncoding(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	for _, path := range []string{"/orders", "/orders/" + id + "/cancel", "/orders/" + id + "/refund", "/orders/" + id + "/retry"} {
		for coding, refused := range map[string]bool{
			"gzip": true, "GZIP": true, "br": true, "identity, gzip": true, "gzip, identity": true, "aws-chunked": true, "x": true,
			"": false, "identity": false, "Identity": false, "identity, identity": false, ",": false,
		} {
			if !refused && path != "/orders" {
				continue
			}
			r := a.do(t, request{method: http.MethodPost, path: path, body: tea, header: map[string]string{"Content-Encoding": coding}})
			want := http.StatusCreated
			if refused {
				want = http.StatusUnsupportedMediaType
			}
			if r.StatusCode != want || refused && (r.Header.Get("Accept-Encoding") != "identity" || decode[problem](t, r).Status != want) {
				t.Errorf("%s with %q: %d %v", path, coding, r.StatusCode, r.Header)
			}
		}
	}
	if o := decode[orderBody](t, a.do(t, request{path: "/orders/" + id})); o.Version != 1 {
		t.Errorf("what was refused changed the order: %+v", o)
	}
}

// TestIfMatch: If-Match is evaluated by the strong comparison, before If-None-Match and
// before the order's state, and after whether there is an order.
func TestIfMatch(t *testing.T) {
	a := newAPI(t)
	pending := func() string { return a.create(t).ID }
	in := func(steps ...func(order.Order) (order.Order, error)) string {
		id := a.create(t).ID
		a.settle(t, id, steps...)
		return id
	}
	get := func(id string) string { return "GET /orders/" + id }
	post := func(id, action string) string { return "POST /orders/" + id + "/" + action }
	same := pending()
	for _, tt := range []struct {
		name, call, match, noneMatch string
		status                       int
	}{
		{"the version", get(same), `"1"`, "", 200},
		{"any version", get(same), `*`, "", 200},
		{"one of several", get(same), `"3", W/"1",	"1"`, "", 200},
		{"another version", get(same), `"2"`, "", 412},
		{"several others", get(same), `"2", "3"`, "", 412},
		{"a weak tag", get(same), `W/"1"`, "", 412},
		{"no quotes", get(same), `1`, "", 412},
		{"a tag with a comma", get(same), `"0,1"`, "", 412},
		{"any among others", get(same), `"2", *`, "", 412},
		{"both, and the version is the caller's", get(same), `"1"`, `"1"`, 304},
		{"both fail: If-Match comes first", get(same), `"2"`, `"1"`, 412},
		{"both, and it is another version", get(same), `"1"`, `"2"`, 200},
		{"any version of no order", get(followedID), `*`, "", 404},
		{"another version of no order", get(followedID), `"1"`, "", 404},
		{"cancel of another version", post(same, "cancel"), `"2"`, "", 412},
		{"cancel of a weak tag", post(same, "cancel"), `W/"1"`, "", 412},
		{"cancel unless it is the version", post(same, "cancel"), "", `W/"1"`, 412},
		{"cancel unless there is an order", post(same, "cancel"), "", `*`, 412},
		{"cancel of no order", post(followedID, "cancel"), `*`, "", 404},
		{"cancel of the version", post(pending(), "cancel"), `"1"`, "", 200},
		{"cancel of any version", post(pending(), "cancel"), `*`, "", 200},
		{"cancel unless it is another version", post(pending(), "cancel"), "", `"2"`, 200},
		{"cancel too late, of the version", post(in(claimed), "cancel"), `"2"`, "", 409},
		{"cancel too late, of another version", post(in(claimed), "cancel"), `"1"`, "", 412},
		{"refund of another version", post(in(claimed, paid), "refund"), `"2"`, "", 412},
		{"refund of the version", post(in(claimed, paid), "refund"), `"3"`, "", 202},
		{"refund again, of another version", post(in(claimed, paid, refunding), "refund"), `"3"`, "", 412},
		{"retry of another version", post(in(claimed, unavailable), "retry"), `"2"`, "", 412},
		{"retry of the version", post(in(claimed, unavailable), "retry"), `"3"`, "", 202},
		{"pay again of another version", post(in(claimed, insufficient), "pay"), `"2"`, "", 412},
		{"pay again of the version", post(in(claimed, insufficient), "pay"), `"3"`, "", 202},
	} {
		t.Run(tt.name, func(t *testing.T) {
			method, path, _ := strings.Cut(tt.call, " ")
			header := map[string]string{}
			if tt.match != "" {
				header["If-Match"] = tt.match
			}
			if tt.noneMatch != "" {
				header["If-None-Match"] = tt.noneMatch
			}
			var body string
			if strings.HasSuffix(path, "/pay") {
				body = `{"paymentToken": "tok_ok"}`
			}
			r := a.do(t, request{method: method, path: path, header: header, body: body})
			text := read(t, r)
			if r.StatusCode != tt.status || (tt.status == 412) != strings.Contains(text, "/docs#precondition-failed") {
				t.Errorf("%d, want %d: %s", r.StatusCode, tt.status, text)
			}
		})
	}
	if o := decode[orderBody](t, a.do(t, request{path: "/orders/" + same})); o.Version != 1 {
		t.Errorf("what was refused changed the order: %+v", o)
	}
	if r := a.do(t, request{path: "/orders/" + same, header: map[string]string{"If-Match": ""}}); r.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("If-Match without a tag: %d", r.StatusCode)
	}
}

// TestIfMatchOnce: of many refunds of the same version, one is done and the others are told
// so: the version that is checked is the one that is changed.
func TestIfMatchOnce(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	a.settle(t, id, claimed, paid)
	var mu sync.Mutex
	got := map[int]int{}
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			r := a.do(t, request{method: http.MethodPost, path: "/orders/" + id + "/refund", header: map[string]string{"If-Match": `"3"`}})
			mu.Lock()
			defer mu.Unlock()
			got[r.StatusCode]++
		})
	}
	wg.Wait()
	diff(t, "statuses", map[int]int{202: 1, 412: 19}, got)
}

// overtaken is a store in which another call changes an order right before each update.
type overtaken struct {
	order.Store

	step func(order.Order) (order.Order, error)
}

func (s overtaken) Update(ctx context.Context, next order.Order) error {
	current, err := s.Get(ctx, next.Ref)
	if err != nil {
		return err
	}
	if other, err := s.step(current); err == nil {
		if err := s.Store.Update(ctx, other); err != nil {
			return err
		}
	}
	return s.Store.Update(ctx, next)
}

// TestIfMatchOvertaken: an order that changes between the check and the write is not changed
// again under the same If-Match.
func TestIfMatchOvertaken(t *testing.T) {
	a := newAPI(t, func(c *pipeline.CheckoutConfig) { c.Store = overtaken{c.Store, claimed} })
	id := a.create(t).ID
	r := a.do(t, request{method: http.MethodPost, path: "/orders/" + id + "/cancel", header: map[string]string{"If-Match": `"1"`}})
	if text := read(t, r); r.StatusCode != http.StatusPreconditionFailed {
		t.Errorf("%d %s", r.StatusCode, text)
	}
	if o := decode[orderBody](t, a.do(t, request{path: "/orders/" + id})); o.Status != "PROCESSING" || o.Version != 2 {
		t.Errorf("the order is %+v", o)
	}
}

// TestIfMatchWait: a wait ends once If-Match can't be met any longer.
func TestIfMatchWait(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	go a.settle(t, id, claimed)
	start := time.Now()
	r := a.do(t, request{path: "/orders/" + id, header: map[string]string{"Prefer": "wait=20", "If-Match": `"1"`}})
	if took := time.Since(start); r.StatusCode != http.StatusPreconditionFailed || took > 10*time.Second {
		t.Errorf("%d after %v", r.StatusCode, took)
	}
}

// TestCaching: no cache keeps what it can't revalidate.
func TestCaching(t *testing.T) {
	a := newAPI(t)
	id, canceled := a.create(t).ID, a.create(t).ID
	post := func(path, body string) request { return request{method: http.MethodPost, path: path, body: body} }
	const noStore, revalidate = "private, no-store", "private, no-cache"
	for _, tt := range []struct {
		r             request
		status        int
		cacheControl  string
		vary          string
		ifNoneMatches string
	}{
		{request{path: "/orders/" + id}, 200, revalidate, "Prefer", ""},
		{request{path: "/orders/" + id}, 304, revalidate, "Prefer", `"1"`},
		{request{path: "/orders/" + followedID}, 404, noStore, "", ""},
		{request{path: "/orders"}, 200, noStore, "", ""},
		{request{path: "/orders?limit=0"}, 422, noStore, "", ""},
		{request{path: "/orders?x"}, 422, noStore, "", ""},
		{request{path: "/orders", tenant: "-"}, 403, noStore, "", ""},
		{post("/orders", tea), 201, noStore, "", ""},
		{post("/orders", "{"), 400, noStore, "", ""},
		{post("/orders", `{"amount": 0}`), 422, noStore, "", ""},
		{post("/orders/"+canceled+"/cancel", ""), 200, noStore, "", ""},
		{post("/orders/"+id+"/refund", ""), 409, noStore, "", ""},
		{request{path: "/nope"}, 404, noStore, "", ""},
		{request{method: http.MethodDelete, path: "/orders"}, 405, noStore, "", ""},
	} {
		if tt.ifNoneMatches != "" {
			tt.r.header = map[string]string{"If-None-Match": tt.ifNoneMatches}
		}
		r := a.do(t, tt.r)
		diff(t, tt.r.method+" "+tt.r.path,
			[]any{tt.status, tt.cacheControl, tt.vary}, []any{r.StatusCode, r.Header.Get("Cache-Control"), r.Header.Get("Vary")})
	}
}

// TestPreferSyntax: quoted strings, parameters, repeats and blanks are read as RFC 7240 has
// them. The order has ended, so that no wait lasts.
func TestPreferSyntax(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	a.settle(t, id, claimed, paid)
	for prefer, want := range map[string]string{
		`wait=5`:                                "wait=5",
		`wait="5"`:                              "wait=5",
		`wait="\5"`:                             "wait=5",
		"wait \t=\t 5":                          "wait=5",
		`WAIT=5`:                                "wait=5",
		`wait=0`:                                "wait=0",
		`wait=007`:                              "wait=7",
		`wait=21`:                               "wait=20",
		`wait=99999999999999999999999`:          "wait=20",
		`wait=5;reason="a,wait=9"`:              "wait=5",
		`wait=5 ; a = "x;y" ; b`:                "wait=5",
		`respond-async, wait=5`:                 "wait=5",
		`, ,wait=5`:                             "wait=5",
		`wait=5, wait=6`:                        "wait=5",
		`wait=5,wait=x`:                         "wait=5",
		`note="x, wait=9", wait=5`:              "wait=5",
		`note="a\", wait=9", wait=5`:            "wait=5",
		`note="a\\", wait=5`:                    "wait=5",
		`note="";wait=9, wait=5`:                "wait=5",
		`wait=x, wait=5`:                        "",
		`wait="", wait=5`:                       "",
		`wait, wait=5`:                          "",
		`wait="5`:                               "",
		`wait=5"`:                               "",
		`wait='5'`:                              "",
		`wait="5 "`:                             "",
		`wait=5.0`:                              "",
		`wait=+5`:                               "",
		`wait=5s`:                               "",
		`note="x, wait=5`:                       "",
		`note="wait=5"`:                         "",
		`note;wait=5`:                           "",
		`"wait"=5`:                              "",
		`wait=-1, wait=5, respond-async, wait=`: "",
	} {
		r := a.do(t, request{path: "/orders/" + id, header: map[string]string{"Prefer": prefer}})
		diff(t, prefer, []any{200, want}, []any{r.StatusCode, r.Header.Get("Preference-Applied")})
	}
}

// TestIDsInAnyCase: an id in upper case is the same order's, and answers have it in lower
// case.
func TestIDsInAnyCase(t *testing.T) {
	a := newAPI(t)
	id := a.create(t).ID
	for _, spelt := range []string{strings.ToUpper(id), strings.ToUpper(id[:20]) + id[20:]} {
		r := a.do(t, request{path: "/orders/" + spelt})
		diff(t, "GET "+spelt, []any{200, "</orders/" + id + `/events>; rel="events"`, id},
			[]any{r.StatusCode, r.Header.Get("Link"), decode[orderBody](t, r).ID})
	}
	r := a.do(t, request{method: http.MethodPost, path: "/orders/" + strings.ToUpper(id) + "/cancel"})
	diff(t, "cancel", []any{200, id}, []any{r.StatusCode, decode[orderBody](t, r).ID})
	for _, other := range []string{"urn:uuid:" + id, "{" + id + "}", strings.ReplaceAll(id, "-", ""), id + "%20"} {
		if r := a.do(t, request{path: "/orders/" + other}); r.StatusCode != http.StatusNotFound {
			t.Errorf("%s: %d", other, r.StatusCode)
		}
	}
	w := httptest.NewRecorder()
	followed().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/orders/"+strings.ToUpper(followedID)+"/events", nil))
	diff(t, "events", []any{200, true}, []any{w.Code, strings.Contains(w.Body.String(), `"id":"`+followedID+`"`)})
}

// TestKeyTwice: a key that was sent twice is refused, whether or not a gateway has joined
// the two, and makes no order.
func TestKeyTwice(t *testing.T) {
	a := newAPI(t)
	for name, values := range map[string][]string{
		"the same": {"k", "k"}, "two keys": {"k", "l"}, "joined": {"k,l"}, "joined with a blank": {"k, l"}, "one of them empty": {"k", ""}, "joined, one empty": {"k,"},
	} {
		r := httptest.NewRequestWithContext(context.WithValue(t.Context(), tenantKey{}, "t"), http.MethodPost, "/orders", strings.NewReader(tea))
		r.Header = http.Header{"Content-Type": {"application/json"}, "Idempotency-Key": values}
		w := httptest.NewRecorder()
		a.handler.ServeHTTP(w, r)
		if w.Code != http.StatusBadRequest || !strings.Contains(w.Body.String(), "/docs#idempotency-key-malformed") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	if text := read(t, a.do(t, request{path: "/orders"})); strings.Contains(text, `"id"`) {
		t.Errorf("what was refused made orders: %s", text)
	}
}

// TestKeyOfEarlierBuild: an order whose key has a comma, which earlier builds took, is still
// there.
func TestKeyOfEarlierBuild(t *testing.T) {
	a := newAPI(t)
	const key = "cart,77"
	old := order.New(order.Ref{Tenant: "t", ID: order.KeyedID("t", key)}, order.Request{Amount: 1, Currency: "KRW", PaymentToken: "tok_ok"}, key, time.Now())
	if err := a.store.Create(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if r := a.do(t, request{path: "/orders/" + old.ID}); r.StatusCode != http.StatusOK {
		t.Errorf("get: %d", r.StatusCode)
	}
	r := a.do(t, request{method: http.MethodPost, path: "/orders/" + old.ID + "/cancel"})
	if text, err := io.ReadAll(r.Body); r.StatusCode != http.StatusOK || err != nil {
		t.Errorf("cancel: %d %s %v", r.StatusCode, text, err)
	}
}
