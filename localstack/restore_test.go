//go:build integration

package localstack_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	"github.com/google/uuid"

	"paylane/shared/dynamostore"
	"paylane/shared/emulator/template"
	"paylane/shared/gateway"
	"paylane/shared/gateway/simulator"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/queue"
	"paylane/shared/sqsqueue"
)

// TestRestore follows "Restoring the table" in docs/operating.md. LocalStack restores no table
// to a point in time, so the items of that time are copied; and it has no IAM, so each
// function's calls are checked against its role.
func TestRestore(t *testing.T) {
	s := newStack(t)
	s.provision(t, repository)
	books := &bank{Simulator: simulator.New(time.Now), charged: make(map[string]string)}
	before := s.release(t, books, 5*time.Minute, nil)
	messages := make(map[string]queue.Message)
	place := func(r *release, key string) (id string) {
		t.Helper()
		id = r.place(t, key)
		messages[id] = s.receive(t)
		return id
	}

	kept := place(before, "")
	before.pay(t, messages[kept])
	charged, waiting, open := place(before, ""), place(before, ""), place(before, "")
	snapshot := s.items(t, ordersTable)
	before.pay(t, messages[charged])
	lost := place(before, "lost")
	before.pay(t, messages[lost])
	late := place(before, "")

	// 1. Nothing writes any more. 2. and 3.
	const suffix = "-restored"
	s.copyTable(t, ordersTable, ordersTable+suffix, snapshot)

	// 4. The deployment: the roles are the new ones at once, while the old versions run on.
	after := s.release(t, books, 0, map[string]string{"RestoredTable": suffix})
	for _, r := range []*release{before, after} {
		r.exercise(t, kept)
	}
	after.wantStatus(t, kept, order.Paid)
	after.wantStatus(t, charged, order.Pending)
	if status, body := after.call(t, http.MethodGet, "/orders/"+lost, ""); status != http.StatusNotFound {
		t.Errorf("an order placed after the restore point: %d %s", status, body)
	}

	// 5. Payments go on with what waits; a message without an order is dropped.
	after.pay(t, messages[waiting])
	after.pay(t, messages[late])
	after.wantStatus(t, waiting, order.Paid)

	// 6. Reconciled by hand.
	after.reconcileByHand(t, `{"from": "2020-01-01T00:00:00Z", "apply": true, "stuckAfter": "1m"}`)
	after.wantStatus(t, charged, order.Paid)
	after.wantStatus(t, open, order.Failed)

	// 7. Callers are back. A lost order is placed again, and charged under the key it had.
	if status, body := after.call(t, http.MethodPost, "/orders/"+open+"/retry", ""); status != http.StatusOK && status != http.StatusAccepted {
		t.Errorf("retry: %d %s", status, body)
	}
	messages[open] = s.receive(t)
	after.pay(t, messages[open])
	if again := place(after, "lost"); again != lost {
		t.Fatalf("with its key the order is %s, and was %s", again, lost)
	}
	after.pay(t, messages[lost])
	for _, id := range []string{kept, charged, waiting, open, lost} {
		after.wantStatus(t, id, order.Paid)
		if n := books.count(id); n != 1 {
			t.Errorf("order %s was charged %d times", id, n)
		}
	}
	if n := books.count(late); n != 0 {
		t.Errorf("an order that is gone was charged %d times", n)
	}
}

// release is the functions of one deployment, each with its role.
type release struct {
	api        handlers.HTTPHandler
	payment    handlers.SQSHandler
	deadLetter handlers.SQSHandler
	stream     handlers.StreamHandler
	reconcile  handlers.ReconcileHandler
}

// release makes the functions as the template describes them. Orders are placed some time ago.
func (s *stack) release(t *testing.T, books *bank, ago time.Duration, parameters map[string]string) *release {
	t.Helper()
	read := s.template(t, parameters)
	r := &release{}
	with := func(name string) (map[string]string, handlers.Services) {
		function, _ := read.Function(name)
		c := s.config
		c.APIOptions = append(slices.Clone(c.APIOptions), newRole(t, name).add)
		return function.Environment, handlers.Services{
			Store: func(table string) handlers.Store { return dynamostore.New(dynamodb.NewFromConfig(c), table, rand.IntN) },
			Queue: func(url string) (handlers.Queue, error) {
				return sqsqueue.New(s.sqs, url, rand.IntN), nil
			},
			Gateway: func(string) (gateway.Provider, error) { return books, nil },
			Now:     time.Now, Jitter: rand.IntN, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		}
	}
	environment, services := with("Api")
	services.Now = func() time.Time { return time.Now().Add(-ago) }
	r.api = handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(environment, services))
	r.payment = handlerstest.Must[handlers.SQSHandler](t)(handlers.Payment(with("Payment")))
	r.deadLetter = handlerstest.Must[handlers.SQSHandler](t)(handlers.DeadLetter(with("DeadLetter")))
	r.stream = handlerstest.Must[handlers.StreamHandler](t)(handlers.Stream(with("Stream")))
	r.reconcile = handlerstest.Must[handlers.ReconcileHandler](t)(handlers.Reconcile(with("Reconcile")))
	return r
}

// template reads the template as it is with some parameters, without authentication.
func (s *stack) template(t *testing.T, parameters map[string]string) *template.Template {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(repository, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	given := map[string]string{"AuthMode": "none"}
	maps.Copy(given, parameters)
	read, err := template.Read("template.yaml", source, template.Options{
		Parameters: given, SQSEndpoint: s.endpoint, AccountID: s.account,
	})
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func (r *release) call(t *testing.T, method, path, body string, headers ...string) (status int, answer string) {
	t.Helper()
	event := apiEvent(method, path, body)
	for i := 0; i < len(headers); i += 2 {
		event.Headers[headers[i]] = headers[i+1]
	}
	response, err := r.api(t.Context(), event)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, response.Body
}

// place places an order, with an idempotency key unless that is empty, and returns its id.
func (r *release) place(t *testing.T, key string) (id string) {
	t.Helper()
	var headers []string
	if key != "" {
		headers = []string{"idempotency-key", key}
	}
	status, body := r.call(t, http.MethodPost, "/orders", `{"amount": 1, "paymentToken": "tok_ok"}`, headers...)
	var placed struct{ ID string }
	if err := json.Unmarshal([]byte(body), &placed); err != nil || status != http.StatusCreated {
		t.Fatalf("place an order: %d %s, %v", status, body, err)
	}
	return placed.ID
}

func (r *release) wantStatus(t *testing.T, id string, want order.Status) {
	t.Helper()
	if status, body := r.call(t, http.MethodGet, "/orders/"+id, ""); status != http.StatusOK || !strings.Contains(body, `"status":"`+string(want)+`"`) {
		t.Errorf("the order is %d %s, want %s", status, body, want)
	}
}

// pay delivers a message to the payment function.
func (r *release) pay(t *testing.T, d queue.Message) {
	t.Helper()
	r.deliver(t, r.payment, d)
}

func (r *release) deliver(t *testing.T, handler handlers.SQSHandler, d queue.Message) {
	t.Helper()
	record := events.SQSMessage{MessageId: d.MessageID, ReceiptHandle: d.ReceiptHandle, Body: d.Body, Attributes: map[string]string{
		"SentTimestamp": fmt.Sprint(time.Now().Add(-time.Hour).UnixMilli()), "ApproximateReceiveCount": "1",
	}}
	response, err := handler(t.Context(), events.SQSEvent{Records: []events.SQSMessage{record}})
	if err != nil || len(response.BatchItemFailures) > 0 {
		t.Errorf("deliver %s: %v, %v", d.Body, response, err)
	}
}

func (r *release) reconcileByHand(t *testing.T, event string) {
	t.Helper()
	answer, err := r.reconcile(t.Context(), json.RawMessage(event))
	if result, ok := answer.(handlers.ReconcileResult); err != nil || !ok || !result.Done || result.Report.Scanned == 0 {
		t.Errorf("reconcile: %+v, %v", answer, err)
	}
}

// exercise makes each function use its table and its indexes.
func (r *release) exercise(t *testing.T, id string) {
	t.Helper()
	for _, path := range []string{"/orders/" + id, "/orders", "/orders?status=PAID", "/orders?customerId=c"} {
		if status, body := r.call(t, http.MethodGet, path, ""); status != http.StatusOK {
			t.Errorf("GET %s: %d %s", path, status, body)
		}
	}
	stream, err := r.stream(t.Context(), &events.LambdaFunctionURLRequest{
		RawPath: "/orders/" + id + "/events",
		RequestContext: events.LambdaFunctionURLRequestContext{
			DomainName: "id.on.aws", HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{Method: http.MethodGet},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(stream); err != nil || !strings.Contains(string(text), `"status":"PAID"`) {
		t.Errorf("the events are %s, %v", text, err)
	}
	r.reconcileByHand(t, `{}`)
	stranger := order.Message{Kind: order.KindCharge, Ref: order.Ref{Tenant: "local", ID: uuid.NewString()}, Round: 1}.Encode()
	r.deliver(t, r.deadLetter, queue.Message{MessageID: "m", Body: stranger})
}

// receive takes the one message out of the payment queue.
func (s *stack) receive(t *testing.T) queue.Message {
	t.Helper()
	got, err := s.queue(paymentQueue).Receive(t.Context(), queue.ReceiveRequest{Max: 10, Wait: 5 * time.Second, Visibility: time.Hour})
	if err != nil || len(got) != 1 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	return got[0]
}

// items returns all items of a table.
func (s *stack) items(t *testing.T, table string) []map[string]types.AttributeValue {
	t.Helper()
	out, err := dynamodb.NewFromConfig(s.config).Scan(t.Context(), &dynamodb.ScanInput{TableName: &table})
	if err != nil {
		t.Fatal(err)
	}
	return out.Items
}

// copyTable creates a table like another one, with the given items.
func (s *stack) copyTable(t *testing.T, from, to string, items []map[string]types.AttributeValue) {
	t.Helper()
	client := dynamodb.NewFromConfig(s.config)
	described, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &from})
	if err != nil {
		t.Fatal(err)
	}
	in := &dynamodb.CreateTableInput{
		TableName: &to, BillingMode: types.BillingModePayPerRequest,
		KeySchema: described.Table.KeySchema, AttributeDefinitions: described.Table.AttributeDefinitions,
	}
	for _, index := range described.Table.GlobalSecondaryIndexes {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: index.IndexName, KeySchema: index.KeySchema, Projection: index.Projection,
		})
	}
	if _, err := client.CreateTable(t.Context(), in); err != nil {
		t.Fatal(err)
	}
	if err := dynamodb.NewTableExistsWaiter(client).Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &to}, time.Minute); err != nil {
		t.Fatal(err)
	}
	for _, item := range items {
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &to, Item: item}); err != nil {
			t.Fatal(err)
		}
	}
}

// role refuses the calls to tables that a function's role does not allow, as IAM would.
type role struct {
	function string
	allowed  map[string]*regexp.Regexp // resources by action
}

const ordersTableARN = "arn:aws:dynamodb:us-east-1:000000000000:table/" + ordersTable

func newRole(t *testing.T, function string) role {
	t.Helper()
	r := role{function, make(map[string]*regexp.Regexp)}
	for _, fields := range statements(t, function) {
		for _, action := range fields["Action"].([]any) {
			if name, ok := strings.CutPrefix(action.(string), "dynamodb:"); ok {
				resource := strings.ReplaceAll(fields["Resource"].(string), "${OrdersTable.Arn}", ordersTableARN)
				r.allowed[name] = regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(resource), `\*`, ".*") + "$")
			}
		}
	}
	return r
}

// add attaches the role to a client, as one of its APIOptions.
func (r role) add(stack *middleware.Stack) error {
	return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("Role", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		for _, resource := range resources(in.Parameters) {
			action := awsmiddleware.GetOperationName(ctx)
			if pattern := r.allowed[action]; pattern == nil || !pattern.MatchString(resource) {
				return middleware.InitializeOutput{}, middleware.Metadata{}, &smithy.GenericAPIError{
					Code: "AccessDeniedException", Message: fmt.Sprintf("%s may not %s on %s", r.function, action, resource),
				}
			}
		}
		return next.HandleInitialize(ctx, in)
	}), middleware.After)
}

// resources returns the ARNs of the tables and indexes that a request to DynamoDB names.
func resources(request any) (arns []string) {
	base := strings.TrimSuffix(ordersTableARN, ordersTable)
	switch request := request.(type) {
	case *dynamodb.BatchGetItemInput:
		for table := range request.RequestItems {
			arns = append(arns, base+table)
		}
	case *dynamodb.QueryInput:
		arns = append(arns, base+*request.TableName+"/index/"+*request.IndexName)
	default:
		if name, ok := reflect.ValueOf(request).Elem().FieldByName("TableName").Interface().(*string); ok {
			arns = append(arns, base+*name)
		}
	}
	return arns
}

// bank is a gateway that keeps books, as a real one does.
type bank struct {
	*simulator.Simulator

	mu      sync.Mutex
	charged map[string]string // references by key
}

// Charge implements [gateway.Gateway].
func (b *bank) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	receipt, err := b.Simulator.Charge(ctx, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ref, done := b.charged[r.Key]; {
	case done && ref == "":
		return gateway.Receipt{}, errors.New("the key is closed")
	case err == nil:
		b.charged[r.Key] = receipt.Ref
	}
	return receipt, err
}

// Resolve implements [gateway.Gateway]. What it says was not done is closed.
func (b *bank) Resolve(_ context.Context, r gateway.Request) (gateway.Resolution, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	ref := b.charged[r.Key]
	b.charged[r.Key] = ref
	return gateway.Resolution{Done: ref != "", Receipt: gateway.Receipt{Ref: ref}}, nil
}

// count counts the charges of an order: by key, of which each acts once.
func (b *bank) count(id string) (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, ref := range b.charged {
		if strings.HasPrefix(key, id) && ref != "" {
			n++
		}
	}
	return n
}
