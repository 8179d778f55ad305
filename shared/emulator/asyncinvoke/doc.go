// Package asyncinvoke invokes a function asynchronously, as Lambda does for schedules
// and for callers who ask for the invocation type "Event". [Invoker.Invoke] only accepts
// the event; the function runs in the background, behind the port [emulator.Invoker].
//
// # Attempts
//
// After a function error, which includes its timeout, the event is tried again after one
// minute and then after two, three times in all; all attempts have one request id. If the
// function could not be run at all, for want of concurrency, the event is tried again
// after 1 s, 2 s and so on up to every 5 minutes. Both end with the event's age, at most
// 6 hours. A function with a reserved concurrency of 0 is not tried at all ("How Lambda
// handles errors and retries with asynchronous invocation" in the Lambda developer
// guide).
//
// At the end a record of the invocation goes to the function's on-success or on-failure
// destination, if it has one (record.go). It is sent once.
//
// # What differs from Lambda
//
// Events are kept in memory: those that wait for another attempt when the runner stops
// are lost, and [Invoker.Close] counts them. Lambda persists its queue and may deliver an
// event twice; here none is delivered again once its function has succeeded.
package asyncinvoke
