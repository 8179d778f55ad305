// Package hook is the Lambda handler that ends a deployment: CodeDeploy calls it once all
// traffic goes to the new code, and rolls back unless the smoke test passes.
package hook

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy/types"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"paylane/shared/smoke"
)

// tenant is the tenant of the test's orders.
const tenant = "paylane-smoke"

// timeToReport is the part of the invocation's time that is reserved for the report to
// CodeDeploy, which would otherwise wait an hour for it.
const timeToReport = 10 * time.Second

// Config is what [New] needs. All fields are required.
type Config struct {
	Functions   *lambda.Client
	Deployments *codedeploy.Client
	// API is the api function with its alias, as name:alias.
	API string
	// TenantClaim is the claim that names the tenant.
	TenantClaim string
	Log         *slog.Logger
}

// Event is what CodeDeploy invokes a hook with ("AppSpec 'hooks' section for an AWS Lambda
// deployment"). It is empty when somebody invokes the hook by hand: then the test is run, and
// CodeDeploy is not told.
type Event struct {
	DeploymentID string `json:"DeploymentId"`
	ExecutionID  string `json:"LifecycleEventHookExecutionId"`
}

// New returns the handler. It runs the smoke test and reports the outcome to CodeDeploy. The
// handler returns an error if CodeDeploy could not be told, or, by hand, if the test failed.
// A failure that CodeDeploy knows of is not an error: Lambda would retry the event.
func New(c Config) func(context.Context, Event) error { return hook{c}.handle }

type hook struct{ Config }

func (h hook) handle(ctx context.Context, e Event) error {
	failed := h.test(ctx)
	if e.ExecutionID == "" {
		return failed
	}
	status := types.LifecycleEventStatusSucceeded
	if failed != nil {
		status = types.LifecycleEventStatusFailed
	}
	if _, err := h.Deployments.PutLifecycleEventHookExecutionStatus(ctx, &codedeploy.PutLifecycleEventHookExecutionStatusInput{
		DeploymentId: &e.DeploymentID, LifecycleEventHookExecutionId: &e.ExecutionID, Status: status,
	}); err != nil {
		return fmt.Errorf("tell CodeDeploy that the smoke test %s: %w", strings.ToLower(string(status)), err)
	}
	return nil
}

// test runs all checks and logs a line for each.
func (h hook) test(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		short, cancel := context.WithDeadline(ctx, deadline.Add(-timeToReport))
		defer cancel()
		ctx = short
	}
	var failed error
	for name, err := range smoke.Checks(ctx, h.ask) {
		if err != nil {
			h.Log.ErrorContext(ctx, "smoke test", "check", name, "error", err)
			failed = cmp.Or(failed, fmt.Errorf("%s: %w", name, err))
		} else {
			h.Log.InfoContext(ctx, "smoke test", "check", name)
		}
	}
	return failed
}

// ask invokes the api function with the event that API Gateway would make of a request from
// a client whose token it has verified. The gateway itself is not part of a release, and a
// request through it would need a client's secret.
func (h hook) ask(ctx context.Context, method, path string, header http.Header, body []byte) (smoke.Answer, error) {
	headers := map[string]string{"content-type": "application/json"}
	for name := range header {
		headers[strings.ToLower(name)] = header.Get(name)
	}
	event, err := json.Marshal(events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "smoke", RawPath: path, Headers: headers, Body: string(body),
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey: "smoke", Stage: "$default", DomainName: "smoke.invalid",
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: method, Path: path, Protocol: "HTTP/1.1"},
			Authorizer: &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
				JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{h.TenantClaim: tenant}},
			},
		},
	})
	if err != nil {
		return smoke.Answer{}, fmt.Errorf("encode the event: %w", err)
	}
	out, err := h.Functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &h.API, Payload: event})
	if err != nil {
		return smoke.Answer{}, fmt.Errorf("invoke %s: %w", h.API, err)
	}
	if out.FunctionError != nil {
		return smoke.Answer{}, fmt.Errorf("%s failed: %s", h.API, out.Payload)
	}
	var response events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out.Payload, &response); err != nil {
		return smoke.Answer{}, fmt.Errorf("decode the response of %s: %w", h.API, err)
	}
	answer := smoke.Answer{Status: response.StatusCode, Header: http.Header{}, Body: []byte(response.Body)}
	for name, value := range response.Headers {
		answer.Header.Set(name, value)
	}
	return answer, nil
}
