package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"paylane/shared/emulator/template"
)

// makeTable creates a table with its keys, indexes, stream and time to live. Backups,
// encryption, tags and protection matter only on AWS.
func makeTable(ctx context.Context, client *dynamodb.Client, t template.Table) error {
	input := &dynamodb.CreateTableInput{TableName: &t.Name}
	var ttl struct{ AttributeName, Enabled string }
	for property, field := range map[string]any{
		"AttributeDefinitions": &input.AttributeDefinitions, "KeySchema": &input.KeySchema,
		"BillingMode": &input.BillingMode, "ProvisionedThroughput": &input.ProvisionedThroughput,
		"GlobalSecondaryIndexes": &input.GlobalSecondaryIndexes, "LocalSecondaryIndexes": &input.LocalSecondaryIndexes,
		"StreamSpecification": &input.StreamSpecification, "TimeToLiveSpecification": &ttl,
	} {
		if err := decode(t.Properties[property], field); err != nil {
			return fmt.Errorf("%s: %w", property, err)
		}
	}
	if input.StreamSpecification != nil {
		input.StreamSpecification.StreamEnabled = aws.Bool(true) // CloudFormation has only the view type
	}
	_, err := client.CreateTable(ctx, input)
	there := errors.As(err, new(*types.ResourceInUseException))
	if err != nil && !there {
		return err
	}
	// An existing table may have just been created by another process.
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	})
	if err := waiter.Wait(ctx, &dynamodb.DescribeTableInput{TableName: &t.Name}, patience); err != nil {
		return fmt.Errorf("wait until it is active: %w", err)
	}
	if there || ttl.Enabled != "true" {
		return nil
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &t.Name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &ttl.AttributeName, Enabled: aws.Bool(true)},
	})
	return err
}

// decode turns a template's value into the SDK's type for it, whose fields have
// CloudFormation's names.
func decode(value, into any) error {
	if value == nil {
		return nil
	}
	text, err := json.Marshal(typed("", value))
	if err != nil {
		return err
	}
	return json.Unmarshal(text, into)
}

// typed converts values to the types of the fields. In a template a number may be written
// as a string, and vice versa. Only fields of capacity units are numbers.
func typed(field string, value any) any {
	switch value := value.(type) {
	case map[string]any:
		made := make(map[string]any, len(value))
		for name, v := range value {
			made[name] = typed(name, v)
		}
		return made
	case []any:
		made := make([]any, len(value))
		for i, v := range value {
			made[i] = typed(field, v)
		}
		return made
	case nil:
		return nil
	}
	if text := fmt.Sprint(value); strings.Contains(field, "Units") {
		return json.Number(text)
	}
	return fmt.Sprint(value)
}
