//go:build integration

package sqsqueue_test

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"paylane/shared/contract"
	"paylane/shared/order"
	"paylane/shared/sqsqueue"
)

// TestMain has all cases run side by side: they mostly wait. The command line still
// overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "40"); err != nil {
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
		t.Fatal("this test needs SQS: " + advice)
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

func createQueue(t *testing.T, client *sqs.Client, name string, attributes map[string]string) (queue *sqsqueue.Queue, arn string) {
	t.Helper()
	created, err := client.CreateQueue(t.Context(), &sqs.CreateQueueInput{QueueName: &name, Attributes: attributes})
	if err != nil {
		t.Fatalf("create a queue: %v", err)
	}
	got, err := client.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: created.QueueUrl, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		t.Fatalf("get a queue's ARN: %v", err)
	}
	return sqsqueue.New(client, *created.QueueUrl), got.Attributes["QueueArn"]
}

func openQueue(t *testing.T, client *sqs.Client, c contract.QueueConfig) contract.OpenQueue {
	t.Helper()
	name := strings.NewReplacer("/", "-", "_", "-", ",", "", "'", "").Replace(t.Name())
	seconds := func(d, otherwise time.Duration) string {
		return strconv.Itoa(int(cmp.Or(d, otherwise) / time.Second))
	}
	attributes := map[string]string{
		"VisibilityTimeout":      seconds(c.VisibilityTimeout, 30*time.Second),
		"DelaySeconds":           seconds(c.Delay, 0),
		"MessageRetentionPeriod": seconds(c.Retention, 4*24*time.Hour),
		"MaximumMessageSize":     strconv.Itoa(cmp.Or(c.MaxMessageBytes, order.MaxBodyBytes)),
	}
	var open contract.OpenQueue
	if c.MaxReceiveCount > 0 {
		dead, arn := createQueue(t, client, name+"-dead", nil)
		open.DeadLetter = dead
		attributes["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":%d}`, arn, c.MaxReceiveCount)
	}
	open.Queue, open.ARN = createQueue(t, client, name, attributes)
	return open
}

// localStack is where LocalStack 4.14 differs from SQS.
var localStack = map[contract.QueueRule]string{
	contract.RuleRange:         "LocalStack takes any number",
	contract.RuleNewestHandle:  "LocalStack finds the message by any handle it ever gave out for it",
	contract.RuleExpiredHandle: "LocalStack does nothing, unless it has yet to notice that the timeout ended",
	contract.RuleRetention:     "LocalStack keeps messages, unless started with SQS_ENABLE_MESSAGE_RETENTION_PERIOD",
	contract.RuleEntryErrors:   "LocalStack names the code InvalidParameterValueException",
}

func TestContract(t *testing.T) {
	client := sqs.NewFromConfig(config(t))
	contract.RunQueue(t, func(t *testing.T, c contract.QueueConfig) contract.OpenQueue {
		return openQueue(t, client, c)
	}, contract.QueueOptions{Late: 2 * time.Second, Differs: localStack})
}
