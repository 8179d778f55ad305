// Command watcher writes what it sees of a table's changes to a queue. It fails on the item
// "broken".
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

func main() {
	endpoint := os.Getenv("AWS_ENDPOINT_URL")
	queue := sqs.NewFromConfig(aws.Config{
		Region: os.Getenv("AWS_REGION"), BaseEndpoint: &endpoint,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}, nil
		}),
	})
	lambda.Start(func(ctx context.Context, e events.DynamoDBEvent) error {
		for _, record := range e.Records {
			id := record.Change.Keys["id"].String()
			if id == "broken" {
				return errors.New("it is broken")
			}
			seen := fmt.Sprintf("%s %s, from %s to %s", record.EventName, id, count(record.Change.OldImage), count(record.Change.NewImage))
			if record.EventSourceArn != os.Getenv("STREAM") {
				seen += ", of " + record.EventSourceArn
			}
			if _, err := queue.SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: aws.String(os.Getenv("SEEN")), MessageBody: &seen}); err != nil {
				return err
			}
		}
		return nil
	})
}

func count(image map[string]events.DynamoDBAttributeValue) string {
	if image == nil {
		return "none"
	}
	return image["count"].Number()
}
