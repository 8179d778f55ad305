package handlers_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/accesstoken/tokentest"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/telemetry"
)

// consoleEvent is the sample event of the console with another path below /console.
func consoleEvent(t *testing.T, path string) events.APIGatewayV2HTTPRequest {
	t.Helper()
	event := sample[events.APIGatewayV2HTTPRequest](t, "console-orders.json")
	event.RawPath, event.PathParameters = "/console/"+path, map[string]string{"proxy": path}
	event.RawQueryString, event.QueryStringParameters = "", nil
	return event
}

// TestConsole acts on an order as a browser does through API Gateway: its cookies come apart from
// the headers, its form in base64. The log says about which order, and nothing of what was sent.
func TestConsole(t *testing.T) {
	store, queue := pebbletest.Open(t, time.Minute)
	services := handlerstest.Services(store, queue)
	api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(handlerstest.Environment(), services))
	if created, err := api(t.Context(), sample[events.APIGatewayV2HTTPRequest](t, "api-create-order.json")); err != nil || created.StatusCode != http.StatusCreated {
		t.Fatal(created, err)
	}
	var out bytes.Buffer
	services.Log = slog.New(telemetry.Handler(slog.NewJSONHandler(&out, nil)))
	services.Telemetry = telemetry.NewRecorder(&out, "stack", time.Now)
	console := handlerstest.Must[handlers.HTTPHandler](t)(handlers.Console(handlerstest.Environment(), services))
	serve := func(event events.APIGatewayV2HTTPRequest, status int, parts ...string) events.APIGatewayV2HTTPResponse {
		t.Helper()
		response, err := console(t.Context(), event)
		if err != nil || response.StatusCode != status {
			t.Fatalf("%s: %d %s, %v", event.RawPath, response.StatusCode, response.Body, err)
		}
		for _, part := range parts {
			if !strings.Contains(response.Body, part) {
				t.Errorf("%s: the answer has no %s: %s", event.RawPath, part, response.Body)
			}
		}
		return response
	}
	serve(sample[events.APIGatewayV2HTTPRequest](t, "console-orders.json"), http.StatusOK, sampleID)
	first := consoleEvent(t, "orders/"+sampleID)
	first.Cookies, first.RawQueryString = nil, "secret=query-secret"
	page := serve(first, http.StatusOK, "PENDING")
	if !strings.Contains(page.Headers["Content-Security-Policy"], "default-src 'none'") || page.IsBase64Encoded {
		t.Errorf("the page comes with %v", page.Headers)
	}
	if len(page.Cookies) != 1 || page.Headers["Set-Cookie"] != "" {
		t.Fatalf("the page sets %q", page.Cookies)
	}
	visit, _, _ := strings.Cut(page.Cookies[0], ";")
	csrf := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page.Body)
	if csrf == nil {
		t.Fatalf("the page has no form: %s", page.Body)
	}
	act := consoleEvent(t, "orders/"+sampleID+"/cancel")
	act.RequestContext.HTTP.Method, act.Headers["content-type"] = http.MethodPost, "application/x-www-form-urlencoded"
	act.Headers["origin"] = "https://" + act.RequestContext.DomainName
	act.Body, act.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte(url.Values{"csrf": {csrf[1]}, "note": {"body-secret"}}.Encode())), true
	act.Cookies = []string{"other=cookie-secret", visit}
	out.Reset()
	serve(act, http.StatusOK, "CANCELED")
	var line map[string]any
	if err := json.Unmarshal(out.Bytes(), &line); err != nil || line["route"] != "ANY /console/{proxy+}" ||
		line["status"] != 200. || line["tenant"] != "local" || line["order_id"] != sampleID || line["Failed"] != 0. {
		t.Errorf("the line of an action is %s, %v", &out, err)
	}
	act.Cookies = []string{"other=cookie-secret"}
	serve(act, http.StatusForbidden)
	act.Cookies, act.Headers["sec-fetch-site"] = []string{visit}, "cross-site"
	serve(act, http.StatusForbidden)
	serve(consoleEvent(t, "nothing"), http.StatusNotFound)
	for _, secret := range []string{"query-secret", "body-secret", "cookie-secret", csrf[1], strings.TrimPrefix(visit, "paylane-visit="), "Mozilla"} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("%q is in the log:\n%s", secret, &out)
		}
	}
}

// TestConsoleWithoutSignIn: where people must sign in and no client is named by which they could,
// there is nothing to see, and the function runs.
func TestConsoleWithoutSignIn(t *testing.T) {
	environment := handlerstest.Environment("AUTH_MODE", "jwt", "ISSUER", "https://id.example", "AUDIENCE", "paylane")
	console := handlerstest.Must[handlers.HTTPHandler](t)(handlers.Console(environment, handlerstest.Services(pebbletest.Open(t, time.Minute))))
	response, err := console(t.Context(), consoleEvent(t, "orders/"+sampleID))
	if err != nil || response.StatusCode == http.StatusOK || response.StatusCode >= 500 || !strings.Contains(response.Body, "Signing in is not set up") {
		t.Errorf("%d %s, %v", response.StatusCode, response.Body, err)
	}
}

// TestConsoleOfAPool: with a user pool a stage variable names the console's client, whose tokens alone
// are sessions, and which owns no orders: everybody sees those of the tenant that the stack names.
func TestConsoleOfAPool(t *testing.T) {
	store, queue := pebbletest.Open(t, time.Minute)
	id := order.KeyedID("shop", "1")
	if err := store.Create(t.Context(), order.New(order.Ref{Tenant: "shop", ID: id}, order.Request{Amount: 1, Currency: "KRW"}, "", time.Now())); err != nil {
		t.Fatal(err)
	}
	issuer := tokentest.New(t, "https://pool.example")
	services := handlerstest.Services(store, queue)
	services.Client = issuer.Client()
	// As the template has them: no client and no audience before a request says which.
	environment := handlerstest.Environment("AUTH_MODE", "jwt", "ISSUER", issuer.URL, "AUDIENCE", "", "CONSOLE_CLIENT_ID", "", "CONSOLE_TENANT", "shop")
	console := handlerstest.Must[handlers.HTTPHandler](t)(handlers.Console(environment, services))
	const operate = "orders/read orders/operate"
	for _, tt := range []struct {
		name          string
		stage         string
		client, scope string // of the token
		status        int
	}{
		{"a person", "web", "web", operate, 200},
		{"a person who may not read", "web", "web", "openid", 403},
		{"a machine of the pool", "web", "machine", operate, 303},
		{"the client of before", "new", "web", operate, 303},
		{"without the stage variable", "", "web", operate, 404},
		{"a stage without a client", "none", "none", operate, 404},
	} {
		t.Run(tt.name, func(t *testing.T) {
			event := consoleEvent(t, "orders/"+id)
			if tt.stage != "" {
				event.StageVariables = map[string]string{"consoleClientId": tt.stage}
			}
			token := issuer.Token(t, issuer.Claims(time.Now(), map[string]any{"aud": nil, "client_id": tt.client, "username": "kim", "scope": tt.scope}))
			event.Cookies = []string{"__Host-paylane-session=" + token}
			response, err := console(t.Context(), event)
			if err != nil || response.StatusCode != tt.status {
				t.Fatalf("%d %s, %v", response.StatusCode, response.Body, err)
			}
			if shown := strings.Contains(response.Body, "PENDING"); shown != (tt.status == http.StatusOK) {
				t.Errorf("the order is shown: %v", shown)
			}
			if tt.status == http.StatusSeeOther && !strings.HasPrefix(response.Headers["Location"], "/console/signin?") {
				t.Errorf("it leads to %s", response.Headers["Location"])
			}
		})
	}
}

// TestConsoleEnvironment: the error of a start names what is missing.
func TestConsoleEnvironment(t *testing.T) {
	_, err := handlers.Console(map[string]string{"AUTH_MODE": "none"}, handlerstest.Services(nil, nil))
	if err == nil || !strings.Contains(err.Error(), "ORDERS_TABLE") || !strings.Contains(err.Error(), "PAYMENT_QUEUE_URL") {
		t.Errorf("without variables: %v", err)
	}
	if _, err := handlers.Console(handlerstest.Environment("AUTH_MODE", "off"), handlerstest.Services(nil, nil)); err == nil {
		t.Error("an AUTH_MODE that is none is accepted")
	}
}
