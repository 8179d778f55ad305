//go:build integration

package localstack_test

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"paylane/shared/dynamostore"
	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/sqsqueue"
)

// meter counts a client's calls to AWS, and the capacity that they use.
type meter struct {
	mu            sync.Mutex
	calls         map[string]int
	retries       int // a slow LocalStack may need some
	writes, reads float64
	customers     float64 // the writes to the index of customers, which are among writes
}

// add attaches the meter to a client, as one of its APIOptions.
func (m *meter) add(stack *middleware.Stack) error {
	count := middleware.FinalizeMiddlewareFunc("Meter", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		first := strings.HasPrefix(in.Request.(*smithyhttp.Request).Header.Get("Amz-Sdk-Request"), "attempt=1;")
		m.mu.Lock()
		if first {
			m.calls[awsmiddleware.GetOperationName(ctx)]++
		} else {
			m.retries++
		}
		m.mu.Unlock()
		return next.HandleFinalize(ctx, in)
	})
	capacity := middleware.InitializeMiddlewareFunc("Capacity", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		switch p := in.Parameters.(type) {
		case *dynamodb.PutItemInput:
			p.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
		case *dynamodb.UpdateItemInput:
			p.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
		case *dynamodb.GetItemInput:
			p.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		}
		out, metadata, err := next.HandleInitialize(ctx, in)
		m.mu.Lock()
		defer m.mu.Unlock()
		switch result := out.Result.(type) {
		case *dynamodb.PutItemOutput:
			m.wrote(result.ConsumedCapacity)
		case *dynamodb.UpdateItemOutput:
			m.wrote(result.ConsumedCapacity)
		case *dynamodb.GetItemOutput:
			m.reads += *result.ConsumedCapacity.CapacityUnits
		}
		return out, metadata, err
	})
	if err := stack.Initialize.Add(capacity, middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(count, "Retry", middleware.After)
}

func (m *meter) wrote(c *types.ConsumedCapacity) {
	m.writes += *c.CapacityUnits
	if index, ok := c.GlobalSecondaryIndexes["byCustomer"]; ok {
		m.customers += *index.CapacityUnits
	}
}

// TestCost counts the calls and capacity units of 400 orders on their happy path,
// through the handlers and the event source mapping.
func TestCost(t *testing.T) {
	const orders, writers = 400, 8
	s := newStack(t)
	read := s.provision(t, repository)
	used, polled := &meter{calls: map[string]int{}}, &meter{calls: map[string]int{}}
	config := s.config
	config.APIOptions = append(config.APIOptions, used.add)
	store := dynamostore.New(dynamodb.NewFromConfig(config), ordersTable, rand.IntN)
	queue := sqsqueue.New(sqs.NewFromConfig(config), s.queueURL(paymentQueue), rand.IntN)
	environment, services := handlerstest.Environment(), handlerstest.Services(store, queue)
	api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(environment, services))
	// Every other order has a customer.
	const customers = orders / 2
	creates := [2]events.APIGatewayV2HTTPRequest{}
	for i, customer := range []string{"", `"customerId": "customer-0123456789", `} {
		creates[i] = apiEvent(http.MethodPost, "/orders",
			`{"items": [{"sku": "TEA-SENCHA-200G", "quantity": 2, "unitPrice": 1250}], `+customer+`"metadata": {"cart": "77"}}`)
	}
	var load sync.WaitGroup
	for w := range writers {
		load.Go(func() {
			for i := range orders / writers {
				if r, err := api(t.Context(), creates[(w+i)%2]); err != nil || r.StatusCode != http.StatusCreated {
					t.Errorf("%d %s, %v", r.StatusCode, r.Body, err)
				}
			}
		})
	}
	load.Wait()

	handler := handlerstest.Must[handlers.SQSHandler](t)(handlers.Payment(environment, services))
	payment := emulator.NewInProcess(handler, emulator.Config{ARN: "arn", Timeout: 10 * time.Second})
	defer payment.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	var polling sync.WaitGroup
	polling.Go(func() { newPoller(t, s, read, payment, polled).Run(ctx) })
	eventually(t, 5*time.Minute, func() string { // if LocalStack was too slow for a batch, it comes back after a minute
		if counts := s.counts(t, paymentQueue); counts != [2]int{0, 0} {
			return fmt.Sprintf("the payment queue has %v messages, visible and in flight", counts)
		}
		return ""
	})
	stop()
	polling.Wait()

	// What docs/cost.md is computed from.
	type perOrder struct {
		Calls                                     map[string]int
		WriteUnits, CustomerWriteUnits, ReadUnits float64
	}
	text, err := os.ReadFile(filepath.Join(repository, "docs", "usage.json"))
	if err != nil {
		t.Fatal(err)
	}
	usage := parsed[perOrder](t, string(text))
	want := make(map[string]int)
	for call, n := range usage.Calls {
		want[call] = n * orders
	}
	// A call that LocalStack was too slow for is made again: by its message, which is then put
	// off, or by the SDK, which may write, and report, something else.
	for call := range used.calls {
		most := used.retries
		if call != "ChangeMessageVisibility" {
			most = min(most, want[call])
		}
		if extra := used.calls[call] - want[call]; extra < 0 || extra > most {
			t.Errorf("%d calls of %s for %d orders, with %d retries; want %d", used.calls[call], call, orders, used.retries, want[call])
		}
		delete(want, call)
	}
	if len(want) > 0 {
		t.Errorf("calls that were not made: %v", want)
	}
	writes, reads := usage.WriteUnits*orders+usage.CustomerWriteUnits*customers, usage.ReadUnits*orders
	if off := writes - used.writes; off < 0 || off > float64(3*used.retries) || used.reads != reads {
		t.Errorf("%v write units and %v read units, with %d retries; want %v and %v", used.writes, used.reads, used.retries, writes, reads)
	}
	if off := usage.CustomerWriteUnits*customers - used.customers; off < 0 || off > float64(used.retries) {
		t.Errorf("%v write units of the index of customers, with %d retries; want %v",
			used.customers, used.retries, usage.CustomerWriteUnits*customers)
	}
	t.Logf("%d orders took %v, %v write units, %v read units; the poller %v; %d retries",
		orders, used.calls, used.writes, used.reads, polled.calls, used.retries)
}

// apiEvent returns the event that API Gateway makes of a request to the default stage.
func apiEvent(method, path, body string) events.APIGatewayV2HTTPRequest {
	event := events.APIGatewayV2HTTPRequest{
		Version: "2.0", Body: body, Headers: map[string]string{"content-type": "application/json"},
	}
	event.RawPath, event.RawQueryString, _ = strings.Cut(path, "?")
	event.RouteKey = method + " " + event.RawPath
	event.RequestContext.HTTP = events.APIGatewayV2HTTPRequestContextHTTPDescription{Method: method, Path: event.RawPath}
	event.RequestContext.Stage = "$default"
	return event
}

// provision creates the queues and the table of the project in a folder.
func (s *stack) provision(t *testing.T, folder string) *template.Template {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(folder, "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	read, err := template.Read("template.yaml", source, template.Options{SQSEndpoint: s.endpoint, AccountID: s.account})
	if err != nil {
		t.Fatal(err)
	}
	clients := provision.Clients{SQS: s.sqs, DynamoDB: dynamodb.NewFromConfig(s.config)}
	if err := provision.Make(t.Context(), clients, read, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return read
}

// newPoller returns a poller of the payment queue, configured as the runner's.
func newPoller(t *testing.T, s *stack, read *template.Template, invoker emulator.Invoker, m *meter) *eventsource.Poller {
	t.Helper()
	config := s.config
	config.APIOptions = append(config.APIOptions, m.add)
	for _, mapping := range read.Mappings {
		if mapping.Queue != "PaymentQueue" {
			continue
		}
		queue, _ := read.Queue(mapping.Queue)
		function, _ := read.Function(mapping.Function)
		poller, err := eventsource.New(eventsource.Config{
			Mapping: mapping, Queue: queue, Function: function, Invoker: invoker,
			Source: sqsqueue.New(sqs.NewFromConfig(config), queue.URL, rand.IntN), Receivers: 5,
		})
		if err != nil {
			t.Fatal(err)
		}
		return poller
	}
	t.Fatal("the payment queue has no mapping")
	return nil
}
