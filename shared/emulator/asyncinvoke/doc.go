// Package asyncinvoke invokes a function asynchronously, as Lambda does for schedules
// and for callers who ask for the invocation type "Event". [Invoker.Invoke] only takes
// the event; the function runs on its own account, behind the port [emulator.Invoker].
//
// # An event's way
//
// A function error, its timeout included, is tried again after one minute and then after
// two, so three times in all; all tries have one request id. Where the function could not
// be run at all, for want of concurrency, it is tried again after 1 s, 2 s and so on up
// to every 5 minutes. Both end with the event's age, at most 6 hours. A function
// with a reserved concurrency of 0 is not tried at all ("How Lambda handles errors and
// retries with asynchronous invocation" in the Lambda developer guide).
//
// In the end a record of the invocation goes to the function's on-success or on-failure
// destination, if it has one (record.go). It is sent once.
//
// # What differs from Lambda
//
// Events are in memory: those that wait for another try when the runner stops are lost.
// [Invoker.Close] counts them. Lambda keeps its queue, and may deliver an event twice;
// here none is delivered again once its function succeeded.
package asyncinvoke
