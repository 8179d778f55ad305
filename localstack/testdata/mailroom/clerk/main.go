// Command clerk files letters; it fails on those to "nobody".
package main

import (
	"context"
	"encoding/json"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"example.com/mailroom/office"
)

func main() {
	lambda.Start(func(ctx context.Context, e events.SQSEvent) (r events.SQSEventResponse, err error) {
		client := dynamodb.NewFromConfig(office.Config())
		for _, record := range e.Records {
			var letter struct {
				To string `json:"to"`
			}
			if json.Unmarshal([]byte(record.Body), &letter) != nil || letter.To == "nobody" {
				r.BatchItemFailures = append(r.BatchItemFailures, events.SQSBatchItemFailure{ItemIdentifier: record.MessageId})
				continue
			}
			text, err := json.Marshal(map[string]any{
				"body": record.Body, "receives": record.Attributes["ApproximateReceiveCount"],
				"stamp": record.MessageAttributes["stamp"].BinaryValue, "from": record.EventSourceARN,
			})
			if err != nil {
				return r, err
			}
			_, err = client.PutItem(ctx, &dynamodb.PutItemInput{TableName: aws.String(os.Getenv("LETTERS_TABLE")), Item: map[string]types.AttributeValue{
				"id":   &types.AttributeValueMemberS{Value: record.MessageId},
				"text": &types.AttributeValueMemberS{Value: string(text)},
			}})
			if err != nil {
				return r, err
			}
		}
		return r, nil
	})
}
