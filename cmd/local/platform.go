package main

import (
	"context"

	"paylane/shared/emulator"
	"paylane/shared/emulator/asyncinvoke"
	"paylane/shared/emulator/template"
	"paylane/shared/queue"
)

// platform is where a template's functions run and where its queues are.
type platform interface {
	// invoker gives what runs a function. Its error says why it can't be run.
	invoker(f template.Function) (emulator.Invoker, error)
	// source gives a queue, and how many should receive from it side by side.
	source(q template.Queue) (s queue.Queue, receivers int)
	// sender gives what sends to a queue, for the records of asynchronous invokes.
	sender(q template.Queue) asyncinvoke.Send
	// watch keeps the functions up to date until the context ends.
	watch(ctx context.Context)
	// close waits for invocations under way, and releases everything.
	close(ctx context.Context) error
}
