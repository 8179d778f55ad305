package streamsource_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"pgregory.net/rapid"

	"paylane/shared/emulator"
	"paylane/shared/feed"
)

// step is one thing that happens to the stream, or to the poller.
type step struct {
	kind   string
	shard  int // of those that are open
	key, n int
}

// answers are what an invocation may come to.
var answers = []string{"success", "error", "report", "malformed", "throttled"}

// script is a run: a mapping, what happens, and what the first invocations come to. All
// later ones succeed, but for records that always fail.
type script struct {
	mapping mapping
	steps   []step
	answers []string
	poison  bool
}

func scripts(t *rapid.T) script {
	s := script{
		mapping: mapping{
			BatchSize:               rapid.IntRange(1, 7).Draw(t, "batch size"),
			Parallelization:         rapid.IntRange(1, 3).Draw(t, "parallelization"),
			MaxRetries:              forever,
			Bisect:                  rapid.Bool().Draw(t, "bisect"),
			ReportBatchItemFailures: rapid.Bool().Draw(t, "report"),
			Window:                  time.Duration(rapid.IntRange(0, 1).Draw(t, "window")) * time.Second,
		},
		steps: rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
			return step{
				rapid.SampledFrom([]string{"write", "write", "write", "sleep", "split", "away", "kill", "restart"}).Draw(t, "kind"),
				rapid.IntRange(0, 9).Draw(t, "shard"), rapid.IntRange(0, 5).Draw(t, "key"), rapid.IntRange(1, 9).Draw(t, "n"),
			}
		}), 1, 30).Draw(t, "steps"),
		answers: rapid.SliceOfN(rapid.SampledFrom(answers), 0, 25).Draw(t, "answers"),
	}
	// What is given up is told by its first and last sequence number, which says exactly
	// which records those are only if there is one lane.
	if s.mapping.Parallelization == 1 {
		s.mapping.MaxRetries = rapid.IntRange(-1, 2).Draw(t, "retries")
		s.mapping.MaxRecordAge = time.Duration(rapid.IntRange(0, 1).Draw(t, "age")) * time.Minute
		s.poison = s.mapping.MaxRetries >= 0 && rapid.Bool().Draw(t, "poison")
	}
	if rapid.Bool().Draw(t, "filter") {
		s.mapping.Filters = []string{`{"dynamodb":{"NewImage":{"value":{"S":[{"anything-but":["passed"]}]}}}}`}
	}
	return s
}

// audit is a function, a destination and a stream that watch the rules: a change of an item
// is handed on only when all before it are settled, which is to say that they succeeded,
// were given up or match no filter; and a checkpoint is only before what is not settled.
type audit struct {
	*stream
	script

	auditMu sync.Mutex
	calls   int
	items   [][]string      // for each key, its sequence numbers in the order of writing
	settled map[string]bool // by sequence number
	broken  []string
}

// Invoke implements emulator.Invoker.
func (a *audit) Invoke(_ context.Context, i emulator.Invocation) (emulator.Result, error) {
	time.Sleep(10 * ms)
	records := i.Event.Typed().(*events.DynamoDBEvent).Records
	a.auditMu.Lock()
	defer a.auditMu.Unlock()
	answer := "success"
	if a.calls < len(a.answers) {
		answer = a.answers[a.calls]
	}
	a.calls++
	if answer == "throttled" {
		return emulator.Result{}, emulator.ErrThrottled
	}
	here := make(map[string]bool)
	poison := false
	for _, r := range records {
		number := r.Change.SequenceNumber
		value := r.Change.NewImage["value"].String()
		if value == "passed" && len(a.mapping.Filters) > 0 {
			a.broken = append(a.broken, number+" was handed on and matches no filter")
		}
		key, _ := strconv.Atoi(r.Change.Keys["id"].String())
		for _, before := range a.items[key] {
			if before == number {
				break
			}
			if !a.settled[before] && !here[before] {
				a.broken = append(a.broken, fmt.Sprintf("%s was handed on before %s", number, before))
			}
		}
		here[number] = true
		poison = poison || a.poison && value == "poison"
	}
	var value response
	switch {
	case answer == "error" || poison:
		return emulator.Result{}, &emulator.FunctionError{Type: "T"}
	case answer == "report" && a.mapping.ReportBatchItemFailures:
		first := a.calls % len(records)
		value = report(records[len(records)-1].Change.SequenceNumber, records[first].Change.SequenceNumber)
		records = records[:first]
	case answer == "malformed" && a.mapping.ReportBatchItemFailures:
		value, records = report(""), nil
	}
	for _, r := range records {
		a.settled[r.Change.SequenceNumber] = true
	}
	return emulator.Result{Value: &value}, nil
}

func (a *audit) destination(_ context.Context, body string) error {
	a.auditMu.Lock()
	defer a.auditMu.Unlock()
	if a.calls++; a.calls%3 == 0 {
		return errAway
	}
	var r struct {
		DDBStreamBatchInfo struct {
			ShardID                                string
			StartSequenceNumber, EndSequenceNumber string
		}
	}
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	within := false
	for _, record := range a.find(r.DDBStreamBatchInfo.ShardID).records {
		number := record.Change.SequenceNumber
		within = within || number == r.DDBStreamBatchInfo.StartSequenceNumber
		if within {
			a.settled[number] = true
		}
		if number == r.DDBStreamBatchInfo.EndSequenceNumber {
			break
		}
	}
	return nil
}

func (a *audit) Checkpoint(ctx context.Context, shard, number string) error {
	a.auditMu.Lock()
	a.mu.Lock()
	for _, record := range a.find(shard).records {
		if at := record.Change.SequenceNumber; !a.settled[at] {
			a.broken = append(a.broken, fmt.Sprintf("a checkpoint at %s, and %s is not settled", number, at))
		}
		if record.Change.SequenceNumber == number {
			break
		}
	}
	a.mu.Unlock()
	a.auditMu.Unlock()
	return a.stream.Checkpoint(ctx, shard, number)
}

// run runs the script, and returns which rules were broken.
func (a *audit) run(t *testing.T) []string {
	home := make([]string, len(a.items)) // the shard of each key
	open := []string{"0"}
	a.split("", "0")
	for key := range home {
		home[key] = "0"
	}
	stop := a.poll(t)
	for i, st := range a.steps {
		parent := open[st.shard%len(open)]
		switch st.kind {
		case "write":
			for n := range st.n {
				a.change(home[st.key], st.key, []string{"plain", "poison", "passed"}[(i+n*n)%3])
			}
		case "sleep":
			time.Sleep(time.Duration(st.n) * 3 * time.Second)
		case "split":
			children := []string{parent + ".0", parent + ".1"}[:1+st.n%2]
			a.split(parent, children...)
			open = append(open[:0:0], open...)
			open[st.shard%len(open)] = children[0]
			open = append(open, children[1:]...)
			for key := range home {
				if home[key] == parent {
					home[key] = children[key%len(children)]
				}
			}
		case "away":
			a.do(func() { a.away, a.awayCheckpoints = st.n, st.key })
		case "kill": // whatever is under way makes no checkpoint
			a.do(func() { a.dead = true })
			stop()
			a.do(func() { a.dead = false })
			stop = a.poll(t)
		case "restart":
			stop()
			stop = a.poll(t)
		}
	}
	time.Sleep(time.Hour)
	stop()
	for _, sh := range a.shards {
		for i, r := range sh.records {
			if !a.settled[r.Change.SequenceNumber] || i >= sh.forgot {
				a.broken = append(a.broken, fmt.Sprintf("%s of %s was lost", r.Change.SequenceNumber, sh.ID))
			}
		}
	}
	return a.broken
}

// change writes a change of an item.
func (a *audit) change(shard string, key int, value string) {
	a.auditMu.Lock()
	defer a.auditMu.Unlock()
	number := a.write(shard, strconv.Itoa(key), value)[0]
	a.items[key] = append(a.items[key], number)
	a.settled[number] = value == "passed" && len(a.mapping.Filters) > 0
}

func (a *audit) poll(t *testing.T) (stop func()) {
	return startPoller(t, a.mapping, a, a, a.destination)
}

var _ feed.Stream = (*audit)(nil)

// Whatever fails, and whenever: no record is lost, unless it was given up by the rules and
// the destination has it, and the changes of an item are handed on in their order.
func TestNothingIsLost(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := scripts(rt)
		var broken []string
		synctest.Test(t, func(t *testing.T) {
			a := &audit{stream: newStream(), script: s, items: make([][]string, 6), settled: make(map[string]bool)}
			broken = a.run(t)
		})
		if len(broken) > 0 {
			rt.Fatal(strings.Join(broken, "\n"))
		}
	})
}
