package sim_test

import (
	"bytes"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/emulator/template"
	"paylane/shared/order"
	"paylane/shared/sim"
)

// The flags of a long run, and of one seed again:
//
//	go test ./shared/sim -run 'TestSim$' -args -seeds=10000
//	go test ./shared/sim -run 'TestSim$' -args -seed=7 -seeds=1 -trace
var (
	seed    = flag.Uint64("seed", 1, "the first seed; 0 draws one")
	seeds   = flag.Int("seeds", 300, "how many seeds to run")
	shrink  = flag.Bool("shrink", true, "look for a smaller run that fails, too")
	trace   = flag.Bool("trace", false, "print all that happens")
	omit    = flag.String("omit", "", "numbers of clients' actions to leave out, with commas")
	without = flag.String("without", "", "kinds of faults to leave out, with commas")
)

func config(t *testing.T) sim.Config {
	t.Helper()
	source, err := os.ReadFile(filepath.Join("..", "..", "template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := template.Read("template.yaml", source, template.Options{Parameters: map[string]string{
		"AuthMode": "oidc", "Issuer": "https://issuer.example", "Audience": "paylane", "MaxAttempts": "3", "PaymentConcurrency": "2",
	}})
	if err != nil {
		t.Fatal(err)
	}
	c := sim.Config{Template: parsed, Attempts: 3, Omit: map[int]bool{}}
	for name := range strings.SplitSeq(*without, ",") {
		if name != "" && !c.Leave(name) {
			t.Fatalf("-without=%s: there is no fault %q", *without, name)
		}
	}
	for number := range strings.SplitSeq(*omit, ",") {
		if n, err := strconv.Atoi(number); err == nil {
			c.Omit[n] = true
		}
	}
	return c
}

// TestSim runs seeds. The first that fails is made smaller, and printed with the command that runs
// it again.
func TestSim(t *testing.T) { runSeeds(t, config(t), few(*seeds)) }

// few is what is run of so many in short mode, as under the race detector.
func few(n int) int {
	if testing.Short() {
		return (n + 9) / 10
	}
	return n
}

// TestEmbedded runs seeds on the embedded store, and cuts the power.
func TestEmbedded(t *testing.T) {
	c := config(t)
	c.Embedded = true
	runSeeds(t, c, few((*seeds+9)/10))
}

// TestAdaptersAgree: where no fault and no race decides, an order ends the same on the embedded
// store as on the models of DynamoDB and SQS.
func TestAdaptersAgree(t *testing.T) {
	c := config(t)
	c.Calm = true
	embedded := c
	embedded.Embedded = true
	for s := range uint64(few(30)) {
		one, other := sim.Run(t, s, c), sim.Run(t, s, embedded)
		if diff := cmp.Diff(one.Ends, other.Ends); diff != "" || len(one.Ends) == 0 {
			t.Errorf("seed %d ends otherwise on the embedded store (-model +embedded):\n%s", s, diff)
		}
		if one.Failure+other.Failure != "" {
			t.Errorf("seed %d: %s, %s", s, one.Failure, other.Failure)
		}
	}
}

func runSeeds(t *testing.T, c sim.Config, seeds int) {
	t.Helper()
	first := *seed
	if first == 0 {
		first = rand.Uint64() >> 16
	}
	began := time.Now()
	var next, failed atomic.Int64
	var mu sync.Mutex
	total := tally{ends: map[order.Status]int{}}
	t.Run("seeds", func(t *testing.T) {
		for worker := range min(runtime.GOMAXPROCS(0), seeds) {
			t.Run(strconv.Itoa(worker), func(t *testing.T) {
				t.Parallel()
				for {
					i := next.Add(1) - 1
					if i >= int64(seeds) || failed.Load() > 0 {
						return
					}
					s := first + uint64(i)
					r := sim.Run(t, s, c)
					if *trace {
						t.Logf("seed %d\n%s", s, r.Trace)
					}
					mu.Lock()
					total.add(r)
					mu.Unlock()
					if r.Failure != "" && failed.Add(1) == 1 {
						report(t, s, c, r)
					}
				}
			})
		}
	})
	t.Logf("seeds %d to %d: %v in %v", first, first+uint64(seeds)-1, &total, time.Since(began).Round(time.Millisecond))
	// A run in which nothing happens shows nothing.
	if failed.Load() == 0 && seeds >= 100 && (total.ends[order.Paid] == 0 || total.ends[order.Failed] == 0 || total.ends[order.Canceled] == 0 || total.ends[order.Refunded] == 0) {
		t.Errorf("the runs reached only %v", total.ends)
	}
}

// tally is what came of many runs.
type tally struct {
	runs, steps, orders, undecided int
	virtual                        time.Duration
	ends                           map[order.Status]int
}

func (a *tally) add(r sim.Result) {
	a.runs++
	if r.Undecided {
		a.undecided++
	}
	a.steps += r.Steps
	a.virtual += r.Took
	for status, n := range r.Orders {
		a.orders += n
		a.ends[status] += n
	}
}

func (a *tally) String() string {
	return fmt.Sprintf("%d runs, %d steps, %d orders %v, %v of virtual time, %d histories undecided",
		a.runs, a.steps, a.orders, a.ends, a.virtual.Round(time.Second), a.undecided)
}

// report prints a failure, as small as it can be made.
func report(t *testing.T, s uint64, c sim.Config, r sim.Result) {
	t.Helper()
	smaller := c
	if *shrink {
		smaller, r = sim.Shrink(t, s, c, r)
	}
	lines := strings.Split(strings.TrimSpace(string(r.Trace)), "\n")
	if most := 80; len(lines) > most && !*trace {
		lines = append([]string{fmt.Sprintf("(%d lines before)", len(lines)-most)}, lines[len(lines)-most:]...)
	}
	name, _, _ := strings.Cut(t.Name(), "/")
	var left []string
	for n := range smaller.Omit {
		left = append(left, strconv.Itoa(n))
	}
	slices.Sort(left)
	t.Errorf("seed %d failed: %s\n\nfaults: %s\n\n%s\n\nTo run it again:\n"+
		"go test ./shared/sim -run '%s$' -args -seed=%d -seeds=1 -trace -without=%s -omit=%s",
		s, r.Failure, r.Faults, strings.Join(lines, "\n"), name, s, smaller.Left(), strings.Join(left, ","))
}

// TestSameTrace: one seed gives one trace, byte for byte, however goroutines happen to run.
func TestSameTrace(t *testing.T) {
	c := config(t)
	for s := range uint64(few(10)) {
		t.Run(strconv.FormatUint(s, 10), func(t *testing.T) {
			t.Parallel()
			first := sim.Run(t, s, c)
			for range 50 {
				if again := sim.Run(t, s, c); !bytes.Equal(again.Trace, first.Trace) {
					t.Fatal(difference(first.Trace, again.Trace))
				}
			}
		})
	}
}

// difference shows where two traces part.
func difference(a, b []byte) string {
	one, other := strings.Split(string(a), "\n"), strings.Split(string(b), "\n")
	for i := range min(len(one), len(other)) {
		if one[i] != other[i] {
			return fmt.Sprintf("line %d is\n%s\nand then\n%s", i+1, strings.Join(one[max(0, i-3):i+1], "\n"), strings.Join(other[max(0, i-3):i+1], "\n"))
		}
	}
	return fmt.Sprintf("one has %d lines, the other %d", len(one), len(other))
}
