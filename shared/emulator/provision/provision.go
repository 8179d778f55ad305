// Package provision creates a template's resources on a service that speaks AWS's
// protocols, such as LocalStack, and reads there what a template refers to, as a
// deployment would.
//
// [Make] and [MakeExternals] can run each time before the functions start. What already
// exists stays as it is, with its contents.
package provision

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"
	"github.com/aws/aws-sdk-go-v2/service/sns"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/ssm"

	"paylane/shared/emulator/template"
)

// Clients are the clients of the services.
type Clients struct {
	SQS             *sqs.Client
	DynamoDB        *dynamodb.Client
	DynamoDBStreams *dynamodbstreams.Client
	SNS             *sns.Client
	S3              *s3.Client
	SecretsManager  *secretsmanager.Client
	SSM             *ssm.Client
	KMS             *kms.Client
}

// NewClients returns the clients of the services at one endpoint.
func NewClients(c aws.Config) Clients {
	return Clients{
		SQS: sqs.NewFromConfig(c), DynamoDB: dynamodb.NewFromConfig(c), DynamoDBStreams: dynamodbstreams.NewFromConfig(c), SNS: sns.NewFromConfig(c),
		SecretsManager: secretsmanager.NewFromConfig(c), SSM: ssm.NewFromConfig(c), KMS: kms.NewFromConfig(c),
		// A bucket's own host is below the endpoint's, which need not resolve.
		S3: s3.NewFromConfig(c, func(o *s3.Options) { o.UsePathStyle = true }),
	}
}

// patience is how long one queue or table may take: a service that is starting answers
// late, and one that never answers must not hold up everything.
const patience = time.Minute

// Make creates the queues and tables of a template that don't exist. It logs a warning for
// each setting in which an existing queue differs from the template. The error names the
// queue or table that could not be created; those before it stay.
func Make(ctx context.Context, c Clients, t *template.Template, logger *slog.Logger) error {
	queues := queueMaker{client: c.SQS, template: t, logger: logger, made: map[string]bool{}}
	for _, q := range t.Queues {
		if err := queues.make(ctx, q); err != nil {
			return err
		}
	}
	for _, table := range t.Tables {
		if _, err := ensureTable(ctx, c.DynamoDB, table); err != nil {
			return err
		}
	}
	return nil
}

// MakeStreams creates those tables of a template that have a stream, unless they exist, and
// returns the streams' ARNs by the tables' logical ids: an ARN has the time at which its stream
// was made. An existing table without the stream is an error that says how to give it one.
func MakeStreams(ctx context.Context, c Clients, t *template.Template) (map[string]string, error) {
	streams := make(map[string]string)
	for _, table := range t.Tables {
		if table.StreamARN == "" {
			continue
		}
		arn, err := ensureTable(ctx, c.DynamoDB, table)
		if err != nil {
			return nil, err
		}
		streams[table.LogicalID] = arn
	}
	return streams, nil
}
