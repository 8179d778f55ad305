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
)

// Config is a mapping with what it connects.
type Config struct {
	Mapping  template.Mapping
	Queue    template.Queue
	Function template.Function
	Source   Source
	Invoker  emulator.Invoker
	// Receivers poll side by side; 0 is one, which is enough for a queue in this
	// process. Over a network several hide the latency.
	Receivers int
	// Now is the clock; nil is time.Now. Only one that keeps pace with the time
	// package's timers makes sense.
	Now func() time.Time
	// Logger gets a line for each batch that fails and each trouble with the queue;
	// nil is none.
	Logger *slog.Logger
}

// Poller polls a queue for a function.
type Poller struct {
	mapping    template.Mapping
	queue      template.Queue
	region     string
	source     Source
	invoker    emulator.Invoker
	receivers  int
	filters    []*filter.Pattern
	visibility time.Duration // of receives; 0 is the queue's own
	slots      *slots
	now        func() time.Time
	logger     *slog.Logger
}

// New makes a poller. The error is about the mapping's filters; what else Lambda
// would refuse, [template.Read] has refused.
func New(c Config) (*Poller, error) {
	p := &Poller{
		mapping: c.Mapping, queue: c.Queue, source: c.Source, invoker: c.Invoker,
		receivers: max(c.Receivers, 1), now: aws.DefaultNow(c.Now), logger: aws.DefaultLogger(c.Logger),
	}
	p.slots = newSlots(c.Mapping.MaxConcurrency, p.now)
	if parts := strings.Split(c.Queue.ARN, ":"); len(parts) > 3 {
		p.region = parts[3]
	}
	for _, pattern := range c.Mapping.Filters {
		compiled, err := filter.Compile(pattern)
		if err != nil {
			return nil, fmt.Errorf("mapping %s: invalid filter pattern definition: %w", c.Mapping.LogicalID, err)
		}
		p.filters = append(p.filters, compiled)
	}
	// With a window, a batch must be able to wait and to run before it comes back.
	if w := c.Mapping.Window; w > 0 && w+c.Function.Timeout > c.Queue.VisibilityTimeout {
		p.visibility = w + c.Function.Timeout + 30*time.Second
	}
	return p, nil
}

// Run polls until ctx ends. Then it stops receiving, invokes the function for what
// it has gathered, and returns when the invocations under way have ended, each within
// the function's timeout, and their records are deleted. A mapping that is not
// enabled returns at once.
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

// receive is one receiver: it takes a slot, then a batch, and hands both on.
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

// process runs the function for a batch and deletes the records that succeeded. The
// error is one that makes the batch fail as a whole.
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

// invoke runs the function. One that is throttled is tried again until the records
// become visible anew.
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
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return result, err
		}
	}
}

// delete removes records from the queue. Stopping does not cut it short: what was
// done must not come again for that.
func (p *Poller) delete(ctx context.Context, records []Record) {
	const patience = 30 * time.Second
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), patience)
	defer cancel()
	for some := range slices.Chunk(records, MaxReceive) {
		handles := make([]string, len(some))
		for i, r := range some {
			handles[i] = r.ReceiptHandle
		}
		if err := p.source.Delete(ctx, handles); err != nil {
			p.logger.WarnContext(ctx, "records could not be deleted and will come again", "queue", p.queue.Name, "error", err)
		}
	}
}
