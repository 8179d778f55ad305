//go:build integration

package dynamostore_test

import (
	"context"
	"strconv"
	"strings"
	"testing"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"paylane/shared/dynamostore"
	"paylane/shared/order"
	"paylane/shared/sqsqueue"
)

// cost is what one order took of AWS.
type cost struct {
	Calls         map[string]int
	Writes, Reads float64
	// Retries are further tries of calls, which a slow LocalStack may need.
	Retries int
}

type costKey struct{}

// meter puts into a client's calls that they add to the [cost] in their context.
func meter(stack *middleware.Stack) error {
	count := middleware.FinalizeMiddlewareFunc("Meter", func(
		ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler,
	) (middleware.FinalizeOutput, middleware.Metadata, error) {
		of := ctx.Value(costKey{}).(*cost)
		if strings.HasPrefix(in.Request.(*smithyhttp.Request).Header.Get("Amz-Sdk-Request"), "attempt=1;") {
			of.Calls[awsmiddleware.GetOperationName(ctx)]++
		} else {
			of.Retries++
		}
		return next.HandleFinalize(ctx, in)
	})
	ask := middleware.InitializeMiddlewareFunc("AskForCapacity", func(
		ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler,
	) (middleware.InitializeOutput, middleware.Metadata, error) {
		switch p := in.Parameters.(type) {
		case *dynamodb.PutItemInput:
			p.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
		case *dynamodb.UpdateItemInput:
			p.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
		case *dynamodb.GetItemInput:
			p.ReturnConsumedCapacity = types.ReturnConsumedCapacityIndexes
		}
		out, metadata, err := next.HandleInitialize(ctx, in)
		of := ctx.Value(costKey{}).(*cost)
		switch result := out.Result.(type) {
		case *dynamodb.PutItemOutput:
			of.Writes += units(result.ConsumedCapacity)
		case *dynamodb.UpdateItemOutput:
			of.Writes += units(result.ConsumedCapacity)
		case *dynamodb.GetItemOutput:
			of.Reads += units(result.ConsumedCapacity)
		}
		return out, metadata, err
	})
	if err := stack.Initialize.Add(ask, middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(count, "Retry", middleware.After)
}

// units is 0 where a retry was answered with the conflict that showed its success.
func units(c *types.ConsumedCapacity) float64 {
	if c == nil {
		return 0
	}
	return *c.CapacityUnits
}

// TestCostOfAnOrder: on its happy path an order costs one message, one put and two
// updates, which take 4 write units and no read unit. The poller's calls come on top.
func TestCostOfAnOrder(t *testing.T) {
	const orders = 200
	c := config(t)
	table := createTable(t, c)
	created, err := sqs.NewFromConfig(c).CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &table})
	if err != nil {
		t.Fatalf("create the queue: %v", err)
	}
	c.APIOptions = append(c.APIOptions, meter)
	store := dynamostore.New(dynamodb.NewFromConfig(c), table)
	queue := sqsqueue.New(sqs.NewFromConfig(c), *created.QueueUrl)
	want := cost{Calls: map[string]int{"SendMessage": 1, "PutItem": 1, "UpdateItem": 2}, Writes: 4}
	retried := 0
	for i := range orders {
		got := cost{Calls: make(map[string]int)}
		payOrder(context.WithValue(t.Context(), costKey{}, &got), t, store, queue, i)
		if got.Retries > 0 {
			retried++
			got.Retries, got.Writes = 0, want.Writes // a second try writes, and tells, something else
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("the cost of order %d (-want +got):\n%s", i, diff)
		}
	}
	t.Logf("each of %d orders took %v, %v write units and %v read units", orders, want.Calls, want.Writes, want.Reads)
	if retried > orders/10 {
		t.Errorf("%d of %d orders needed retries: too many to know what an order costs", retried, orders)
	}
}

// payOrder is what the API and the payment function do with an order.
func payOrder(ctx context.Context, t *testing.T, store order.Store, queue order.Queue, i int) {
	t.Helper()
	r := must[order.Request](t)(order.Request{
		Currency: "USD", CustomerID: "customer-0123456789", PaymentToken: "tok_1PqW3E2eZvKYlo2C0123456789",
		Items:    []order.Item{{SKU: "TEA-SENCHA-200G", Quantity: 2, UnitPrice: 1250}, {SKU: "GIFT-WRAP", Quantity: 1, UnitPrice: 300}},
		Metadata: map[string]string{"cart": uuid.NewString()},
	}.Normalize())
	key := strconv.Itoa(i)
	o := order.New(order.Ref{Tenant: "a-tenant-of-some-length", ID: order.KeyedID("tenant", key)}, r, key, at(i))
	message := order.Message{Kind: order.KindCharge, Ref: o.Ref, Round: o.Round}
	must[string](t)(queue.Send(ctx, message.Encode(), 0))
	if err := store.Create(ctx, o); err != nil {
		t.Fatal(err)
	}
	claim := order.Claim{Kind: order.KindCharge, Round: 1, Now: at(i + 1), Until: at(i + 11)}
	claimed := must[order.Order](t)(store.Claim(ctx, o.Ref, claim))
	paid := must[order.Order](t)(claimed.PaidWith("PAY-0A1B2C3D", at(i+2)))
	if err := store.Update(ctx, paid); err != nil {
		t.Fatal(err)
	}
}
