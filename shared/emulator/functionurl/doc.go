// Package functionurl serves a function's URL as Lambda does ("Lambda function URLs"): it
// turns the request into an event of payload format 2.0, invokes the function, and passes
// on what that returns, at its end or while it comes. [New] makes the [http.Handler] of
// one URL.
//
// A request passes these stages, and may end at each:
//
//	CORS preflight  204
//	body            400, 408, 413
//	the function    429, 502
//	response        what the function says, or 502
//
// With the invoke mode RESPONSE_STREAM each chunk that the function writes leaves at
// once (stream.go). An error after the first of them can't be told any more: the body
// ends, as it has been seen to on AWS.
//
// A client that leaves does not end the function: only the function's own timeout does. A
// handler that streams in this process sees its context end, though ([emulator.InProcess]).
//
// Where AWS's behaviour is not known for certain, what was chosen stands in choices.go.
//
// Not emulated: the limit of ten times the reserved concurrency in requests a second, and
// those of a stream's size and speed (200 MB; 2 MB/s after the first 6 MB). A path with an
// escape that is none is refused by net/http; Lambda passes it on.
package functionurl
