package provision_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/emulator/provision"
	"paylane/shared/emulator/template"
)

const account = "000000000001"

const (
	oneQueue = `
Resources:
  Jobs: {Type: AWS::SQS::Queue, Properties: {QueueName: jobs}}
`
	oneTable = `
Resources:
  Items:
    Type: AWS::DynamoDB::Table
    Properties:
      TableName: items
      AttributeDefinitions: [{AttributeName: 1, AttributeType: S}]
      KeySchema: [{AttributeName: 1, KeyType: HASH}]
      ProvisionedThroughput: {ReadCapacityUnits: "5", WriteCapacityUnits: 6}
`
)

const streamedTable = oneTable + "      StreamSpecification: {StreamViewType: NEW_IMAGE}\n"

func read(t *testing.T, source string, o template.Options) *template.Template {
	t.Helper()
	read, err := template.Read("template.yaml", []byte(source), o)
	if err != nil {
		t.Fatal(err)
	}
	return read
}

// at returns an account at an endpoint.
func at(endpoint string) template.Options {
	return template.Options{AccountID: account, SQSEndpoint: endpoint}
}

// through returns clients that reach the endpoint with this HTTP client.
func through(do aws.HTTPClient, endpoint string) provision.Clients {
	c := awstest.ConfigAt(endpoint, account)
	c.HTTPClient = do
	return provision.NewClients(c)
}

// answers are a service's answers by operation; one that begins with "!" is an error.
type answers map[string]string

// service is an endpoint that records the requests it receives.
type service struct {
	answers  answers
	requests []string
}

func (s *service) Do(r *http.Request) (*http.Response, error) {
	time.Sleep(time.Millisecond) // of the virtual clock; the SDK's waiter never ends if no time passes
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	s.requests = append(s.requests, operation+" "+string(body))
	answer, bad := strings.CutPrefix(s.answers[operation], "!")
	response := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(answer))}
	if bad {
		response.StatusCode = http.StatusBadRequest
	}
	return response, nil
}

const (
	noQueue    = `!{"__type":"com.amazonaws.sqs#QueueDoesNotExist","message":"none"}`
	tableInUse = `!{"__type":"com.amazonaws.dynamodb.v20120810#ResourceInUseException","message":"in use"}`
)

func TestRequests(t *testing.T) {
	const describe = `DescribeTable {"TableName":"items"}`
	const create = `CreateTable {"AttributeDefinitions":[{"AttributeName":"1","AttributeType":"S"}],` +
		`"KeySchema":[{"AttributeName":"1","KeyType":"HASH"}],` +
		`"ProvisionedThroughput":{"ReadCapacityUnits":5,"WriteCapacityUnits":6},"TableName":"items"}`
	rows := []struct {
		name    string
		source  string
		answers answers
		want    []string
	}{
		{
			"a dead-letter queue comes before the queue that leads to it", `
Resources:
  Jobs:
    Type: AWS::SQS::Queue
    Properties: {QueueName: jobs, RedrivePolicy: {deadLetterTargetArn: !GetAtt Dead.Arn, maxReceiveCount: 2}}
  Dead: {Type: AWS::SQS::Queue, Properties: {QueueName: dead}}
`,
			answers{"GetQueueAttributes": `{"Attributes":{}}`},
			[]string{
				`GetQueueAttributes {"AttributeNames":["All"],"QueueUrl":"http://sqs.test/000000000001/dead"}`,
				`GetQueueAttributes {"AttributeNames":["All"],"QueueUrl":"http://sqs.test/000000000001/jobs"}`,
			},
		},
		{
			"a table whose numbers are texts, and texts numbers", oneTable,
			answers{"CreateTable": `{}`, "DescribeTable": `{"Table":{"TableStatus":"ACTIVE"}}`},
			[]string{create, describe},
		},
		{
			"a table that is there is waited for, and stays", oneTable + "      TimeToLiveSpecification: {AttributeName: x, Enabled: true}\n",
			answers{"CreateTable": tableInUse, "DescribeTable": `{"Table":{"TableStatus":"ACTIVE"}}`},
			[]string{create, describe},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			s := &service{answers: row.answers}
			synctest.Test(t, func(t *testing.T) {
				tmpl := read(t, row.source, at("http://sqs.test"))
				if err := provision.Make(t.Context(), through(s, "http://sqs.test"), tmpl, slog.New(slog.DiscardHandler)); err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(row.want, s.requests); d != "" {
					t.Error("requests (-want +got):\n" + d)
				}
			})
		})
	}
}

// TestStreams: the tables that have a stream are made, and no others, and its ARN is the one
// that the service gives it.
func TestStreams(t *testing.T) {
	const arn = "arn:aws:dynamodb:us-east-1:000000000001:table/items/stream/2026-07-10T00:00:00.000"
	for name, create := range map[string]string{"made": `{}`, "there": tableInUse} {
		t.Run(name, func(t *testing.T) {
			s := &service{answers: answers{
				"CreateTable": create,
				"DescribeTable": `{"Table":{"TableStatus":"ACTIVE","TableName":"items","LatestStreamArn":"` + arn +
					`","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}}}`,
			}}
			synctest.Test(t, func(t *testing.T) {
				tmpl := read(t, streamedTable+"  Others: {Type: AWS::DynamoDB::Table, Properties: {KeySchema: []}}\n", at("http://sqs.test"))
				streams, err := provision.MakeStreams(t.Context(), through(s, "http://sqs.test"), tmpl)
				if err != nil {
					t.Fatal(err)
				}
				if d := cmp.Diff(map[string]string{"Items": arn}, streams); d != "" {
					t.Error("streams (-want +got):\n" + d)
				}
			})
			made := slices.DeleteFunc(s.requests, func(request string) bool { return !strings.HasPrefix(request, "CreateTable ") })
			if len(made) != 1 || !strings.Contains(made[0], `"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_IMAGE"}`) {
				t.Errorf("created: %v", made)
			}
		})
	}
}

// Services write a redrive policy in different ways; only its meaning counts.
func TestRedrivePolicyInOtherWords(t *testing.T) {
	const redrive = oneQueue + `
  Again:
    Type: AWS::SQS::Queue
    Properties: {QueueName: again, RedrivePolicy: {deadLetterTargetArn: !GetAtt Jobs.Arn, maxReceiveCount: 2}}
`
	const found = `{"Attributes":{"RedrivePolicy":` +
		`"{\"maxReceiveCount\": %s, \"deadLetterTargetArn\": \"arn:aws:sqs:us-east-1:000000000001:jobs\"}"}}`
	rows := []struct {
		name, count string
		warned      bool
	}{
		{"the count as a number", "2", false},
		{"another count", "3", true},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var log bytes.Buffer
			tmpl := read(t, redrive, at("http://sqs.test"))
			s := &service{answers: answers{"GetQueueAttributes": fmt.Sprintf(found, row.count)}}
			if err := provision.Make(t.Context(), through(s, "http://sqs.test"), tmpl, slog.New(slog.NewTextHandler(&log, nil))); err != nil {
				t.Fatal(err)
			}
			if got := strings.Contains(log.String(), "queue=Again attribute=RedrivePolicy"); got != row.warned {
				t.Errorf("warned: %t\n%s", got, log.String())
			}
		})
	}
}

func TestErrors(t *testing.T) {
	gone := httptest.NewServer(nil)
	gone.Close()
	stalled := awstest.NewFake(t, awstest.InTurn(awstest.Stalls))
	// In a bubble of virtual time there is no network, but a port where nobody listens
	// refuses at once.
	rows := []struct {
		name     string
		source   string
		endpoint string
		do       aws.HTTPClient
		want     []string
	}{
		{"nothing listens", oneQueue, gone.URL, http.DefaultClient, []string{"create the queue Jobs: ", "GetQueueAttributes", "connection refused"}},
		{"nothing listens, table", oneTable, gone.URL, http.DefaultClient, []string{"create the table Items: ", "CreateTable", "connection refused"}},
		{"no answer", oneQueue, "http://sqs.test", stalled, []string{"create the queue Jobs: ", context.DeadlineExceeded.Error()}},
		{"no answer, table", oneTable, "http://sqs.test", stalled, []string{"create the table Items: ", context.DeadlineExceeded.Error()}},
		{
			"access denied", oneQueue, "http://sqs.test",
			&service{answers: answers{"GetQueueAttributes": `!{"__type":"AccessDeniedException","message":"not yours"}`}},
			[]string{"create the queue Jobs: ", "AccessDeniedException: not yours"},
		},
		{
			"creation refused", oneQueue, "http://sqs.test",
			&service{answers: answers{"GetQueueAttributes": noQueue, "CreateQueue": `!{"__type":"InvalidAttributeValue","message":"too long"}`}},
			[]string{"create the queue Jobs: ", "CreateQueue", "too long"},
		},
		{
			"another account", oneQueue, "http://sqs.test",
			&service{answers: answers{"GetQueueAttributes": noQueue, "CreateQueue": `{"QueueUrl":"http://sqs.test/000000000002/jobs"}`}},
			[]string{"create the queue Jobs: ", "/000000000002/jobs", "/000000000001/jobs", "account"},
		},
		{
			"a table that never becomes active", oneTable, "http://sqs.test",
			&service{answers: answers{"CreateTable": `{}`, "DescribeTable": `{"Table":{"TableStatus":"CREATING"}}`}},
			[]string{"create the table Items: wait until it is active: "},
		},
		{
			"a table that never had a stream", streamedTable, "http://sqs.test",
			&service{answers: answers{"CreateTable": tableInUse, "DescribeTable": `{"Table":{"TableStatus":"ACTIVE","TableName":"items"}}`}},
			[]string{"create the table Items: it exists without a stream: give it one with `aws dynamodb update-table --table-name items " +
				"--stream-specification StreamEnabled=true,StreamViewType=NEW_IMAGE --region us-east-1 --endpoint-url http://sqs.test`"},
		},
		{
			"a table whose stream has ended", streamedTable, "http://sqs.test",
			&service{answers: answers{"CreateTable": tableInUse, "DescribeTable": `{"Table":{"TableStatus":"ACTIVE","TableName":"items",` +
				`"LatestStreamArn":"arn","StreamSpecification":{"StreamEnabled":false}}}`}},
			[]string{"create the table Items: it exists without a stream: "},
		},
		{
			"a table with another stream", streamedTable, "http://sqs.test",
			&service{answers: answers{"CreateTable": tableInUse, "DescribeTable": `{"Table":{"TableStatus":"ACTIVE","TableName":"items",` +
				`"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"}}}`}},
			[]string{"create the table Items: it exists with a stream of KEYS_ONLY, and the template asks for NEW_IMAGE: end the stream with " +
				"`aws dynamodb update-table --table-name items --stream-specification StreamEnabled=false --region ", "StreamEnabled=true,StreamViewType=NEW_IMAGE --region "},
		},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				tmpl := read(t, row.source, at(row.endpoint))
				err := provision.Make(t.Context(), through(row.do, row.endpoint), tmpl, slog.New(slog.DiscardHandler))
				if err == nil {
					t.Fatal("no error")
				}
				for _, part := range row.want {
					if !strings.Contains(err.Error(), part) {
						t.Errorf("the error has no %q: %v", part, err)
					}
				}
				if took := time.Since(began); took > 70*time.Second {
					t.Errorf("it took %v", took)
				}
			})
		})
	}
}

func TestStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	leave := awstest.NewFake(t, func(int, awstest.Request) awstest.Answer {
		cancel()
		return awstest.Stalls
	})
	tmpl := read(t, oneQueue, at("http://sqs.test"))
	err := provision.Make(ctx, through(leave, "http://sqs.test"), tmpl, slog.New(slog.DiscardHandler))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
