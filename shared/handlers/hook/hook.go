// Package hook is the Lambda handler that watches a deployment: CodeDeploy calls it before
// traffic goes to the new code, and once all of it does, and rolls back unless the smoke test
// passes.
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

	"paylane/shared/gateway"
	"paylane/shared/handlers/internal/environ"
	"paylane/shared/smoke"
)

// tenant owns the orders that the test places.
const tenant = "paylane-smoke"

// timeToReport is the part of the invocation's time kept for reporting to CodeDeploy, which
// would wait for it for an hour.
const timeToReport = 10 * time.Second

type environment struct {
	// APIFunction is the api function's new version, by its ARN: before it is live its alias
	// leads to the old one.
	APIFunction string `env:"API_FUNCTION,required,notEmpty"`
	// ReadFunction is the read function's, which has the requests for single orders.
	ReadFunction string `env:"READ_FUNCTION,required,notEmpty"`
	Claim        environ.TenantClaim
	Gateway      environ.PaymentGateway
}

// Services is what the hook is made of. All fields are required.
type Services struct {
	Functions   *lambda.Client
	Deployments *codedeploy.Client
	// Gateway opens the payment gateway of that name, for the tokens to pay with.
	Gateway func(name string) (gateway.Provider, error)
	Log     *slog.Logger
}

// Event is what CodeDeploy invokes a hook with ("AppSpec 'hooks' section for an AWS Lambda
// deployment"). By hand it is empty: then the result is not reported.
type Event struct {
	DeploymentID string `json:"DeploymentId"`
	ExecutionID  string `json:"LifecycleEventHookExecutionId"`
}

// Handler is the Lambda handler. It runs the smoke test, and reports the result to
// CodeDeploy. The error is that it could not be reported, or, by hand, that the test failed.
// A failure that was reported is not an error: Lambda would repeat the event.
type Handler = func(context.Context, Event) error

// New returns the handler for an environment, by variable name.
func New(variables map[string]string, s Services) (Handler, error) {
	e, err := environ.Parse[environment](variables)
	if err != nil {
		return nil, err
	}
	opened, err := s.Gateway(e.Gateway.Name)
	if err != nil {
		return nil, err
	}
	return hook{e, s, opened.Describe()}.handle, nil
}

type hook struct {
	environment
	Services
	tokens gateway.TokenDescription
}

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

// test makes all checks, and logs each.
func (h hook) test(ctx context.Context) error {
	if deadline, ok := ctx.Deadline(); ok {
		short, cancel := context.WithDeadline(ctx, deadline.Add(-timeToReport))
		defer cancel()
		ctx = short
	}
	var failed error
	for name, err := range smoke.Checks(ctx, h.ask, h.tokens) {
		if err != nil {
			h.Log.ErrorContext(ctx, "smoke test", "check", name, "error", err)
			failed = cmp.Or(failed, fmt.Errorf("%s: %w", name, err))
		} else {
			h.Log.InfoContext(ctx, "smoke test", "check", name)
		}
	}
	return failed
}

// ask invokes the function of a request with the event that API Gateway would make of it, from
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
				JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{h.Claim.Name: tenant}},
			},
		},
	})
	if err != nil {
		return smoke.Answer{}, fmt.Errorf("encode the event: %w", err)
	}
	function := h.APIFunction
	if method == http.MethodGet && strings.HasPrefix(path, "/orders/") {
		function = h.ReadFunction
	}
	out, err := h.Functions.Invoke(ctx, &lambda.InvokeInput{FunctionName: &function, Payload: event})
	if err != nil {
		return smoke.Answer{}, fmt.Errorf("invoke %s: %w", function, err)
	}
	if out.FunctionError != nil {
		return smoke.Answer{}, fmt.Errorf("%s failed: %s", function, out.Payload)
	}
	var response events.APIGatewayV2HTTPResponse
	if err := json.Unmarshal(out.Payload, &response); err != nil {
		return smoke.Answer{}, fmt.Errorf("decode the response of %s: %w", function, err)
	}
	answer := smoke.Answer{Status: response.StatusCode, Header: http.Header{}, Body: []byte(response.Body)}
	for name, value := range response.Headers {
		answer.Header.Set(name, value)
	}
	return answer, nil
}
