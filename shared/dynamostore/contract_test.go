//go:build integration

package dynamostore_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/contract"
	"paylane/shared/dynamostore"
	"paylane/shared/order"
)

// TestMain has the model tried less often than by default: a LocalStack takes about
// 100 calls a second. The command line still overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("rapid.checks", "10"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
}

// config is of LocalStack, and of an account that no other run has.
func config(t *testing.T) aws.Config {
	t.Helper()
	const advice = `set AWS_ENDPOINT_URL to a running LocalStack's, as "http://127.0.0.1:4566", or run "make integration"`
	endpoint := os.Getenv("AWS_ENDPOINT_URL")
	if endpoint == "" {
		t.Fatal("this test needs DynamoDB: " + advice)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, endpoint, nil)
	if err != nil {
		t.Fatalf("AWS_ENDPOINT_URL: %v; %s", err, advice)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatalf("nothing answers at AWS_ENDPOINT_URL: %v; %s", err, advice)
	}
	_ = response.Body.Close()
	account := fmt.Sprintf("%012d", 1e11+rand.Int64N(9e11))
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: account, SecretAccessKey: "test"}, nil
		}),
	}
}

// createTable makes the table with the keys and indexes that template.yaml gives it.
func createTable(t *testing.T, c aws.Config) (name string) {
	t.Helper()
	name = "orders"
	attribute := func(name string) types.AttributeDefinition {
		return types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeTypeS}
	}
	key := func(name string, as types.KeyType) types.KeySchemaElement {
		return types.KeySchemaElement{AttributeName: &name, KeyType: as}
	}
	index := func(name, partition string) types.GlobalSecondaryIndex {
		return types.GlobalSecondaryIndex{
			IndexName:  &name,
			KeySchema:  []types.KeySchemaElement{key(partition, types.KeyTypeHash), key("gs", types.KeyTypeRange)},
			Projection: &types.Projection{ProjectionType: types.ProjectionTypeKeysOnly},
		}
	}
	client := dynamodb.NewFromConfig(c)
	if _, err := client.CreateTable(t.Context(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions:   []types.AttributeDefinition{attribute("pk"), attribute("g"), attribute("o"), attribute("gs")},
		KeySchema:              []types.KeySchemaElement{key("pk", types.KeyTypeHash)},
		GlobalSecondaryIndexes: []types.GlobalSecondaryIndex{index("byTenant", "g"), index("byOutcome", "o")},
	}); err != nil {
		t.Fatalf("create the table: %v", err)
	}
	exists := dynamodb.NewTableExistsWaiter(client)
	if err := exists.Wait(t.Context(), &dynamodb.DescribeTableInput{TableName: &name}, 30*time.Second); err != nil {
		t.Fatalf("wait for the table: %v", err)
	}
	return name
}

func TestContract(t *testing.T) {
	c := config(t)
	store := dynamostore.New(dynamodb.NewFromConfig(c), createTable(t, c))
	contract.RunStore(t, func(*testing.T) order.Store { return store })
}
