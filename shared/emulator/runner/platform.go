package runner

import (
	"context"

	"paylane/shared/emulator"
	"paylane/shared/emulator/template"
	"paylane/shared/feed"
	"paylane/shared/queue"
)

// Platform is where a template's functions run and where its queues and tables are.
type Platform interface {
	// Invoker returns what runs a function. It is called once for each function that
	// [IsInvoked]. The error says why the function can't be run.
	Invoker(f template.Function) (emulator.Invoker, error)
	// Queue returns one of the template's queues, and how many receivers should poll it
	// side by side.
	Queue(q template.Queue) (source queue.Queue, receivers int)
	// Stream returns the stream of one of the template's tables that have one. The error says
	// why it can't be polled.
	Stream(t template.Table) (feed.Stream, error)
	// Watch keeps the functions up to date until ctx ends.
	Watch(ctx context.Context)
	// Close waits for the invocations under way until ctx ends, and releases everything.
	Close(ctx context.Context) error
}
