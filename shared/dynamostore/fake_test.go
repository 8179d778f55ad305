package dynamostore_test

import (
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"paylane/shared/awscall/awstest"
	"paylane/shared/dynamostore"
	"paylane/shared/order"
)

// dynamoDBErrors is the namespace of DynamoDB's errors.
const dynamoDBErrors = awstest.Namespace("com.amazonaws.dynamodb.v20120810")

// fake plays DynamoDB.
type fake struct{ *awstest.Fake }

// serve returns a store on a fake; n counts requests from 0.
func serve(t *testing.T, answer func(n int, r awstest.Request) awstest.Answer) (*dynamostore.Store, fake) {
	t.Helper()
	f := fake{awstest.NewFake(t, answer)}
	return dynamostore.New(dynamodb.NewFromConfig(f.Config()), "orders", rand.IntN), f
}

// open returns a store on a fake that answers requests in turn, and further ones with the
// last answer.
func open(t *testing.T, answers ...awstest.Answer) (*dynamostore.Store, fake) {
	t.Helper()
	return serve(t, awstest.InTurn(answers...))
}

// refuses answers with an error of DynamoDB.
func refuses(status int, code string) awstest.Answer {
	return dynamoDBErrors.Refuses(status, code, nil)
}

// conflicts answers that the condition failed, with the item as it is.
func conflicts(item any) awstest.Answer {
	return dynamoDBErrors.Refuses(http.StatusBadRequest, "ConditionalCheckFailedException", map[string]any{"Item": item})
}

// at returns a fixed time plus some seconds.
func at(seconds int) time.Time {
	return time.Date(2026, 3, 14, 9, 26, 53, 589e6, time.UTC).Add(time.Duration(seconds) * time.Second)
}

func pending() order.Order {
	return order.New(order.Ref{Tenant: "tenant", ID: "01a204cb-dd3f-7a1f-8ee4-487272d016b5"},
		order.Request{Amount: 12_000, Currency: "KRW", PaymentToken: "tok_ok"}, "", at(0))
}

func claim(kind order.Kind) order.Claim {
	return order.Claim{Kind: kind, Round: 1, Now: at(1), Until: at(11), Limits: order.Limits{Attempts: 3}}
}

// must returns a function that returns v, and fails the test on an error.
func must[T any](t *testing.T) func(v T, err error) T {
	t.Helper()
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// itemOf returns the item of an order, without the token of the creation.
func itemOf(t *testing.T, o order.Order) map[string]any {
	t.Helper()
	store, f := open(t, awstest.OK(struct{}{}))
	if err := store.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	item := f.Requests()[0].Body["Item"].(map[string]any)
	delete(item, "w0")
	return item
}

// with returns the item with some attributes changed.
func with(item map[string]any, attributes map[string]any) map[string]any {
	item = maps.Clone(item)
	maps.Copy(item, attributes)
	return item
}

// operations counts the requests by operation.
func (f fake) operations() map[string]int {
	counts := make(map[string]int)
	for _, r := range f.Requests() {
		counts[r.Operation]++
	}
	return counts
}

// lines returns the requests as sorted text, since some are sent concurrently.
func (f fake) lines() (lines []string) {
	for _, r := range f.Requests() {
		lines = append(lines, shown(r))
	}
	slices.Sort(lines)
	return lines
}
