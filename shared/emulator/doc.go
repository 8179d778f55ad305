// Package emulator runs Lambda functions as AWS does: handlers and their callers observe
// the same behaviour. The rules, with their sources and their tests, are in
// docs/emulation.md.
//
// This package itself is only the port between the two halves, [Invoker] with
// [Streamer], and its first implementation, [InProcess]. On one side are the things that
// invoke: an HTTP API (package apigateway), function URLs (functionurl), event source
// mappings from queues (eventsource), and schedules (schedule), which invoke
// asynchronously (asyncinvoke). On the other is what runs a function: a Go handler in this
// process, or its built binary behind a Lambda Runtime API (package runtimeapi).
// Package template reads what to run from a SAM template. Queues are behind the
// port of package queue: an embedded one, or SQS's protocol. Where there is an endpoint
// with that protocol, provision makes the template's queues and tables there, and gobuild
// builds its functions. Package runner puts them together.
//
// # What a handler can't observe
//
// An event reaches a handler either as aws-lambda-go's own type or, through
// [lambda.NewHandler], as JSON. Both are the same to it, and the tests of every
// package run both. Its context has the function's timeout as deadline, and a
// lambdacontext with request id and ARN. What it returns, an error, a panic, or
// silence past its timeout, becomes the same payload that Lambda would answer with.
//
// # What it can observe
//
// In one process, and only there: invocations run concurrently where Lambda would run
// each in its own process, so a handler must be safe for concurrent use; a handler that
// ignores its timeout is abandoned, with its context canceled, but can't be killed; one
// that waits can tell that its caller has left ([Caller]), and need not wait until its
// timeout, while all else that was asked is done to its end as on Lambda; one
// that streams sees its context end when its client leaves, and when the runner ends; a
// panic in a goroutine that it started (lambdaurl.Wrap starts one), or os.Exit, ends the
// whole runner; and all share one environment, with what aws-lambda-go reads from it: the
// trace id in _X_AMZN_TRACE_ID, lambdacontext's function name and memory.
package emulator
