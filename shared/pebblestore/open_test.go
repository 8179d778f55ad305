package pebblestore_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// childDir and childFault make TestMain a process of its own, on that directory, whose disk
// fails at some operation on logs.
const (
	childDir   = "PEBBLESTORE_TEST_CHILD_DIR"
	childFault = "PEBBLESTORE_TEST_CHILD_FAULT"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		liveAsChild(dir, os.Getenv(childFault))
	}
	os.Exit(m.Run())
}

// liveAsChild writes orders, and receives and pays them, until it is killed or its disk
// fails. It prints everything that was acknowledged.
func liveAsChild(dir, fault string) {
	var disk errorfs.Toggle
	disk.Injector = errorfs.InjectorFunc(func(op errorfs.Op) error {
		if strings.HasSuffix(op.Path, ".log") && (op.Kind == errorfs.OpCreate && fault == "create" ||
			op.Kind == errorfs.OpFileSyncData && fault == "sync") {
			return errDisk
		}
		return nil
	})
	db, err := pebblestore.Open(pebblestore.Options{
		Dir: dir, FS: errorfs.Wrap(vfs.Default, &disk), Logger: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	})
	disk.On()
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	q, err := db.Queue(queueConfig("payments"))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	ctx := context.Background()
	for {
		o := benchOrder("t")
		id, err := q.Send(ctx, o.ID, 0)
		if err == nil {
			err = db.Store().Create(ctx, o)
		}
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("created", o.ID, id)
		got, err := q.Receive(ctx, queue.ReceiveRequest{Max: 1, Visibility: time.Hour})
		if err != nil || len(got) != 1 {
			fmt.Println("error", len(got), err)
			os.Exit(1)
		}
		if err := claimAndPay(ctx, db.Store(), order.Ref{Tenant: "t", ID: got[0].Body}); err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println("claimed", got[0].Body, got[0].MessageID)
	}
}

// startChild starts another process on the directory and returns the lines that it prints.
func startChild(t *testing.T, dir, fault string) (child *exec.Cmd, lines *bufio.Scanner) {
	t.Helper()
	child = exec.CommandContext(t.Context(), os.Args[0], "-test.run=^$")
	child.Env = append(os.Environ(), childDir+"="+dir, childFault+"="+fault)
	child.Stderr = new(strings.Builder)
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	return child, bufio.NewScanner(out)
}

func TestOneProcessAtATime(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data") // created if absent
	child, lines := startChild(t, dir, "")
	if !lines.Scan() || strings.HasPrefix(lines.Text(), "error") {
		t.Fatalf("the other process says %q", lines.Text())
	}
	_, err := pebblestore.Open(pebblestore.Options{Dir: dir, Logger: quiet(t)})
	wantInUse(t, err, dir)
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // it was killed
	db := open(t, pebblestore.Options{Dir: dir})

	// Nor twice in one process.
	_, err = pebblestore.Open(pebblestore.Options{Dir: dir, Logger: quiet(t)})
	wantInUse(t, err, dir)
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, pebblestore.Options{Dir: dir})

	fs := vfs.NewMem()
	open(t, pebblestore.Options{Dir: "data", FS: fs})
	_, err = pebblestore.Open(pebblestore.Options{Dir: "data", FS: fs, Logger: quiet(t)})
	wantInUse(t, err, "data")
}

func wantInUse(t *testing.T, err error, dir string) {
	t.Helper()
	if !errors.Is(err, pebblestore.ErrInUse) || !strings.Contains(err.Error(), dir) {
		t.Errorf("the error is %v, want pebblestore.ErrInUse and the directory's name", err)
	}
}

func TestOpenErrors(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, dir := range map[string]string{"no directory": "", "a file in its place": file} {
		db, err := pebblestore.Open(pebblestore.Options{Dir: dir, Logger: quiet(t)})
		if err == nil {
			t.Errorf("%s: open succeeded", name)
			_ = db.Close()
		} else if errors.Is(err, pebblestore.ErrInUse) || errors.Is(err, pebblestore.ErrDamaged) {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}

// After kill -9, everything that was acknowledged to the process is there, and what it had
// just received is still hidden.
func TestKill(t *testing.T) {
	dir := t.TempDir()
	created, claimed := map[string]bool{}, map[string]bool{}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 5 {
		child, lines := startChild(t, dir, "")
		for n := 20 + rng.IntN(200); n > 0 && lines.Scan(); n-- {
			note(t, lines.Text(), created, claimed)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		for lines.Scan() {
			note(t, lines.Text(), created, claimed)
		}
		_ = child.Wait() // it was killed
	}
	db := open(t, pebblestore.Options{Dir: dir})
	for id := range created {
		o, err := db.Store().Get(t.Context(), order.Ref{Tenant: "t", ID: id})
		if err != nil {
			t.Errorf("order %s: %v", id, err)
		} else if claimed[id] && o.Status != order.Paid {
			t.Errorf("order %s is %s, want PAID", id, o.Status)
		}
	}
	for id := range received(t, openQueue(t, db, queueConfig("payments"))) {
		if claimed[id] {
			t.Errorf("the message of order %s came again, within its visibility timeout", id)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	later := open(t, pebblestore.Options{Dir: dir, Now: func() time.Time { return time.Now().Add(24 * time.Hour) }})
	there := received(t, openQueue(t, later, queueConfig("payments")))
	for id := range created {
		if !there[id] {
			t.Errorf("the message of order %s is not there", id)
		}
	}
	if len(claimed) < 50 {
		t.Errorf("only %d orders were claimed; the test shows little", len(claimed))
	}
}

// A disk that fails ends the process with a message, also where pebble would panic: when it
// changes to a new log, after a quarter of a megabyte.
func TestADiskThatFailsEndsTheProcess(t *testing.T) {
	for _, fault := range []string{"sync", "create"} {
		t.Run(fault, func(t *testing.T) {
			dir := t.TempDir()
			created, claimed := map[string]bool{}, map[string]bool{}
			child, lines := startChild(t, dir, fault)
			for lines.Scan() {
				note(t, lines.Text(), created, claimed)
			}
			exit := new(exec.ExitError)
			if err := child.Wait(); !errors.As(err, &exit) || exit.ExitCode() != 1 {
				t.Errorf("the process ended with %v, want status 1", err)
			}
			said := child.Stderr.(*strings.Builder).String()
			if !strings.Contains(said, "the database failed") || !strings.Contains(said, errDisk.Error()) || strings.Contains(said, "goroutine") {
				t.Errorf("the process said:\n%s", said)
			}
			if fault == "create" && len(created) < 100 {
				t.Errorf("only %d orders were created before the log was full", len(created))
			}
			db := open(t, pebblestore.Options{Dir: dir})
			for id := range created {
				if _, err := db.Store().Get(t.Context(), order.Ref{Tenant: "t", ID: id}); err != nil {
					t.Errorf("order %s: %v", id, err)
				}
			}
		})
	}
}

// A new directory and its parents survive a power cut right after.
func TestANewDirectorySurvives(t *testing.T) {
	fs := vfs.NewCrashableMem()
	dir := fs.PathJoin("a", "b", "c")
	db := open(t, pebblestore.Options{Dir: dir, FS: fs})
	o := newOrder("t", "id")
	if err := db.Store().Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	after := open(t, pebblestore.Options{Dir: dir, FS: powerCut(fs)})
	if _, err := after.Store().Get(t.Context(), o.Ref); err != nil {
		t.Errorf("the order: %v", err)
	}
}

func note(t *testing.T, line string, created, claimed map[string]bool) {
	t.Helper()
	fields := strings.Fields(line)
	switch {
	case len(fields) != 3:
		t.Logf("the line was cut off by the kill: %q", line)
	case fields[0] == "created":
		created[fields[1]] = true
	case fields[0] == "claimed":
		claimed[fields[1]] = true
	default:
		t.Errorf("the other process says %q", line)
	}
}

// received receives all messages and returns their bodies.
func received(t *testing.T, q *pebblestore.Queue) map[string]bool {
	t.Helper()
	bodies := map[string]bool{}
	for {
		got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 10, Visibility: queue.MaxVisibility})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) == 0 {
			return bodies
		}
		for _, d := range got {
			bodies[d.Body] = true
		}
	}
}
