package provision

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"paylane/shared/emulator/template"
)

// compared are the attributes of a queue that a template sets.
//
//nolint:gochecknoglobals // a table, never written
var compared = []types.QueueAttributeName{
	types.QueueAttributeNameDelaySeconds,
	types.QueueAttributeNameMaximumMessageSize,
	types.QueueAttributeNameMessageRetentionPeriod,
	types.QueueAttributeNameReceiveMessageWaitTimeSeconds,
	types.QueueAttributeNameRedrivePolicy,
	types.QueueAttributeNameVisibilityTimeout,
}

type queueMaker struct {
	client   *sqs.Client
	template *template.Template
	logger   *slog.Logger
	made     map[string]bool // by logical id
}

// make creates a queue, after its dead-letter queue.
func (m *queueMaker) make(ctx context.Context, q template.Queue) error {
	if m.made[q.LogicalID] {
		return nil
	}
	m.made[q.LogicalID] = true
	dead, ok := m.template.Queue(q.DeadLetterQueue)
	if ok {
		if err := m.make(ctx, dead); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := m.ensure(ctx, q, attributes(q, dead)); err != nil {
		return fmt.Errorf("create the queue %s: %w", q.LogicalID, err)
	}
	return nil
}

// attributes returns a queue's attributes under SQS's names. Empty ones are not set.
func attributes(q, dead template.Queue) map[string]string {
	seconds := func(d time.Duration) string { return strconv.Itoa(int(d / time.Second)) }
	set := map[string]string{
		"VisibilityTimeout":             seconds(q.VisibilityTimeout),
		"MessageRetentionPeriod":        seconds(q.Retention),
		"DelaySeconds":                  seconds(q.Delay),
		"ReceiveMessageWaitTimeSeconds": seconds(q.ReceiveWait),
		"MaximumMessageSize":            strconv.Itoa(q.MaxMessageBytes),
	}
	if dead.ARN != "" {
		set["RedrivePolicy"] = fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"%d"}`, dead.ARN, q.MaxReceiveCount)
	}
	return set
}

// ensure creates a queue if it does not exist, and otherwise logs how it differs.
func (m *queueMaker) ensure(ctx context.Context, q template.Queue, want map[string]string) error {
	found, err := m.client.GetQueueAttributes(ctx, &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if missing := new(types.QueueDoesNotExist); errors.As(err, &missing) {
		return m.create(ctx, q, want)
	}
	if err != nil {
		return err
	}
	for _, name := range compared {
		if is, want := found.Attributes[string(name)], want[string(name)]; !same(is, want) {
			m.logger.WarnContext(ctx, "an existing queue differs from the template",
				"queue", q.LogicalID, "attribute", string(name), "is", is, "template", want)
		}
	}
	return nil
}

func (m *queueMaker) create(ctx context.Context, q template.Queue, want map[string]string) error {
	made, err := m.client.CreateQueue(ctx, &sqs.CreateQueueInput{QueueName: &q.Name, Attributes: want})
	if err != nil {
		return err
	}
	// The host may have many names; the path ends with the account and the queue's name.
	if at := aws.ToString(made.QueueUrl); !strings.HasSuffix(pathOf(at), pathOf(q.URL)) {
		return fmt.Errorf("it was created at %s, but the template's functions use %s: do the accounts differ?", at, q.URL)
	}
	return nil
}

func pathOf(address string) string {
	parsed, err := url.Parse(address)
	if err != nil {
		return address
	}
	return parsed.Path
}

// same compares two values of an attribute. Redrive policies are JSON, in which services
// write the count as a number or as a string.
func same(a, b string) bool {
	if a == b {
		return true
	}
	parts := func(policy string) []string {
		var p struct{ DeadLetterTargetArn, MaxReceiveCount any }
		if err := json.Unmarshal([]byte(policy), &p); err != nil {
			return nil
		}
		return []string{fmt.Sprint(p.DeadLetterTargetArn), fmt.Sprint(p.MaxReceiveCount)}
	}
	partsA, partsB := parts(a), parts(b)
	return partsA != nil && slices.Equal(partsA, partsB)
}
