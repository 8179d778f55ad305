// Command function is the Lambda function that the tests of package runtimeapi run: an
// ordinary one, built on aws-lambda-go. MODE chooses the kind of function, and the event
// what its handler does.
package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-lambda-go/lambdaurl"
)

type request struct {
	Do      string
	Text    string
	Size    int
	Address string
}

var invocations int

func main() {
	switch os.Getenv("MODE") {
	case "sigterm":
		lambda.StartWithOptions(handle, lambda.WithEnableSIGTERM(func() {
			fmt.Println("the SIGTERM callback ran")
		}))
	case "SIGTERM without an extension":
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, syscall.SIGTERM)
		go func() {
			fmt.Println("got", <-signals, "SIGTERM")
		}()
		lambda.Start(handle)
	case "url":
		lambdaurl.Start(http.HandlerFunc(serve))
	case "exit in init":
		os.Exit(3)
	case "slow first init":
		if meet(os.Getenv("ADDRESS")) == "wait" {
			time.Sleep(time.Hour)
		}
		lambda.Start(handle)
	case "raw":
		speak(os.Getenv("AWS_LAMBDA_RUNTIME_API"), os.Getenv("ADDRESS"))
	case "hold":
		meet(os.Getenv("ADDRESS"))
		_, _ = io.Copy(io.Discard, held[0])
	default:
		lambda.Start(handle)
	}
}

func handle(ctx context.Context, r request) (any, error) {
	invocations++
	switch r.Do {
	case "fail":
		return nil, errors.New("boom")
	case "panic":
		panic("oh")
	case "panic in a goroutine":
		go panic("oh")
		select {}
	case "exit":
		os.Exit(r.Size)
	case "sleep":
		meet(r.Address)
		time.Sleep(time.Hour)
	case "meet":
		return meet(r.Address), nil
	case "leave an echo":
		connection, err := net.Dial("tcp", r.Address)
		go func() { _, _ = io.Copy(connection, connection) }()
		return nil, err
	case "not found":
		// Not a reader's own type: what a handler for the invoke mode BUFFERED returns.
		return map[string]int{"statusCode": 404}, nil
	case "start a program":
		child := exec.Command(os.Args[0])
		child.Env = []string{"MODE=hold", "ADDRESS=" + r.Address}
		if r.Text == "that leaves the group" {
			child.Stdout = os.Stdout
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
		}
		err := child.Start()
		meet(r.Address)
		return nil, err
	case "print":
		fmt.Println(r.Text)
		fmt.Fprint(os.Stderr, "not ended")
	case "large":
		return strings.Repeat("x", r.Size-len(`""`)), nil
	case "reader":
		return strings.NewReader("from a reader"), nil
	case "broken reader":
		return io.MultiReader(strings.NewReader("the beginning"), broken{}), nil
	case "describe":
		return describe(ctx)
	}
	return map[string]any{"pid": os.Getpid(), "invocations": invocations, "text": r.Text}, nil
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the source broke") }

func describe(ctx context.Context) (any, error) {
	folder, err := os.Getwd()
	lc, _ := lambdacontext.FromContext(ctx)
	deadline, _ := ctx.Deadline()
	return map[string]any{
		"environment": os.Environ(), "folder": folder, "deadline": deadline.UnixMilli(),
		"requestId": lc.AwsRequestID, "arn": lc.InvokedFunctionArn, "trace": ctx.Value("x-amzn-trace-id"),
		"function": lambdacontext.FunctionName, "memory": lambdacontext.MemoryLimitInMB,
		"version": lambdacontext.FunctionVersion, "logGroup": lambdacontext.LogGroupName,
	}, err
}

// meet announces the process to a test, returns the test's reply, and keeps the connection,
// which breaks when the process ends.
func meet(address string) string {
	if address == "" {
		return ""
	}
	connection, err := net.Dial("tcp", address)
	if err != nil {
		return err.Error()
	}
	held = append(held, connection)
	word := make([]byte, 100)
	n, _ := connection.Read(word)
	return string(word[:n])
}

var held []net.Conn

// serve is the handler of a function URL. The test tells it what to write, and when.
func serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	connection, err := net.Dial("tcp", r.URL.Query().Get("address"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	for {
		word := make([]byte, 100)
		n, err := connection.Read(word)
		switch {
		case err != nil:
			return
		case string(word[:n]) == "exit":
			os.Exit(5)
		}
		_, _ = w.Write(word[:n])
	}
}

// speak makes the calls that a test tells it to, each "METHOD path header body", and
// sends back the status and the body of the answer. Additional methods are CUT, to post a
// body that is cut off, LARGE, to post one of so many bytes, and HEADERS, to get the
// answer's headers.
func speak(api, address string) {
	connection, err := net.Dial("tcp", address)
	if err != nil {
		panic(err)
	}
	var id string
	for {
		command := make([]byte, 1000)
		n, err := connection.Read(command)
		if err != nil {
			return
		}
		parts := strings.SplitN(string(command[:n]), " ", 4)
		path := strings.ReplaceAll(parts[1], "{id}", id)
		if parts[0] == "CUT" {
			fmt.Fprint(connection, cutOff(api, path, parts[3]))
			continue
		}
		method, body := parts[0], parts[3]
		switch method {
		case "LARGE":
			size, _ := strconv.Atoi(body)
			method, body = "POST", strings.Repeat("x", size)
		case "HEADERS":
			method = "GET"
		}
		request, _ := http.NewRequest(method, "http://"+api+path, strings.NewReader(body))
		if name, value, ok := strings.Cut(parts[2], ":"); ok {
			request.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			fmt.Fprintf(connection, "failed: %v", err)
			continue
		}
		if given := response.Header.Get("Lambda-Runtime-Aws-Request-Id"); given != "" {
			id = given
		}
		said, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if parts[0] == "HEADERS" {
			response.Header.Del("Date")
			fmt.Fprint(connection, headers(response.Header))
			continue
		}
		fmt.Fprintf(connection, "%d %s", response.StatusCode, bytes.TrimSpace(said))
	}
}

func headers(h http.Header) string {
	var list []string
	for _, name := range slices.Sorted(maps.Keys(h)) {
		list = append(list, name+"="+h.Get(name))
	}
	return strings.Join(list, " ")
}

// cutOff posts a body that is shorter than announced.
func cutOff(api, path, body string) string {
	connection, err := net.Dial("tcp", api)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = connection.Close() }()
	fmt.Fprintf(connection, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 1000\r\n\r\n%s", path, api, body)
	_ = connection.(*net.TCPConn).CloseWrite()
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = response.Body.Close() }()
	answer, _ := io.ReadAll(response.Body)
	return fmt.Sprintf("%d %s", response.StatusCode, bytes.TrimSpace(answer))
}
