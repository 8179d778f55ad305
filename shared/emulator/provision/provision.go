// Package provision makes a template's queues and tables where AWS's protocols are
// spoken, as a deployment would: on LocalStack, or on anything like it.
//
// [Make] can be run each time before the functions start. What is there already stays
// as it is, with all that it holds.
package provision

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"paylane/shared/emulator/template"
)

// Clients are the services to make things in.
type Clients struct {
	SQS      *sqs.Client
	DynamoDB *dynamodb.Client
}

// patience is how long one queue or table may take: a service that is only starting
// answers late, and one that never answers must not hold up everything.
const patience = time.Minute

// Make makes the queues and tables of a template that are not there yet. The logger
// gets a warning for each setting in which a queue that is there differs from the
// template. The error names the queue or table that could not be made; those before it
// stay.
func Make(ctx context.Context, c Clients, t *template.Template, logger *slog.Logger) error {
	queues := queueMaker{client: c.SQS, template: t, logger: logger, made: map[string]bool{}}
	for _, q := range t.Queues {
		if err := queues.make(ctx, q); err != nil {
			return err
		}
	}
	for _, table := range t.Tables {
		ctx, cancel := context.WithTimeout(ctx, patience)
		err := makeTable(ctx, c.DynamoDB, table)
		cancel()
		if err != nil {
			return fmt.Errorf("make the table %s: %w", table.LogicalID, err)
		}
	}
	return nil
}
