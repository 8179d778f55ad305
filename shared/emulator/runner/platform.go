package runner

import (
	"context"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
)

// Platform is where a template's functions run and where its queues are.
type Platform interface {
	// Invoker returns what runs a function. It is called once for each function that
	// [IsInvoked]. The error says why the function can't be run.
	Invoker(f template.Function) (emulator.Invoker, error)
	// Queue returns one of the template's queues, and how many receivers should poll it
	// side by side.
	Queue(q template.Queue) (queue Queue, receivers int)
	// Watch keeps the functions up to date until ctx ends.
	Watch(ctx context.Context)
	// Close waits for the invocations under way until ctx ends, and releases everything.
	Close(ctx context.Context) error
}

// Queue is a queue that mappings poll and that receives the records of asynchronous
// invocations.
type Queue interface {
	eventsource.Source
	// Send adds a message and returns its id.
	Send(ctx context.Context, body string, delay time.Duration) (messageID string, err error)
}
