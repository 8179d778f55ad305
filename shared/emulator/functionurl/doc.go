// Package functionurl serves a function's URL as Lambda does ("Lambda function URLs"): it
// turns the request into an event of payload format 2.0, invokes the function, and passes
// on what that returns, buffered or as a stream. [New] returns the [http.Handler] of one
// URL.
//
// A request passes these stages, and may end at each:
//
//	CORS preflight  204
//	body            400, 408, 413
//	the function    429, 502
//	response        what the function returned, or 502
//
// With the invoke mode RESPONSE_STREAM each chunk that the function writes is sent at
// once (stream.go). An error after the first chunk can't be reported: the body ends, as has
// been seen on AWS.
//
// A client that leaves does not end the function: only the function's own timeout does. A
// handler that streams in this process does see its context end ([emulator.InProcess]).
//
// Where AWS's behaviour is not known for certain, choices.go records what was chosen.
//
// Not emulated: the limit of ten times the reserved concurrency in requests a second, and
// those of a stream's size and speed (200 MB; 2 MB/s after the first 6 MB). net/http refuses
// a path with an invalid escape; Lambda passes it on.
package functionurl
