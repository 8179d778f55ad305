// Package runtimeapi runs a Lambda function's built binary as Lambda does: in
// processes of their own that ask for their work at the Lambda Runtime API
// ("Using the Lambda runtime API", version 2018-06-01). [Function] is an
// [emulator.Invoker]; start reading at [New] and [Function.Invoke].
//
//	f, err := runtimeapi.New(runtimeapi.Config{
//		Name: "orders", ARN: arn, Binary: "build/1/bootstrap", Log: os.Stdout,
//	})
//	...
//	result, err := f.Invoke(ctx, emulator.Invocation{Event: event})
//	...
//	err = f.Replace("build/2/bootstrap") // from now on
//	...
//	err = f.Close(ctx)
//
// # Environments
//
// A process with all that belongs to it is an execution environment, as on Lambda
// (environment.go). It has one invocation at a time. [Function] starts one whenever an
// invocation finds none idle (function.go), and ends one that was idle for long, that
// timed out, or that runs a build which [Function.Replace] replaced. An idle process is
// frozen: a goroutine that a handler left behind does not run on. An invocation's way
// through an environment is in invocation.go.
//
// Each environment serves the Runtime API at an address of its own (api.go), a free
// port of 127.0.0.1: the API has no name for the caller of "next", and the variable
// AWS_LAMBDA_RUNTIME_API takes a host and a port but no path, so that only the address
// can tell one environment from another.
//
// # What becomes of the processes
//
// A process ends as on Lambda: by SIGKILL, or, if it registered an extension (which is
// what lambda.WithEnableSIGTERM does), by SIGTERM and 500 ms later SIGKILL. SIGKILL goes
// to its process group, so that programs which it started end with it.
//
// No process survives the runner. [Function.Close] ends them all, in good order.
// Should the runner be killed itself, then on Linux the kernel kills them. Elsewhere
// each ends at its next call to the Runtime API, which fails; a function that waits
// for work has such a call open, and the kernel wakes it, as POSIX has it for
// stopped processes whose parent is gone. Programs that a function started are only
// sure to end with it while the runner lives. On Windows less holds: see
// process_windows.go.
//
// # What a function can tell
//
// Its environment variables are Lambda's and the template's, and none of the host's
// (variables.go). But it runs on the host: with its files, all of its memory and
// processors, and a /tmp that it shares. Its LAMBDA_TASK_ROOT is the folder that the
// binary lies in, not /var/task.
package runtimeapi
