// Package runtimeapi runs a Lambda function's built binary as Lambda does: in separate
// processes that fetch their work from the Lambda Runtime API ("Using the Lambda runtime
// API", version 2018-06-01). [Function] is an [emulator.Invoker]; start reading at [New]
// and [Function.Invoke].
//
//	f, err := runtimeapi.New(runtimeapi.Config{
//		Function: t.Functions[0], Binary: "build/1/bootstrap", Log: os.Stdout,
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
// A process and what belongs to it is an execution environment, as on Lambda
// (environment.go). It handles one invocation at a time (invocation.go). [Function] starts
// an environment whenever an invocation finds none idle (function.go), and ends one that
// has been idle for long, that timed out, or whose build [Function.Replace] replaced. An
// idle process is frozen: a goroutine that a handler left behind does not run on.
//
// Each environment serves the Runtime API at its own address (api.go), a free port of
// 127.0.0.1: a call of "next" does not identify its caller, and the variable
// AWS_LAMBDA_RUNTIME_API accepts a host and a port but no path, so that only the address
// distinguishes one environment from another.
//
// # How processes end
//
// A process ends as on Lambda: by SIGKILL, or, if it registered an extension (which is
// what lambda.WithEnableSIGTERM does), by SIGTERM and 500 ms later SIGKILL. SIGKILL goes
// to its process group, so that programs which it started end with it.
//
// No process survives the runner. [Function.Close] ends them all in an orderly way. If the
// runner itself is killed, on Linux the kernel kills them. On other systems each ends at
// its next call to the Runtime API, which fails; a function that waits for work has such
// a call open, and the kernel wakes it, as POSIX requires for stopped processes whose
// parent is gone. Programs that a function started are only certain to end with it while
// the runner lives. On Windows the guarantees are weaker: see process_windows.go.
//
// # What a function can observe
//
// Its environment variables are Lambda's and the template's, and none of the host's
// (variables.go). But it runs on the host: with its files, all of its memory and
// processors, and a shared /tmp. Its LAMBDA_TASK_ROOT is the binary's folder, not
// /var/task.
package runtimeapi
