package load

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

	"paylane/cmd/paylane/internal/apiclient"
)

// FloorCommand is the command, the only argument, with which the program must call
// [ServeFloor]. It is not for people.
const FloorCommand = "serve-the-floor"

// floorAnswer is as long as the target's answer to the driver's orders.
const floorAnswer = `{"id":"0190d6a0-1a2b-7c3d-8e4f-5a6b7c8d9e0f","status":"PENDING","amount":12000,"currency":"KRW",` +
	`"items":[{"sku":"TEA-1","quantity":2,"unitPrice":6000}],"customerId":"c-42","metadata":{"cart":"77"},"livemode":false,"attempts":[],` +
	`"version":1,"createdAt":"2026-01-02T03:04:05.678Z","updatedAt":"2026-01-02T03:04:05.678Z"}` + "\n"

// FloorTime returns how long to measure the floor before and after a load of that
// duration. A measurement of less than 3 s means nothing.
func FloorTime(load time.Duration) time.Duration { return max(load/3, 3*time.Second) }

// ServeFloor serves the least that net/http can do for an order. It writes its address to
// stdout, and ends when stdin does: with its parent, however that ends.
func ServeFloor(ctx context.Context, stdin io.Reader, stdout io.Writer) error {
	signal.Ignore(os.Interrupt) // Ctrl-C reaches this process, too, but is meant for the parent
	var config net.ListenConfig
	listener, err := config.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{
		ReadHeaderTimeout: apiclient.Timeout,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // if the connection breaks, the driver sees it
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
	_, _ = io.Copy(io.Discard, stdin) // until the parent ends, in whatever way
	err = server.Close()
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	return err
}

// floorServer is a running floor server.
type floorServer struct {
	target *apiclient.Client
	stdin  io.Closer
	cmd    *exec.Cmd
}

// startFloor starts this program again as a floor server, so that it has a process of its
// own, as the target does. It will be driven over that many connections.
func startFloor(ctx context.Context, connections int) (*floorServer, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program, to start the floor server: %w", err)
	}
	cmd := exec.CommandContext(ctx, self, FloorCommand) //nolint:gosec // it is this program
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
	if s.target, err = apiclient.New(strings.TrimSpace(line), "", connections, false); err != nil {
		s.stop()
		return nil, fmt.Errorf("reach the floor server: %w", err)
	}
	return s, nil
}

// stop ends the server and waits until it is gone.
func (s *floorServer) stop() {
	_ = s.stdin.Close()
	_ = s.cmd.Wait() // it served as long as it was needed
}
