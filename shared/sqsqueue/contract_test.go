//go:build integration

package sqsqueue_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"paylane/shared/awscall/awstest"
	"paylane/shared/contract"
	"paylane/shared/queue"
	"paylane/shared/sqsqueue"
)

// TestMain runs all cases in parallel, since they mostly wait. The command line still
// overrides it.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "40"); err != nil {
		panic(err)
	}
	os.Exit(m.Run())
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
	return sqsqueue.New(client, *created.QueueUrl, rand.IntN), got.Attributes["QueueArn"]
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
		"MaximumMessageSize":     strconv.Itoa(cmp.Or(c.MaxMessageBytes, queue.MaxBodyBytes)),
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
	contract.RuleNewestHandle:  "LocalStack accepts any handle that it ever issued for the message",
	contract.RuleExpiredHandle: "LocalStack does nothing, unless it has yet to notice that the timeout ended",
	contract.RuleRetention:     "LocalStack keeps messages, unless started with SQS_ENABLE_MESSAGE_RETENTION_PERIOD",
	contract.RuleEntryErrors:   "LocalStack names the code InvalidParameterValueException",
}

func TestContract(t *testing.T) {
	c, _ := awstest.Config(t)
	client := sqs.NewFromConfig(c)
	contract.RunQueue(t, func(t *testing.T, c contract.QueueConfig) contract.OpenQueue {
		return openQueue(t, client, c)
	}, contract.QueueOptions{Late: 2 * time.Second, Differs: localStack})
}
