//go:build integration

package provision_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	ddbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
)

// place returns an account that no other test uses.
type place struct {
	provision.Clients
	options template.Options
}

func newPlace(t *testing.T) place {
	t.Helper()
	c, account := awstest.Config(t)
	return place{provision.NewClients(c), template.Options{SQSEndpoint: *c.BaseEndpoint, AccountID: account}}
}

// make creates a template's queues and tables, and returns the log.
func (p place) make(t *testing.T, tmpl *template.Template) string {
	t.Helper()
	var log bytes.Buffer
	if err := provision.Make(t.Context(), p.Clients, tmpl, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
		t.Fatal(err)
	}
	return log.String()
}

// streams makes the tables that have a stream.
func (p place) streams(t *testing.T, tmpl *template.Template) map[string]string {
	t.Helper()
	streams, err := provision.MakeStreams(t.Context(), p.Clients, tmpl)
	if err != nil {
		t.Fatal(err)
	}
	return streams
}

// attributes returns those of a queue that do not change by themselves.
func (p place) attributes(t *testing.T, tmpl *template.Template, id string) map[string]string {
	t.Helper()
	q, _ := tmpl.Queue(id)
	got, err := p.SQS.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &q.URL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		t.Fatal(err)
	}
	return got.Attributes
}

func (p place) table(t *testing.T, tmpl *template.Template) *ddbtypes.TableDescription {
	t.Helper()
	got, err := p.DynamoDB.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &tmpl.Tables[0].Name})
	if err != nil {
		t.Fatal(err)
	}
	return got.Table
}

func (p place) timeToLive(t *testing.T, tmpl *template.Template) []string {
	t.Helper()
	got, err := p.DynamoDB.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &tmpl.Tables[0].Name})
	if err != nil {
		t.Fatal(err)
	}
	d := got.TimeToLiveDescription
	return []string{string(d.TimeToLiveStatus), aws.ToString(d.AttributeName)}
}

// indexes returns a table's global indexes as "name hash range projection", sorted.
func indexes(table *ddbtypes.TableDescription) []string {
	var made []string
	for _, i := range table.GlobalSecondaryIndexes {
		made = append(made, strings.Join([]string{*i.IndexName, keys(i.KeySchema), string(i.Projection.ProjectionType)}, " "))
	}
	slices.Sort(made)
	return made
}

func keys(schema []ddbtypes.KeySchemaElement) string {
	var made []string
	for _, k := range schema {
		made = append(made, fmt.Sprintf("%s:%s", *k.AttributeName, k.KeyType))
	}
	return strings.Join(made, " ")
}

func diff(t *testing.T, what string, want, got any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// pick returns some of a queue's attributes.
func pick(all map[string]string) map[string]string {
	made := map[string]string{}
	for _, name := range []string{
		"VisibilityTimeout", "MessageRetentionPeriod", "DelaySeconds", "ReceiveMessageWaitTimeSeconds", "MaximumMessageSize", "QueueArn",
	} {
		made[name] = all[name]
	}
	return made
}

func TestPaylane(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	source, err := os.ReadFile("../../../template.yaml")
	if err != nil {
		t.Fatal(err)
	}
	tmpl := read(t, string(source), p.options)
	diff(t, "log", "", p.make(t, tmpl))
	queue, _ := tmpl.Queue("PaymentQueue")
	dead, _ := tmpl.Queue("PaymentDLQ")
	diff(t, "the payment queue", map[string]string{
		"VisibilityTimeout": "60", "MessageRetentionPeriod": "1123200", "DelaySeconds": "0",
		"ReceiveMessageWaitTimeSeconds": "0", "MaximumMessageSize": "1048576", "QueueArn": queue.ARN,
	}, pick(p.attributes(t, tmpl, "PaymentQueue")))
	policy := p.attributes(t, tmpl, "PaymentQueue")["RedrivePolicy"]
	if !strings.Contains(policy, dead.ARN) || !strings.Contains(policy, "1000") {
		t.Errorf("the redrive policy is %s", policy)
	}
	diff(t, "the dead-letter queue", map[string]string{
		"VisibilityTimeout": "180", "MessageRetentionPeriod": "1209600", "DelaySeconds": "0",
		"ReceiveMessageWaitTimeSeconds": "0", "MaximumMessageSize": "1048576", "QueueArn": dead.ARN,
	}, pick(p.attributes(t, tmpl, "PaymentDLQ")))
	table := p.table(t, tmpl)
	diff(t, "the table's keys", "pk:HASH", keys(table.KeySchema))
	diff(t, "its indexes", []string{
		"byCustomer gc:HASH gs:RANGE KEYS_ONLY", "byOutcome o:HASH gs:RANGE KEYS_ONLY", "byTenant g:HASH gs:RANGE KEYS_ONLY",
	}, indexes(table))
	diff(t, "its billing mode", ddbtypes.BillingModePayPerRequest, table.BillingModeSummary.BillingMode)
	diff(t, "its status", ddbtypes.TableStatusActive, table.TableStatus)
	diff(t, "its time to live", []string{"ENABLED", "x"}, p.timeToLive(t, tmpl))
}

// small has what paylane's own template lacks. Each test completes the settings of Jobs.
const small = `
Parameters:
  Reads: {Type: Number, Default: 3}
Resources:
  Jobs:
    Type: AWS::SQS::Queue
    Properties:
      QueueName: jobs
      DelaySeconds: 4
      ReceiveMessageWaitTimeSeconds: 6
      MaximumMessageSize: 2048
      MessageRetentionPeriod: 61
      %s
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead}}
  Items:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: items
      AttributeDefinitions: [{AttributeName: a, AttributeType: S}, {AttributeName: b, AttributeType: N}, {AttributeName: c, AttributeType: N}]
      KeySchema: [{AttributeName: a, KeyType: HASH}, {AttributeName: b, KeyType: RANGE}]
      ProvisionedThroughput: {ReadCapacityUnits: !Ref Reads, WriteCapacityUnits: "2"}
      LocalSecondaryIndexes:
        - IndexName: byC
          KeySchema: [{AttributeName: a, KeyType: HASH}, {AttributeName: c, KeyType: RANGE}]
          Projection: {ProjectionType: INCLUDE, NonKeyAttributes: [d]}
      StreamSpecification: {StreamViewType: NEW_IMAGE}
`

const smallRedrive = `RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 7}`

func TestSmall(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	tmpl := read(t, fmt.Sprintf(small, smallRedrive), p.options)
	diff(t, "log", "", p.make(t, tmpl))
	diff(t, "the queue", map[string]string{
		"VisibilityTimeout": "30", "MessageRetentionPeriod": "61", "DelaySeconds": "4", "ReceiveMessageWaitTimeSeconds": "6",
		"MaximumMessageSize": "2048", "QueueArn": "arn:aws:sqs:us-east-1:" + p.options.AccountID + ":jobs",
	}, pick(p.attributes(t, tmpl, "Jobs")))
	table := p.table(t, tmpl)
	diff(t, "the table's keys", "a:HASH b:RANGE", keys(table.KeySchema))
	diff(t, "its throughput", []int64{3, 2},
		[]int64{*table.ProvisionedThroughput.ReadCapacityUnits, *table.ProvisionedThroughput.WriteCapacityUnits})
	diff(t, "its indexes", 1, len(table.LocalSecondaryIndexes))
	diff(t, "its stream", ddbtypes.StreamViewTypeNewImage, table.StreamSpecification.StreamViewType)
	diff(t, "the stream's ARN", map[string]string{"Items": *table.LatestStreamArn}, p.streams(t, tmpl))
	diff(t, "its time to live", []string{"DISABLED", ""}, p.timeToLive(t, tmpl))
}

// TestStreamBeforeItsTable: the table is made for its stream's ARN, and stays as it is when the
// rest is made.
func TestStreamBeforeItsTable(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	tmpl := read(t, fmt.Sprintf(small, smallRedrive), p.options)
	streams := p.streams(t, tmpl)
	diff(t, "log", "", p.make(t, tmpl))
	diff(t, "the stream's ARN", map[string]string{"Items": *p.table(t, tmpl).LatestStreamArn}, streams)
}

// TestAddedStream: what the error about a table without a stream says to do helps.
func TestAddedStream(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	const stream = "      StreamSpecification: {StreamViewType: NEW_IMAGE}\n"
	source := fmt.Sprintf(small, smallRedrive)
	p.make(t, read(t, strings.Replace(source, stream, "", 1), p.options))
	tmpl := read(t, source, p.options)
	if _, err := provision.MakeStreams(t.Context(), p.Clients, tmpl); err == nil || !strings.Contains(err.Error(), "it exists without a stream: ") {
		t.Errorf("a table without a stream: %v", err)
	}
	update := func(s ddbtypes.StreamSpecification) {
		t.Helper()
		if _, err := p.DynamoDB.UpdateTable(t.Context(), &dynamodb.UpdateTableInput{TableName: &tmpl.Tables[0].Name, StreamSpecification: &s}); err != nil {
			t.Fatal(err)
		}
	}
	update(ddbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: ddbtypes.StreamViewTypeKeysOnly})
	if _, err := provision.MakeStreams(t.Context(), p.Clients, tmpl); err == nil || !strings.Contains(err.Error(), "it exists with a stream of KEYS_ONLY") {
		t.Errorf("a table with another stream: %v", err)
	}
	update(ddbtypes.StreamSpecification{StreamEnabled: aws.Bool(false)})
	update(ddbtypes.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: ddbtypes.StreamViewTypeNewImage})
	diff(t, "the stream's ARN", map[string]string{"Items": *p.table(t, tmpl).LatestStreamArn}, p.streams(t, tmpl))
}

func TestASecondTimeChangesNothing(t *testing.T) {
	t.Parallel()
	p := newPlace(t)
	tmpl := read(t, fmt.Sprintf(small, smallRedrive), p.options)
	p.make(t, tmpl)
	jobs, _ := tmpl.Queue("Jobs")
	if _, err := p.SQS.SendMessage(t.Context(), &sqs.SendMessageInput{QueueUrl: &jobs.URL, MessageBody: aws.String("kept")}); err != nil {
		t.Fatal(err)
	}
	if _, err := p.DynamoDB.PutItem(t.Context(), &dynamodb.PutItemInput{
		TableName: aws.String("items"),
		Item: map[string]ddbtypes.AttributeValue{
			"a": &ddbtypes.AttributeValueMemberS{Value: "kept"}, "b": &ddbtypes.AttributeValueMemberN{Value: "1"},
		},
	}); err != nil {
		t.Fatal(err)
	}
	queue, table := p.attributes(t, tmpl, "Jobs"), p.table(t, tmpl)

	diff(t, "log", "", p.make(t, tmpl))

	diff(t, "the queue, with its message", queue, p.attributes(t, tmpl, "Jobs"))
	diff(t, "messages", "1", queue["ApproximateNumberOfMessagesDelayed"])
	now := p.table(t, tmpl)
	diff(t, "the table's id and stream", []*string{table.TableId, table.LatestStreamArn}, []*string{now.TableId, now.LatestStreamArn})
	items, err := p.DynamoDB.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String("items")})
	if err != nil {
		t.Fatal(err)
	}
	diff(t, "items", int32(1), items.Count)
}

func TestAQueueThatDiffersStays(t *testing.T) {
	t.Parallel()
	const change = "VisibilityTimeout: 99"
	rows := []struct{ name, before, after, attribute string }{
		{"visibility timeout", smallRedrive, change + "\n      " + smallRedrive, "VisibilityTimeout"},
		{"receive count", smallRedrive, strings.Replace(smallRedrive, "7", "8", 1), "RedrivePolicy"},
		{"redrive policy that is missing", "", smallRedrive, "RedrivePolicy"},
		{"redrive policy too many", smallRedrive, "", "RedrivePolicy"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			p := newPlace(t)
			p.make(t, read(t, fmt.Sprintf(small, row.before), p.options))
			tmpl := read(t, fmt.Sprintf(small, row.after), p.options)
			before := p.attributes(t, tmpl, "Jobs")
			log := p.make(t, tmpl)
			if strings.Count(log, "\n") != 1 || !strings.Contains(log, "queue=Jobs attribute="+row.attribute+" ") {
				t.Errorf("want one warning about %s of Jobs, got:\n%s", row.attribute, log)
			}
			diff(t, "the queue", before, p.attributes(t, tmpl, "Jobs"))
		})
	}
}
