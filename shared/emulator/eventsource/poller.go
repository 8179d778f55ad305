package eventsource

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/filter"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/template"
	"paylane/shared/internal/pause"
	"paylane/shared/queue"
)

// Config is a mapping and what it connects.
type Config struct {
	Mapping  template.Mapping
	Queue    template.Queue
	Function template.Function
	// Source is the queue that is polled.
	Source  queue.Queue
	Invoker emulator.Invoker
	// Receivers is how many receives may be under way at once; 0 is one, which is enough
	// for a queue in this process. Over a network, several hide the latency.
	Receivers int
	// Now is the clock; nil is time.Now. It must keep pace with the time package's timers.
	Now func() time.Time
	// Logger logs each batch that fails and each error of the queue; nil discards them.
	Logger *slog.Logger
}

// Poller polls a queue for a function.
type Poller struct {
	mapping    template.Mapping
	queue      template.Queue
	region     string
	source     queue.Queue
	invoker    emulator.Invoker
	receivers  int
	filters    []*filter.Pattern
	visibility time.Duration // of receives; 0 is the queue's own
	slots      *slots
	now        func() time.Time
	logger     *slog.Logger
}

// New returns a poller. The error is about the mapping's filters: [template.Read] has
// refused everything else that Lambda would refuse.
func New(c Config) (*Poller, error) {
	p := &Poller{
		mapping: c.Mapping, queue: c.Queue, source: c.Source, invoker: c.Invoker,
		receivers: max(c.Receivers, 1), now: aws.DefaultNow(c.Now), logger: aws.DefaultLogger(c.Logger),
	}
	p.slots = newSlots(c.Mapping.MaxConcurrency, p.now)
	if parts := strings.Split(c.Queue.ARN, ":"); len(parts) > 3 {
		p.region = parts[3]
	}
	var err error
	if p.filters, err = filter.CompileAll(c.Mapping.Filters); err != nil {
		return nil, fmt.Errorf("mapping %s: %w", c.Mapping.LogicalID, err)
	}
	// With a window, a batch must be able to wait and to run before it comes back.
	if w := c.Mapping.Window; w > 0 && w+c.Function.Timeout > c.Queue.VisibilityTimeout {
		p.visibility = w + c.Function.Timeout + 30*time.Second
	}
	return p, nil
}

// Run polls until ctx ends. Then it stops receiving, invokes the function for what it has
// gathered, and returns once the invocations under way have ended, each within the
// function's timeout, and their records are deleted. If the mapping is not enabled, it
// returns at once.
func (p *Poller) Run(ctx context.Context) {
	if !p.mapping.Enabled {
		return
	}
	var receivers, batches sync.WaitGroup
	for range p.receivers {
		receivers.Go(func() { p.receive(ctx, &batches) })
	}
	receivers.Wait()
	batches.Wait()
}

// receive runs one receiver, which acquires a slot, gathers a batch and hands both on.
func (p *Poller) receive(ctx context.Context, batches *sync.WaitGroup) {
	r := &receiver{Poller: p}
	for p.slots.acquire(ctx) {
		b := r.next(ctx)
		if len(b.records) == 0 {
			p.slots.giveBack()
			continue
		}
		p.slots.begin()
		batches.Go(func() {
			err := p.process(ctx, b)
			p.slots.end(err != nil && !errors.Is(err, emulator.ErrThrottled))
		})
	}
}

// process invokes the function for a batch and deletes the records that succeeded. An
// error means that the batch failed as a whole.
func (p *Poller) process(ctx context.Context, b batch) error {
	result, err := p.invoke(ctx, b)
	var failed map[string]bool
	if err == nil && p.mapping.ReportBatchItemFailures {
		failed, err = failedOf(result, b.records)
	}
	if err != nil {
		p.logger.WarnContext(ctx, "a batch failed", "queue", p.queue.Name, "function", p.mapping.Function,
			"records", len(b.records), "error", err)
		return err
	}
	done := b.records
	if len(failed) > 0 {
		done = nil
		for _, r := range b.records {
			if !failed[r.MessageID] {
				done = append(done, r)
			}
		}
	}
	if len(done) > 0 {
		p.delete(ctx, done)
	}
	return nil
}

// invoke invokes the function, and again while it is throttled, until the records are
// about to become visible.
func (p *Poller) invoke(ctx context.Context, b batch) (emulator.Result, error) {
	const first, longest = 100 * time.Millisecond, 5 * time.Second
	visibility := p.visibility
	if visibility == 0 {
		visibility = p.queue.VisibilityTimeout
	}
	for wait := first; ; wait = min(2*wait, longest) {
		result, err := p.invoker.Invoke(context.WithoutCancel(ctx), emulator.Invocation{Event: p.newEvent(b.records)})
		if !errors.Is(err, emulator.ErrThrottled) || p.now().Sub(b.since)+wait >= visibility {
			return result, err
		}
		if pause.For(ctx, wait) != nil {
			return result, err
		}
	}
}

// delete removes records from the queue. Stopping does not interrupt it, or what was done
// would come again.
func (p *Poller) delete(ctx context.Context, records []queue.Message) {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for some := range slices.Chunk(records, queue.MaxBatch) {
		handles := make([]string, len(some))
		for i, r := range some {
			handles[i] = r.ReceiptHandle
		}
		outcomes, err := p.source.Delete(ctx, handles)
		if err := errors.Join(append(outcomes, err)...); err != nil {
			p.logger.WarnContext(ctx, "some records could not be deleted and will come again", "queue", p.queue.Name, "error", err)
		}
	}
}
