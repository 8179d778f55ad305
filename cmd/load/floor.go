package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"time"
)

// floorArg makes this program the floor server; nobody needs to know it.
const floorArg = "serve-the-floor"

// floorAnswer is as long as the target's answer to the driver's orders.
const floorAnswer = `{"id":"0190d6a0-1a2b-7c3d-8e4f-5a6b7c8d9e0f","status":"PENDING","amount":12000,"currency":"KRW",` +
	`"items":[{"sku":"TEA-1","quantity":2,"unitPrice":6000}],"customerId":"c-42","metadata":{"cart":"77"},"attempts":[],` +
	`"version":1,"createdAt":"2026-01-02T03:04:05.678Z","updatedAt":"2026-01-02T03:04:05.678Z"}` + "\n"

// minFloorTime is the shortest measurement of the floor that says anything.
const minFloorTime = 3 * time.Second

// floorMain is the floor server's process. It writes its address to stdout, and ends
// when stdin does: with its parent, however that ends.
func floorMain(stdin io.Reader, stdout, stderr io.Writer) int {
	signal.Ignore(os.Interrupt) // Ctrl-C reaches it, too, but is meant for the parent
	if err := serveFloor(context.Background(), stdin, stdout); err != nil {
		fmt.Fprintln(stderr, "load: the floor server:", err)
		return exitFailed
	}
	return exitOK
}

// serveFloor serves the least that net/http can do for an order.
func serveFloor(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: requestTimeout,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // the driver sees it if the connection broke
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Location", "/orders/0190d6a0-1a2b-7c3d-8e4f-5a6b7c8d9e0f")
			w.WriteHeader(http.StatusCreated)
			_, _ = io.WriteString(w, floorAnswer)
		}),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	if _, err := fmt.Fprintf(stdout, "http://%s\n", listener.Addr()); err != nil {
		return errors.Join(err, server.Close())
	}
	_, _ = io.Copy(io.Discard, stdin) // it ends, one way or another
	err = server.Close()
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// floorServer is a floor server that runs.
type floorServer struct {
	target *target
	stdin  io.Closer
	cmd    *exec.Cmd
}

// startFloor starts this program again as a floor server, so that it has a process of
// its own like the target has. It will be driven over that many connections.
func startFloor(ctx context.Context, connections int) (*floorServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to start the floor server: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, floorArg) //nolint:gosec // it is this very program
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start the floor server: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, fmt.Errorf("start the floor server: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the floor server: %w", err)
	}
	s := &floorServer{stdin: stdin, cmd: cmd}
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		s.stop()
		return nil, fmt.Errorf("wait for the floor server's address: %w", err)
	}
	if s.target, err = newTarget(strings.TrimSpace(line), "", connections, false); err != nil {
		s.stop()
		return nil, fmt.Errorf("reach the floor server: %w", err)
	}
	return s, nil
}

// stop ends the server and waits until it is gone.
func (s *floorServer) stop() {
	_ = s.stdin.Close()
	_ = s.cmd.Wait() // it answered for as long as it was needed
}
