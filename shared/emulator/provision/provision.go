// Package provision creates a template's queues and tables on a service that speaks AWS's
// protocols, such as LocalStack, as a deployment would.
//
// [Make] can run each time before the functions start. Queues and tables that already
// exist stay as they are, with their contents.
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

// Clients are the clients of the services.
type Clients struct {
	SQS      *sqs.Client
	DynamoDB *dynamodb.Client
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
		ctx, cancel := context.WithTimeout(ctx, patience)
		err := makeTable(ctx, c.DynamoDB, table)
		cancel()
		if err != nil {
			return fmt.Errorf("create the table %s: %w", table.LogicalID, err)
		}
	}
	return nil
}
