//go:build integration

package localstack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/codedeploy"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"paylane/shared/awscall/awstest"
	"paylane/shared/dynamostore"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/handlers/hook"
	"paylane/shared/order"
	"paylane/shared/queue"
	"paylane/shared/sqsqueue"
	"paylane/shared/webhook"
)

// TestPolicies makes each function's handler do everything it can, with a client of its own,
// and compares the calls it made with its policies in template.yaml: exactly those must be
// allowed.
func TestPolicies(t *testing.T) {
	s := newStack(t)
	s.provision(t, repository)
	now := time.Now
	client := func(queueName string) (*meter, *dynamostore.Store, *sqsqueue.Queue) {
		m := &meter{calls: map[string]int{}}
		c := s.config
		c.APIOptions = append(slices.Clone(c.APIOptions), m.add)
		return m, dynamostore.New(dynamodb.NewFromConfig(c), ordersTable, rand.IntN), sqsqueue.New(sqs.NewFromConfig(c), s.queueURL(queueName), rand.IntN)
	}
	environment := handlerstest.Environment()
	apiCalls, store, payments := client(paymentQueue)
	api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(environment, handlerstest.Services(store, payments)))
	worker := func(queueName string, function func(map[string]string, handlers.Services) (handlers.SQSHandler, error)) (*meter, handlers.SQSHandler) {
		m, store, q := client(queueName)
		return m, handlerstest.Must[handlers.SQSHandler](t)(function(environment, handlerstest.Services(store, q)))
	}
	paymentCalls, payment := worker(paymentQueue, handlers.Payment)
	deadCalls, dead := worker(paymentDLQ, handlers.DeadLetter)

	call := func(method, path, body string) string {
		t.Helper()
		response, err := api(t.Context(), apiEvent(method, path, body))
		if err != nil || response.StatusCode >= http.StatusInternalServerError {
			t.Fatalf("%s %s: %d %s, %v", method, path, response.StatusCode, response.Body, err)
		}
		return strings.TrimPrefix(response.Headers["Location"], "/orders/")
	}
	deliver := func(handler handlers.SQSHandler, queueName string, kind order.Kind, id string, age time.Duration) {
		t.Helper()
		// Its visibility can be changed only if the message was really received.
		q := s.queue(queueName)
		body := order.Message{Kind: kind, Ref: order.Ref{Tenant: "local", ID: id}, Round: 1}.Encode()
		if _, err := q.Send(t.Context(), body, 0); err != nil {
			t.Fatal(err)
		}
		got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 10, Wait: 5 * time.Second, Visibility: time.Hour})
		if err != nil || len(got) == 0 {
			t.Fatal(got, err)
		}
		record := events.SQSMessage{MessageId: got[0].MessageID, ReceiptHandle: got[0].ReceiptHandle, Body: body, Attributes: map[string]string{
			"SentTimestamp": fmt.Sprint(now().Add(-age).UnixMilli()), "ApproximateReceiveCount": "1",
		}}
		if _, err := handler(t.Context(), events.SQSEvent{Records: []events.SQSMessage{record}}); err != nil {
			t.Fatal(err)
		}
	}

	create := func(token string) string {
		return call(http.MethodPost, "/orders", `{"amount": 1, "paymentToken": "`+token+`"}`)
	}
	paid, flaky, canceled, outage := create("tok_ok"), create("tok_flaky_1"), create("tok_ok"), create("tok_unknown_600")
	call(http.MethodPost, "/orders/"+canceled+"/cancel", "")
	deliver(payment, paymentQueue, order.KindCharge, paid, 0)
	deliver(payment, paymentQueue, order.KindCharge, flaky, 0)
	deliver(payment, paymentQueue, order.KindCharge, uuid.NewString(), time.Hour) // a fence
	deliver(payment, paymentQueue, order.KindRefund, paid, time.Hour)             // another
	call(http.MethodPost, "/orders/"+paid+"/refund", "")
	deliver(payment, paymentQueue, order.KindCharge, outage, 0)
	deliver(dead, paymentDLQ, order.KindCharge, outage, 0)
	deliver(dead, paymentDLQ, order.KindCharge, create("tok_ok"), 0) // goes back
	deliver(dead, paymentDLQ, order.KindRefund, paid, 0)
	deliver(dead, paymentDLQ, order.KindCharge, uuid.NewString(), time.Hour)
	call(http.MethodGet, "/orders/"+paid, "")
	call(http.MethodPost, "/orders/"+canceled+"/retry", "")
	eventually(t, 10*time.Second, func() string {
		call(http.MethodGet, "/orders?limit=5", "")
		if apiCalls.calls["BatchGetItem"] == 0 {
			return "the list found no order"
		}
		return ""
	})

	consoleCalls, shown, sent := client(paymentQueue)
	pages := handlerstest.Must[handlers.HTTPHandler](t)(handlers.Console(environment, handlerstest.Services(shown, sent)))
	visit := func(page events.APIGatewayV2HTTPRequest) events.APIGatewayV2HTTPResponse {
		t.Helper()
		response, err := pages(t.Context(), page)
		if err != nil || response.StatusCode/100 != 2 {
			t.Fatalf("%s %s: %d %s, %v", page.RouteKey, page.RawPath, response.StatusCode, response.Body, err)
		}
		return response
	}
	// act sends a form of a page.
	act := func(path, action string, fields url.Values) (answer string) {
		t.Helper()
		page := visit(apiEvent(http.MethodGet, path, ""))
		token := regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(page.Body)
		if token == nil || len(page.Cookies) == 0 {
			t.Fatalf("nothing can be done at %s: %s", path, page.Body)
		}
		fields.Set("csrf", token[1])
		event := apiEvent(http.MethodPost, action, fields.Encode())
		event.Headers["content-type"], event.Cookies = "application/x-www-form-urlencoded", page.Cookies
		return visit(event).Body
	}
	waiting, bought := create("tok_ok"), create("tok_ok")
	deliver(payment, paymentQueue, order.KindCharge, bought, 0)
	visit(apiEvent(http.MethodGet, "/console/orders?status=CANCELED", ""))
	visit(apiEvent(http.MethodGet, "/console/orders?q=no-such-key", ""))
	act("/console/orders/"+waiting, "/console/orders/"+waiting+"/cancel", url.Values{})
	act("/console/orders/"+bought, "/console/orders/"+bought+"/refund", url.Values{})
	registered := act("/console/webhooks", "/console/webhooks", url.Values{"url": {"https://shop.example/console"}})
	webhookID := regexp.MustCompile(`action="/console/webhooks/([^"/]+)/delete"`).FindStringSubmatch(registered)
	if webhookID == nil {
		t.Fatalf("no webhook was registered: %s", registered)
	}
	act("/console/webhooks", "/console/webhooks/"+webhookID[1]+"/delete", url.Values{})

	hooked := call(http.MethodPost, "/webhooks", `{"url": "https://shop.example/hook"}`)
	fanoutCalls, told, webhooks := client(webhookQueue)
	telling := handlerstest.Services(told, webhooks)
	telling.Image = dynamostore.FromImage
	fanout := handlerstest.Must[handlers.TableStreamHandler](t)(handlers.Fanout(environment, telling))
	pending := order.New(order.Ref{Tenant: "local", ID: uuid.NewString()}, order.Request{Amount: 1, Currency: "KRW"}, "", now())
	end, err := pending.Cancel(now().Add(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	change := events.DynamoDBStreamRecord{OldImage: dynamostore.Image(pending), NewImage: dynamostore.Image(end)}
	if r, err := fanout(t.Context(), events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{{Change: change}}}); err != nil || len(r.BatchItemFailures) > 0 {
		t.Fatal(r, err)
	}
	webhookCalls, noted, hooks := client(webhookQueue)
	post := handlerstest.Services(noted, hooks)
	post.Webhooks = takesSecond{new(int)}
	deliverHook := handlerstest.Must[handlers.SQSHandler](t)(handlers.Webhook(environment, post))
	for range 2 { // refused, then taken
		got, err := s.queue(webhookQueue).Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: 20 * time.Second})
		if err != nil || len(got) == 0 {
			t.Fatal(got, err)
		}
		record := events.SQSMessage{MessageId: got[0].MessageID, ReceiptHandle: got[0].ReceiptHandle, Body: got[0].Body, Attributes: got[0].Attributes}
		if _, err := deliverHook(t.Context(), events.SQSEvent{Records: []events.SQSMessage{record}}); err != nil {
			t.Fatal(err)
		}
	}
	call(http.MethodDelete, hooked, "")

	streamCalls, followed, _ := client(paymentQueue)
	follow := handlerstest.Must[handlers.StreamHandler](t)(handlers.Stream(environment, handlerstest.Services(followed, nil)))
	stream, err := follow(t.Context(), &events.LambdaFunctionURLRequest{
		RawPath: "/orders/" + canceled + "/events",
		RequestContext: events.LambdaFunctionURLRequestContext{
			DomainName: "id.on.aws", HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{Method: http.MethodGet},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(stream); err != nil || !strings.Contains(string(text), `"status":"CANCELED"`) {
		t.Fatalf("%s, %v", text, err)
	}

	reconcileCalls, scanned, rest := client("local-ReconcileQueue")
	services := handlerstest.Services(scanned, rest)
	services.Now = func() time.Time { return now().Add(48 * time.Hour) } // everything counts as stuck, and more is left than one run can do
	reconcile := handlerstest.Must[handlers.ReconcileHandler](t)(handlers.Reconcile(environment, services))
	short, cancel := context.WithTimeout(t.Context(), 31*time.Second)
	defer cancel()
	if _, err := reconcile(short, json.RawMessage(`{"apply": true, "ratePerSecond": 1}`)); err != nil {
		t.Fatal(err)
	}
	left, err := rest.Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: 5 * time.Second})
	if err != nil || len(left) != 1 {
		t.Fatal(left, err)
	}
	delete(reconcileCalls.calls, "ReceiveMessage") // this test's own
	record := events.SQSMessage{MessageId: left[0].MessageID, Body: left[0].Body}
	continuation, err := json.Marshal(events.SQSEvent{Records: []events.SQSMessage{record}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := reconcile(t.Context(), continuation); err != nil {
		t.Fatal(err)
	}

	deployment := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
	t.Cleanup(deployment.Close)
	hookCalls := &meter{calls: map[string]int{}}
	config := awstest.ConfigAt(deployment.URL, "000000000001")
	config.APIOptions = append(config.APIOptions, hookCalls.add)
	smoke := handlerstest.Must[hook.Handler](t)(hook.New(environment, hook.Services{
		Functions: lambda.NewFromConfig(config), Deployments: codedeploy.NewFromConfig(config), Gateway: services.Gateway, Log: services.Log,
	}))
	if err := smoke(t.Context(), hook.Event{DeploymentID: "d", ExecutionID: "e"}); err != nil {
		t.Error(err)
	}
	hookCalls.calls["InvokeFunction"] = hookCalls.calls["Invoke"] // IAM has another name for it
	delete(hookCalls.calls, "Invoke")

	// Lambda polls the queues with the function's role.
	poller := []string{"ReceiveMessage", "DeleteMessage", "GetQueueAttributes"}
	for function, want := range map[string][]string{
		"Api":        slices.Collect(maps.Keys(apiCalls.calls)),
		"Console":    slices.Collect(maps.Keys(consoleCalls.calls)), // all that api does
		"Read":       {"GetItem"},
		"Payment":    append(slices.Collect(maps.Keys(paymentCalls.calls)), poller...),
		"Fanout":     append(slices.Collect(maps.Keys(fanoutCalls.calls)), "DescribeStream", "GetRecords", "GetShardIterator", "ListStreams"),
		"Webhook":    append(slices.Collect(maps.Keys(webhookCalls.calls)), poller...),
		"DeadLetter": append(slices.Collect(maps.Keys(deadCalls.calls)), poller...),
		"Smoke":      slices.Collect(maps.Keys(hookCalls.calls)),
		"Stream":     slices.Collect(maps.Keys(streamCalls.calls)),
		"Reconcile":  append(slices.Collect(maps.Keys(reconcileCalls.calls)), poller...),
	} {
		slices.Sort(want)
		if diff := cmp.Diff(want, allowed(t, function)); diff != "" {
			t.Errorf("the actions of %s (-called +allowed):\n%s", function, diff)
		}
	}
}

// takesSecond is a webhook's server that takes the second request.
type takesSecond struct{ requests *int }

func (s takesSecond) Post(context.Context, string, map[string]string, []byte) (webhook.Answer, error) {
	*s.requests++
	if *s.requests == 1 {
		return webhook.Answer{Status: http.StatusServiceUnavailable}, nil
	}
	return webhook.Answer{Status: http.StatusOK}, nil
}

// allowed returns the actions that a function's role allows, without their services. Keys and
// logs are left out: Lambda uses those on the function's behalf.
func allowed(t *testing.T, function string) (actions []string) {
	t.Helper()
	for _, fields := range statements(t, function) {
		for _, action := range fields["Action"].([]any) {
			service, name, _ := strings.Cut(action.(string), ":")
			if resource := fmt.Sprint(fields["Resource"]); resource == "*" || fields["Effect"] != "Allow" {
				t.Errorf("%s has a statement on %s with the effect %v", function, resource, fields["Effect"])
			}
			if strings.Contains(name, "*") || service == "kms" {
				t.Errorf("%s may %s", function, action)
			}
			if service != "logs" {
				actions = append(actions, name)
			}
		}
	}
	slices.Sort(actions)
	return actions
}

// statements returns the statements of a function's role, as in the template's text, without
// those that depend on a condition.
func statements(t *testing.T, function string) (all []map[string]any) {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(repository, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var root struct {
		Resources map[string]struct {
			Properties struct {
				Role     any `yaml:"Role"`
				Policies []struct {
					PolicyDocument struct {
						Statement []any `yaml:"Statement"`
					} `yaml:"PolicyDocument"`
				} `yaml:"Policies"`
			} `yaml:"Properties"`
		} `yaml:"Resources"`
	}
	if err := yaml.Unmarshal(source, &root); err != nil {
		t.Fatal(err)
	}
	role := function + "Role"
	if got := fmt.Sprint(root.Resources[function].Properties.Role); got != role+".Arn" {
		t.Errorf("%s has the role %s", function, got)
	}
	for _, policy := range root.Resources[role].Properties.Policies {
		for _, statement := range policy.PolicyDocument.Statement {
			if fields, ok := statement.(map[string]any); ok { // otherwise an !If, for a key
				all = append(all, fields)
			}
		}
	}
	return all
}
