package streamsource

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/filter"
	"paylane/shared/emulator/internal/aws"
	"paylane/shared/emulator/template"
	"paylane/shared/feed"
)

// Config is a mapping and what it connects.
type Config struct {
	Mapping  template.StreamMapping
	Table    template.Table
	Function template.Function
	// Stream is the table's stream.
	Stream  feed.Stream
	Invoker emulator.Invoker
	// OnFailure sends a record of a batch that was given up to the mapping's destination;
	// nil if it has none.
	OnFailure func(ctx context.Context, body string) error
	// Now is the clock; nil is time.Now. It must keep pace with the time package's timers.
	Now func() time.Time
	// Logger logs each batch that fails and each error of the stream; nil discards them.
	Logger *slog.Logger
}

// Poller polls a stream for a function.
type Poller struct {
	mapping   template.StreamMapping
	table     template.Table
	function  template.Function
	region    string
	stream    feed.Stream
	invoker   emulator.Invoker
	onFailure func(ctx context.Context, body string) error
	filters   []*filter.Pattern
	now       func() time.Time
	logger    *slog.Logger
}

// The sizes of a batch, in records ("Lambda parameters for Amazon DynamoDB event source
// mappings").
const (
	defaultBatchSize = 100
	maxBatchSize     = 10_000
)

// lookEvery is how often the shards are looked up. Lambda's own interval is not known.
const lookEvery = time.Second

// New returns a poller. The error says what Lambda would refuse in the mapping.
func New(c Config) (*Poller, error) {
	p := &Poller{
		mapping: c.Mapping, table: c.Table, function: c.Function, stream: c.Stream, invoker: c.Invoker,
		onFailure: c.OnFailure, now: aws.DefaultNow(c.Now), logger: aws.DefaultLogger(c.Logger),
	}
	p.mapping.BatchSize = cmp.Or(p.mapping.BatchSize, defaultBatchSize)
	if p.mapping.BatchSize > maxBatchSize {
		return nil, fmt.Errorf("mapping %s: a batch size of %d is more than %d", c.Mapping.LogicalID, p.mapping.BatchSize, maxBatchSize)
	}
	p.mapping.Parallelization = max(p.mapping.Parallelization, 1)
	if parts := strings.Split(c.Table.StreamARN, ":"); len(parts) > 3 {
		p.region = parts[3]
	}
	var err error
	if p.filters, err = filter.CompileAll(c.Mapping.Filters); err != nil {
		return nil, fmt.Errorf("mapping %s: %w", c.Mapping.LogicalID, err)
	}
	return p, nil
}

// Run polls until ctx ends. Then it stops reading, and returns once the invocations under
// way have ended, each within the function's timeout, and what they did is in a
// checkpoint. What it has gathered, or would try again, is left to the next run. If the
// mapping is not enabled, it returns at once.
func (p *Poller) Run(ctx context.Context) {
	if !p.mapping.Enabled {
		return
	}
	var polled sync.WaitGroup
	defer polled.Wait()
	l := newLineage(feed.Position(p.mapping.StartingPosition))
	ended := make(chan string)
	for failures := 0; ctx.Err() == nil; {
		wait := lookEvery
		shards, err := p.stream.Shards(ctx)
		switch {
		case err == nil:
			failures = 0
			for _, next := range l.ready(shards) {
				polled.Go(func() { p.poll(ctx, next, ended) })
			}
		case ctx.Err() == nil:
			p.logger.WarnContext(ctx, "can't look up the stream's shards", "table", p.table.Name, "error", err)
			wait = backoff(failures)
			failures++
		}
		timer := time.NewTimer(wait)
		select {
		case id := <-ended: // its children may begin
			l.done(id)
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
}

// poll polls one shard, and sends its id when all of it is done.
func (p *Poller) poll(ctx context.Context, next start, ended chan<- string) {
	if !newShard(p, next.id).run(ctx, next.from) {
		return
	}
	select {
	case ended <- next.id:
	case <-ctx.Done():
	}
}

// backoff returns how long to wait after a failure, the others in a row before it not
// counted: 0.25 s, twice as long each time, up to 10 s. Lambda's own waits are not known.
func backoff(before int) time.Duration {
	const first, longest, doublings = 250 * time.Millisecond, 10 * time.Second, 6
	return min(first<<min(before, doublings), longest)
}
