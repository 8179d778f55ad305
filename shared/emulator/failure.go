package emulator

import (
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
)

// TimeoutError returns Lambda's answer when a function exceeds its timeout.
func TimeoutError(requestID string, timeout time.Duration) *FunctionError {
	return failure(messages.InvokeResponse_Error{
		Type:    "Sandbox.Timedout",
		Message: fmt.Sprintf("RequestId: %s Error: Task timed out after %.2f seconds", requestID, timeout.Seconds()),
	})
}

// ExitError returns Lambda's answer when a function's process ends without a result. The
// status is empty if it exited with 0, and otherwise like "exit status 1".
func ExitError(requestID, status string) *FunctionError {
	why := "Runtime exited without providing a reason"
	if status != "" {
		why = "Runtime exited with error: " + status
	}
	return failure(messages.InvokeResponse_Error{
		Type:    "Runtime.ExitError",
		Message: fmt.Sprintf("RequestId: %s Error: %s", requestID, why),
	})
}

// SizeError returns Lambda's answer when a result is larger than [MaxPayloadBytes].
func SizeError() *FunctionError {
	return failure(messages.InvokeResponse_Error{
		Type: "Function.ResponseSizeTooLarge",
		Message: fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).",
			MaxPayloadBytes),
	})
}

// returnedError turns an error that a handler returned into what aws-lambda-go would
// post for it: the bare name of its type, and its text (lambda/errors.go there).
func returnedError(err error) *FunctionError {
	if own, ok := err.(messages.InvokeResponse_Error); ok { //nolint:errorlint // as aws-lambda-go does
		return failure(own)
	}
	return failure(messages.InvokeResponse_Error{Type: typeName(err), Message: err.Error()})
}

// panicError is returnedError for the value of a panic. It must be called by the function
// that recovered.
func panicError(value any) *FunctionError {
	if own, ok := value.(messages.InvokeResponse_Error); ok {
		return failure(own)
	}
	return failure(messages.InvokeResponse_Error{
		Type: typeName(value), Message: fmt.Sprintf("%v", value), StackTrace: stack(),
	})
}

func failure(e messages.InvokeResponse_Error) *FunctionError {
	payload, err := json.Marshal(e)
	if err != nil {
		panic(err) // strings and numbers always encode
	}
	return &FunctionError{Type: e.Type, Message: e.Message, Payload: payload}
}

func typeName(value any) string {
	t := reflect.TypeOf(value)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Name()
}

// stack returns the frames of a panic as aws-lambda-go does (lambda/panic.go there): paths
// from the package on, labels without it.
func stack() []*messages.InvokeResponse_Error_StackFrame {
	const most, hidden = 32, 4 // Callers, this, panicError and the deferred function
	callers := make([]uintptr, most)
	frames := runtime.CallersFrames(callers[:runtime.Callers(hidden, callers)])
	var list []*messages.InvokeResponse_Error_StackFrame
	for {
		frame, more := frames.Next()
		list = append(list, stackFrame(frame))
		if !more {
			return list
		}
	}
}

func stackFrame(frame runtime.Frame) *messages.InvokeResponse_Error_StackFrame {
	label := frame.Function[strings.LastIndex(frame.Function, "/")+1:]
	_, name, _ := strings.Cut(label, ".")
	// The last parts of the path: as many as the package's path has, and the file.
	parts := strings.Split(frame.File, "/")
	keep := min(strings.Count(frame.Function, "/")+2, len(parts))
	return &messages.InvokeResponse_Error_StackFrame{
		Path: strings.Join(parts[len(parts)-keep:], "/"), Line: int32(frame.Line), Label: name,
	}
}
