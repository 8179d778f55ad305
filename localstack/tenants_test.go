//go:build integration

package localstack_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"paylane/shared/emulator"
	"paylane/shared/emulator/gobuild"
	"paylane/shared/emulator/runtimeapi"
	"paylane/shared/emulator/template"
)

// TestTenants invokes the built api function as API Gateway does once it verified a
// token. Another tenant's order is not there: by id, in the list, or under its key.
func TestTenants(t *testing.T) {
	s := newStack(t)
	s.provision(t)
	code, err := gobuild.New(template.Function{LogicalID: "Api", CodeURI: "functions/api/", Handler: "bootstrap"}, repository, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	program, err := code.Build(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	api, err := runtimeapi.New(runtimeapi.Config{
		Name: "Api", ARN: "arn:aws:lambda:us-east-1:" + s.account + ":function:Api", Binary: program, Timeout: 28 * time.Second,
		Region: "us-east-1", Credentials: runtimeapi.Credentials{AccessKeyID: s.account, SecretAccessKey: "test"},
		Variables: map[string]string{
			"AWS_ENDPOINT_URL": s.endpoint, "ORDERS_TABLE": ordersTable, "PAYMENT_QUEUE_URL": s.queueURL(paymentQueue),
			"AUTH_MODE": "jwt", "TENANT_CLAIM": "client_id",
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := api.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	call := func(tenant, method, path, body string, status int) events.APIGatewayV2HTTPResponse {
		t.Helper()
		event := apiEvent(method, path, body)
		event.Headers["idempotency-key"] = "the-same"
		if tenant != "" {
			event.RequestContext.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
				JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{"client_id": tenant}},
			}
		}
		payload, err := json.Marshal(event)
		if err != nil {
			t.Fatal(err)
		}
		result, err := api.Invoke(t.Context(), emulator.Invocation{Event: emulator.RawEvent(payload)})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := result.Payload()
		if err != nil {
			t.Fatal(err)
		}
		var response events.APIGatewayV2HTTPResponse
		if err := json.Unmarshal(answer, &response); err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != status {
			t.Errorf("%s %s for %q: %d %s", method, path, tenant, response.StatusCode, response.Body)
		}
		return response
	}
	mine := call("mine", http.MethodPost, "/orders", `{"amount": 1}`, http.StatusCreated)
	theirs := call("theirs", http.MethodPost, "/orders", `{"amount": 2}`, http.StatusCreated)
	path := mine.Headers["Location"]
	if other := theirs.Headers["Location"]; path == "" || path == other {
		t.Fatalf("one key of two tenants made %q and %q", path, other)
	}
	call("mine", http.MethodGet, path, "", http.StatusOK)
	call("theirs", http.MethodGet, path, "", http.StatusNotFound)
	call("theirs", http.MethodPost, path+"/cancel", "", http.StatusNotFound)
	call("", http.MethodGet, path, "", http.StatusForbidden)
	eventually(t, 10*time.Second, func() string {
		list := call("theirs", http.MethodGet, "/orders?limit=10", "", http.StatusOK).Body
		if strings.Contains(list, filepath.Base(path)) || strings.Count(list, `"id"`) != 1 {
			return "the list is " + list
		}
		return ""
	})
}
