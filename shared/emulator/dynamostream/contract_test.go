//go:build integration

package dynamostream_test

import (
	"log/slog"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"

	"paylane/shared/awscall/awstest"
	"paylane/shared/contract"
	"paylane/shared/dynamostore"
	"paylane/shared/emulator/dynamostream"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
	"paylane/shared/order"
)

// createTable creates the table that template.yaml describes, with a stream and without
// expiries: what the suite stores has a fixed date.
func createTable(t *testing.T, client *dynamodb.Client) (name, streamARN string) {
	t.Helper()
	source, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	read, err := template.Read("template.yaml", source, template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	table := read.Tables[0]
	delete(table.Properties, "TimeToLiveSpecification")
	table.Properties["StreamSpecification"] = map[string]any{"StreamViewType": "NEW_AND_OLD_IMAGES"}
	tables := &template.Template{Tables: []template.Table{table}}
	if err := provision.Make(t.Context(), provision.Clients{DynamoDB: client}, tables, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	out, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &table.Name})
	if err != nil {
		t.Fatal(err)
	}
	return table.Name, *out.Table.LatestStreamArn
}

func TestContract(t *testing.T) {
	contract.RunFeed(t, func(t *testing.T) contract.FeedWorld {
		c, _ := awstest.Config(t)
		client := dynamodb.NewFromConfig(c)
		table, arn := createTable(t, client)
		return contract.FeedWorld{
			Stream: dynamostream.New(dynamodbstreams.NewFromConfig(c), arn, rand.IntN, slog.New(slog.DiscardHandler)),
			Store:  dynamostore.New(client, table, rand.IntN),
			Order:  dynamostore.FromImage,
			Remove: func(t *testing.T, ref order.Ref) {
				key := map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: ref.Tenant + "/" + ref.ID}}
				if _, err := client.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: &table, Key: key}); err != nil {
					t.Fatal(err)
				}
			},
		}
	})
}
