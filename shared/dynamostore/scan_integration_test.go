//go:build integration

package dynamostore_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/contract"
	"paylane/shared/dynamostore"
	"paylane/shared/order"
)

// TestScannerContract has a table for each case, since a scan reads all of it.
func TestScannerContract(t *testing.T) {
	contract.RunScanner(t, func(t *testing.T) contract.ScanStore {
		c, _ := awstest.Config(t)
		client := dynamodb.NewFromConfig(c)
		return dynamostore.New(client, createTable(t, client), rand.IntN)
	})
}

// TestScanCompletesTheIndexOfCustomers: an order that an earlier build wrote is not listed
// by customer until a scan has read it.
func TestScanCompletesTheIndexOfCustomers(t *testing.T) {
	c, _ := awstest.Config(t)
	client := dynamodb.NewFromConfig(c)
	table := createTable(t, client)
	store := dynamostore.New(client, table, rand.IntN)
	o := pending()
	o.CustomerID = "c-42"
	if err := store.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, err := client.UpdateItem(t.Context(), &dynamodb.UpdateItemInput{
		TableName: &table, Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "tenant/" + o.ID}},
		UpdateExpression: aws.String("REMOVE gc"),
	}); err != nil {
		t.Fatal(err)
	}
	listed := func(want []order.Order) {
		t.Helper()
		var diff string
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); { // the index may lag
			page := must[order.Page](t)(store.List(t.Context(), order.Query{Tenant: "tenant", CustomerID: "c-42", Limit: 10}))
			if diff = cmp.Diff(want, page.Orders); diff == "" {
				return
			}
		}
		t.Errorf("the customer's orders (-want +got):\n%s", diff)
	}
	listed(nil)
	for range 2 { // the second finds nothing to do
		page := must[order.ScanPage](t)(store.Scan(t.Context(), order.ScanQuery{Segments: 1, Limit: 10}))
		if diff := cmp.Diff([]order.Order{o}, page.Orders); diff != "" {
			t.Errorf("the scan (-want +got):\n%s", diff)
		}
		listed([]order.Order{o})
	}
}
