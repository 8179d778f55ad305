// Command front accepts letters and shows what became of them.
package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"example.com/mailroom/office"
)

const greeting = "hello"

func main() {
	lambda.Start(func(ctx context.Context, r events.APIGatewayV2HTTPRequest) (any, error) {
		switch r.RouteKey {
		case "GET /hello":
			return map[string]string{"says": greeting + " " + os.Getenv("GREETING"), "strict": os.Getenv("STRICT"), "home": os.Getenv("HOME")}, nil
		case "POST /letters":
			sent, err := sqs.NewFromConfig(office.Config()).SendMessage(ctx, &sqs.SendMessageInput{
				QueueUrl: aws.String(os.Getenv("QUEUE_URL")), MessageBody: &r.Body,
				MessageAttributes: map[string]sqstypes.MessageAttributeValue{
					"stamp": {DataType: aws.String("Binary"), BinaryValue: []byte{0, 255}},
				},
			})
			if err != nil {
				return nil, err
			}
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusAccepted, Body: *sent.MessageId}, nil
		}
		found, err := dynamodb.NewFromConfig(office.Config()).GetItem(ctx, &dynamodb.GetItemInput{
			TableName: aws.String(os.Getenv("LETTERS_TABLE")),
			Key:       map[string]types.AttributeValue{"id": &types.AttributeValueMemberS{Value: r.PathParameters["id"]}},
		})
		if err != nil {
			return nil, err
		}
		text, ok := found.Item["text"].(*types.AttributeValueMemberS)
		if !ok {
			return events.APIGatewayV2HTTPResponse{StatusCode: http.StatusNotFound}, nil
		}
		return json.RawMessage(text.Value), nil
	})
}
