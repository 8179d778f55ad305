//go:build integration

package dynamostore_test

import (
	"encoding/base64"
	"flag"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/awscall/awstest"
	"paylane/shared/contract"
	"paylane/shared/dynamostore"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
	"paylane/shared/order"
)

// TestMain runs the model less often than by default: a LocalStack takes about 100 calls a
// second. The command line still overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// createTable creates the table that template.yaml describes, except that nothing expires.
func createTable(t *testing.T, client *dynamodb.Client) (name string) {
	t.Helper()
	source, err := os.ReadFile("../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read, err := template.Read("template.yaml", source, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	table := read.Tables[0]
	// What the suite stores has a fixed date and has long expired, but must stay.
	delete(table.Properties, "TimeToLiveSpecification")
	tables := &template.Template{Tables: []template.Table{table}}
	if err := provision.Make(t.Context(), provision.Clients{DynamoDB: client}, tables, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return table.Name
}

// TestEarlierOrders puts the items of an earlier build into a table, and goes on with them.
func TestEarlierOrders(t *testing.T) {
	c, _ := awstest.Config(t)
	client := dynamodb.NewFromConfig(c)
	table, items := createTable(t, client), earlierItems(t)
	store := dynamostore.New(client, table, rand.IntN)
	contract.RunEarlier(t, func(t *testing.T, name string, _ order.Order) order.Store {
		if _, err := client.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: &table, Item: attributes(t, items[name])}); err != nil {
			t.Fatal(err)
		}
		return store
	})
}

// attributes returns an item as the SDK has it.
func attributes(t *testing.T, item map[string]any) map[string]types.AttributeValue {
	t.Helper()
	values := make(map[string]types.AttributeValue)
	for name, value := range item {
		values[name] = attribute(t, value)
	}
	return values
}

func attribute(t *testing.T, value any) types.AttributeValue {
	t.Helper()
	switch kind, plain := typed(value); kind {
	case "S":
		return &types.AttributeValueMemberS{Value: plain.(string)}
	case "N":
		return &types.AttributeValueMemberN{Value: plain.(string)}
	case "B":
		return &types.AttributeValueMemberB{Value: must[[]byte](t)(base64.StdEncoding.DecodeString(plain.(string)))}
	case "M":
		return &types.AttributeValueMemberM{Value: attributes(t, plain.(map[string]any))}
	case "L":
		list := &types.AttributeValueMemberL{}
		for _, element := range plain.([]any) {
			list.Value = append(list.Value, attribute(t, element))
		}
		return list
	default:
		t.Fatalf("an attribute of the type %s", kind)
		return nil
	}
}

func TestContract(t *testing.T) {
	c, _ := awstest.Config(t)
	client := dynamodb.NewFromConfig(c)
	store := dynamostore.New(client, createTable(t, client), rand.IntN)
	contract.RunStore(t, func(*testing.T) order.Store { return store })
}

// TestDocuments: documents lie in the table of orders.
func TestDocuments(t *testing.T) {
	c, _ := awstest.Config(t)
	client := dynamodb.NewFromConfig(c)
	table := createTable(t, client)
	contract.RunDocuments(t, func(*testing.T) contract.Documents { return dynamostore.New(client, table, rand.IntN) })
}
