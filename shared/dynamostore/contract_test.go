//go:build integration

package dynamostore_test

import (
	"flag"
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

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

func TestContract(t *testing.T) {
	c, _ := awstest.Config(t)
	client := dynamodb.NewFromConfig(c)
	store := dynamostore.New(client, createTable(t, client), rand.IntN)
	contract.RunStore(t, func(*testing.T) order.Store { return store })
}
