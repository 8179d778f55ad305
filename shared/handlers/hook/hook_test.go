package hook_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"paylane/shared/awscall/awstest"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/handlers/hook"
	"paylane/shared/pebblestore"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/queue"
)

// deployment is a fake of CodeDeploy, and of Lambda with the real api and payment handlers
// behind it, on their wire protocols.
type deployment struct {
	tb      testing.TB
	api     handlers.HTTPHandler
	payment handlers.SQSHandler
	queue   *pebblestore.Queue
	// broken, if set, may answer in the function's place.
	broken func(http.ResponseWriter) (answered bool)
	// refuses makes CodeDeploy deny that the deployment exists.
	refuses bool

	reported []map[string]string
}

func newDeployment(tb testing.TB) *deployment {
	tb.Helper()
	store, queue := pebbletest.Open(tb, time.Minute)
	environment, services := handlerstest.Environment("AUTH_MODE", "jwt"), handlerstest.Services(store, queue)
	return &deployment{
		tb: tb, queue: queue,
		api:     handlerstest.Must[handlers.HTTPHandler](tb)(handlers.API(environment, services)),
		payment: handlerstest.Must[handlers.SQSHandler](tb)(handlers.Payment(environment, services)),
	}
}

func (d *deployment) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		d.tb.Error(err)
	}
	if r.Header.Get("X-Amz-Target") == "CodeDeploy_20141006.PutLifecycleEventHookExecutionStatus" {
		if d.refuses {
			w.WriteHeader(http.StatusBadRequest)
			_, _ = io.WriteString(w, `{"__type": "DeploymentDoesNotExistException", "message": "no"}`)
			return
		}
		report := make(map[string]string)
		if err := json.Unmarshal(body, &report); err != nil {
			d.tb.Error(err)
		}
		d.reported = append(d.reported, report)
		_, _ = io.WriteString(w, `{}`)
		return
	}
	var event events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(body, &event); err != nil {
		d.tb.Error(err)
	}
	function := "api"
	if event.RequestContext.HTTP.Method == http.MethodGet {
		function = "read"
	}
	if want := "/2015-03-31/functions/" + function + "%3Alive/invocations"; r.URL.EscapedPath() != want {
		d.tb.Errorf("request to %s, want %s", r.URL.EscapedPath(), want)
	}
	if d.broken != nil && d.broken(w) {
		return
	}
	response, err := d.api(r.Context(), event)
	if err != nil {
		d.tb.Error(err)
	}
	if event.RequestContext.HTTP.Method == http.MethodPost {
		d.pay(r)
	}
	if err := json.NewEncoder(w).Encode(response); err != nil {
		d.tb.Error(err)
	}
}

// pay delivers what is in the queue.
func (d *deployment) pay(r *http.Request) {
	deliveries, err := d.queue.Receive(r.Context(), queue.ReceiveRequest{Max: 10, Wait: time.Millisecond})
	if err != nil {
		d.tb.Error(err)
	}
	for _, m := range deliveries {
		if _, err := d.payment(r.Context(), events.SQSEvent{Records: []events.SQSMessage{
			{MessageId: m.MessageID, ReceiptHandle: m.ReceiptHandle, Body: m.Body},
		}}); err != nil {
			d.tb.Error(err)
		}
	}
}

// TestHook: CodeDeploy is told how the smoke test ended, however it ended.
func TestHook(t *testing.T) {
	t.Parallel()
	asked := hook.Event{DeploymentID: "d-1", ExecutionID: "e-1"}
	for _, tt := range []struct {
		name    string
		event   hook.Event
		broken  func(http.ResponseWriter) bool
		refuses bool
		status  string // as CodeDeploy was told
		log     string
		err     string
	}{
		{name: "everything works", event: asked, status: "Succeeded"},
		{name: "a run by hand, without CodeDeploy"},
		{
			name: "the function fails", event: asked, status: "Failed", log: "api:live failed: {}",
			broken: func(w http.ResponseWriter) bool {
				w.Header().Set("X-Amz-Function-Error", "Unhandled")
				_, _ = io.WriteString(w, `{}`)
				return true
			},
		},
		{
			name: "the API answers 500", event: asked, status: "Failed", log: "POST /orders: status 500",
			broken: func(w http.ResponseWriter) bool {
				_, _ = io.WriteString(w, `{"statusCode": 500, "body": "oh"}`)
				return true
			},
		},
		{
			name: "Lambda refuses", event: asked, status: "Failed", log: "invoke api:live",
			broken: func(w http.ResponseWriter) bool {
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, `{"Message": "no"}`)
				return true
			},
		},
		{
			name: "a run by hand fails", err: "an order is accepted at once, PENDING: POST /orders: status 500",
			broken: func(w http.ResponseWriter) bool {
				_, _ = io.WriteString(w, `{"statusCode": 500, "body": "oh"}`)
				return true
			},
		},
		{name: "CodeDeploy refuses", event: asked, refuses: true, err: "tell CodeDeploy that the smoke test succeeded"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			d := newDeployment(t)
			d.broken, d.refuses = tt.broken, tt.refuses
			server := httptest.NewServer(d)
			t.Cleanup(server.Close)
			config := awstest.ConfigAt(server.URL, "000000000001")
			var log bytes.Buffer
			handle := handlerstest.Must[hook.Handler](t)(hook.New(handlerstest.Environment(), hook.Services{
				Functions: lambda.NewFromConfig(config), Deployments: codedeploy.NewFromConfig(config),
				Gateway: handlerstest.Services(nil, nil).Gateway, Log: slog.New(slog.NewTextHandler(&log, nil)),
			}))
			err := handle(t.Context(), tt.event)
			if (err != nil) != (tt.err != "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("the error is %v, want %s", err, cmp.Or(tt.err, "none"))
			}
			var told map[string]string
			if len(d.reported) > 0 {
				told = d.reported[0]
			}
			if told["status"] != tt.status || tt.status != "" && (told["deploymentId"] != "d-1" || told["lifecycleEventHookExecutionId"] != "e-1") {
				t.Errorf("CodeDeploy was told %v, want %s", told, cmp.Or(tt.status, "nothing"))
			}
			if n := strings.Count(log.String(), "msg=\"smoke test\""); n != 5 || !strings.Contains(log.String(), tt.log) {
				t.Errorf("%d checks in the log, want 5, and %q:\n%s", n, tt.log, &log)
			}
		})
	}
}
