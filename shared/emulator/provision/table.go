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

// ensureTable creates a table if it does not exist, and returns its stream's ARN if the
// template gives it a stream.
func ensureTable(ctx context.Context, client *dynamodb.Client, t template.Table) (streamARN string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if streamARN, err = makeTable(ctx, client, t); err != nil {
		return "", fmt.Errorf("create the table %s: %w", t.LogicalID, err)
	}
	return streamARN, nil
}

// makeTable creates a table with its keys, indexes, stream and time to live. Backups,
// encryption, tags and protection matter only on AWS.
func makeTable(ctx context.Context, client *dynamodb.Client, t template.Table) (streamARN string, err error) {
	input := &dynamodb.CreateTableInput{TableName: &t.Name}
	var ttl struct{ AttributeName, Enabled string }
	for property, field := range map[string]any{
		"AttributeDefinitions": &input.AttributeDefinitions, "KeySchema": &input.KeySchema,
		"BillingMode": &input.BillingMode, "ProvisionedThroughput": &input.ProvisionedThroughput,
		"GlobalSecondaryIndexes": &input.GlobalSecondaryIndexes, "LocalSecondaryIndexes": &input.LocalSecondaryIndexes,
		"StreamSpecification": &input.StreamSpecification, "TimeToLiveSpecification": &ttl,
	} {
		if err := decode(t.Properties[property], field); err != nil {
			return "", fmt.Errorf("%s: %w", property, err)
		}
	}
	if input.StreamSpecification != nil {
		input.StreamSpecification.StreamEnabled = aws.Bool(true) // CloudFormation has only the view type
	}
	_, err = client.CreateTable(ctx, input)
	there := errors.As(err, new(*types.ResourceInUseException))
	if err != nil && !there {
		return "", err
	}
	// An existing table may have just been created by another process.
	waiter := dynamodb.NewTableExistsWaiter(client, func(o *dynamodb.TableExistsWaiterOptions) {
		o.MinDelay, o.MaxDelay = 100*time.Millisecond, time.Second
	})
	active, err := waiter.WaitForOutput(ctx, &dynamodb.DescribeTableInput{TableName: &t.Name}, patience)
	if err != nil {
		return "", fmt.Errorf("wait until it is active: %w", err)
	}
	if input.StreamSpecification != nil {
		if streamARN, err = streamOf(client, active.Table, input.StreamSpecification.StreamViewType); err != nil {
			return "", err
		}
	}
	if there || ttl.Enabled != "true" {
		return streamARN, nil
	}
	_, err = client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{
		TableName:               &t.Name,
		TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &ttl.AttributeName, Enabled: aws.Bool(true)},
	})
	return streamARN, err
}

// streamOf returns the ARN of a table's stream. A table that existed may have none, or one that
// shows something else.
func streamOf(client *dynamodb.Client, table *types.TableDescription, want types.StreamViewType) (string, error) {
	is, o := table.StreamSpecification, client.Options()
	update := func(stream string) string {
		return "`aws dynamodb update-table --table-name " + aws.ToString(table.TableName) + " --stream-specification " + stream +
			flags(o.BaseEndpoint, o.Region) + "`"
	}
	begin := update("StreamEnabled=true,StreamViewType=" + string(want))
	switch {
	case is == nil || !aws.ToBool(is.StreamEnabled):
		return "", fmt.Errorf("it exists without a stream: give it one with %s", begin)
	case is.StreamViewType != want:
		return "", fmt.Errorf("it exists with a stream of %s, and the template asks for %s: end the stream with %s, and begin the other with %s",
			is.StreamViewType, want, update("StreamEnabled=false"), begin)
	}
	return aws.ToString(table.LatestStreamArn), nil
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
