package streamsource_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/emulator/streamsource"
)

func TestStop(t *testing.T) {
	bothModes(t, "an invocation ends before Run returns", func(t *testing.T, w *world) {
		w.poll(mapping{}, handle(func(ctx context.Context, _ string, _ event) (response, error) {
			time.Sleep(4 * time.Second)
			return response{}, ctx.Err()
		}))
		w.write("s", "k", "a")
		time.Sleep(time.Second)
		w.write("s", "k", "b")
		time.Sleep(time.Second)
		begin := time.Now()
		w.stop()
		diff(t, "it took", 2*time.Second, time.Since(begin))
		diff(t, "batches", []string{"a"}, w.batches())
		diff(t, "checkpoints", []string{"s:1"}, w.saved())
	})
	bothModes(t, "what waits is left", func(t *testing.T, w *world) {
		w.poll(mapping{Window: time.Minute}, handle(succeed))
		w.write("s", "k", "a")
		time.Sleep(time.Second)
		begin := time.Now()
		w.stop()
		diff(t, "it took", time.Duration(0), time.Since(begin))
		diff(t, "invocations", 0, len(w.invocations()))
		diff(t, "left", 1, w.left("s"))
	})
	bothModes(t, "a batch that failed is not tried again", func(t *testing.T, w *world) {
		w.poll(mapping{MaxRetries: forever, Bisect: true}, handle(func(context.Context, string, event) (response, error) {
			time.Sleep(time.Second)
			return response{}, errBoom
		}))
		w.write("s", "k", "a", "b")
		time.Sleep(500 * ms)
		w.stop()
		diff(t, "batches", []string{"a b"}, w.batches())
		diff(t, "given up", 0, len(w.discarded()))
		diff(t, "left", 2, w.left("s"))
	})
	bothModes(t, "nor is a destination that is away", func(t *testing.T, w *world) {
		w.refused = 1000
		w.poll(mapping{}, handle(func(context.Context, string, event) (response, error) { return response{}, errBoom }))
		w.write("s", "k", "a")
		time.Sleep(time.Minute)
		w.stop()
		diff(t, "left", 1, w.left("s"))
	})
}

// A stream that is out of reach for a while costs time, and no record.
func TestStreamErrors(t *testing.T) {
	bothModes(t, "at the start", func(t *testing.T, w *world) {
		w.write("s", "k", "a")
		w.away = 5
		w.poll(mapping{}, handle(succeed))
		time.Sleep(time.Minute)
		diff(t, "invocations", []invocation{{7750 * ms, "a"}}, w.invocations()) // 0.25 + 0.5 + 1 + 2 + 4 s
	})
	bothModes(t, "while it is read", func(t *testing.T, w *world) {
		w.poll(mapping{BatchSize: 1}, handle(succeed))
		synctest.Wait()
		w.do(func() { w.away = 7 })
		w.write("s", "k", "a", "b")
		w.split("s", "child")
		w.write("child", "k", "c")
		time.Sleep(time.Minute)
		diff(t, "batches", []string{"a", "b", "c"}, w.batches())
		diff(t, "left", []int{0, 0}, []int{w.left("s"), w.left("child")})
	})
	bothModes(t, "at a checkpoint", func(t *testing.T, w *world) {
		w.write("s", "k", "a")
		w.awayCheckpoints = 2
		w.poll(mapping{}, handle(succeed))
		time.Sleep(time.Minute) // it is tried again at each read
		diff(t, "batches", []string{"a"}, w.batches())
		diff(t, "left", 0, w.left("s"))
	})
	bothModes(t, "at a shard's last checkpoint", func(t *testing.T, w *world) {
		w.write("s", "k", "a")
		w.split("s", "child")
		w.write("child", "k", "b")
		w.awayCheckpoints = 2
		w.poll(mapping{}, handle(succeed))
		time.Sleep(time.Minute)
		diff(t, "checkpoints", []string{"s:1", "child:2"}, w.saved())
	})
}

// However long the function fails, only so much is read ahead of it.
func TestReadAhead(t *testing.T) {
	bothModes(t, "limit", func(t *testing.T, w *world) {
		w.poll(mapping{BatchSize: 10, MaxRetries: forever}, handle(func(context.Context, string, event) (response, error) {
			return response{}, errBoom
		}))
		w.write("s", "k", slices.Repeat([]string{"x"}, 1000)...)
		time.Sleep(time.Hour)
		if n := w.reads(); n > 30 {
			t.Errorf("%d records were read for batches of 10", n)
		}
	})
	bothModes(t, "limit of bytes", func(t *testing.T, w *world) {
		w.poll(mapping{BatchSize: 100, MaxRetries: forever}, handle(func(context.Context, string, event) (response, error) {
			return response{}, errBoom
		}))
		for range 15 {
			w.write("s", "k", strings.Repeat("x", 1<<20))
			synctest.Wait()
		}
		if n := w.reads(); n > 13 {
			t.Errorf("%d MB were read for batches of 6 MB", n)
		}
	})
	bothModes(t, "what is done makes room", func(t *testing.T, w *world) {
		w.poll(mapping{}, handle(succeed))
		for range 15 {
			w.write("s", "k", strings.Repeat("x", 1<<20))
			synctest.Wait()
		}
		diff(t, "left", 0, w.left("s"))
	})
}

func TestNotEnabled(t *testing.T) {
	poller, err := streamsource.New(streamsource.Config{Stream: newStream()})
	if err != nil {
		t.Fatal(err)
	}
	poller.Run(context.Background()) // or it would not return
}

func TestNewRefuses(t *testing.T) {
	for want, m := range map[string]mapping{
		"mapping M: invalid filter pattern definition":        {Filters: []string{"{"}},
		"mapping M: a batch size of 10001 is more than 10000": {BatchSize: 10001},
	} {
		_, err := streamsource.New(streamsource.Config{Mapping: enabled(m)})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}
}
