package functions_test

import (
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"paylane/shared/emulator/template"
	"paylane/shared/job"
)

// overrides reads the parameters that samconfig.toml sets for an environment.
func overrides(t *testing.T, environment string) map[string]string {
	t.Helper()
	text, err := os.ReadFile("../samconfig.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(text), "["+environment+".deploy.parameters]")
	section, _, _ = strings.Cut(section, "\n[")
	list := regexp.MustCompile(`parameter_overrides = "([^"]*)"`).FindStringSubmatch(section)
	if !found || list == nil {
		t.Fatalf("samconfig.toml has no parameter_overrides for %s", environment)
	}
	parameters := make(map[string]string)
	for _, pair := range strings.Fields(list[1]) {
		name, value, _ := strings.Cut(pair, "=")
		parameters[name] = value
	}
	return parameters
}

// parameter is a parameter as template.yaml declares it.
type parameter struct {
	Default  any  `yaml:"Default"`
	MinValue *int `yaml:"MinValue"`
	MaxValue *int `yaml:"MaxValue"`
}

func declared(t *testing.T) map[string]parameter {
	t.Helper()
	var root struct {
		Parameters map[string]parameter `yaml:"Parameters"`
	}
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	return root.Parameters
}

// TestReceives: for all values of MaxAttempts and Patience that the template takes, an order
// is decided by its attempts, and not because its message was received too often or grew too
// old. The pauses are the longest and the shortest that job.Backoff can choose, and chance in
// between.
func TestReceives(t *testing.T) {
	read := read(t)
	queue, _ := read.Queue("PaymentQueue")
	attempts, patience := declared(t)["MaxAttempts"], declared(t)["Patience"]
	if attempts.MaxValue == nil || patience.MaxValue == nil || *attempts.MinValue < 1 || *patience.MinValue < 0 {
		t.Fatal("MaxAttempts and Patience have no bounds")
	}
	longest := time.Duration(*patience.MaxValue) * time.Second
	const fraction = 4
	receives := queue.MaxReceiveCount / fraction
	if *attempts.MaxValue > receives {
		t.Errorf("%d attempts, %d receives", *attempts.MaxValue, queue.MaxReceiveCount)
	}
	if p := chanceWithin(longest, receives); p > 1e-12 {
		t.Errorf("in %v an order has more than %d receives with a chance of %g", longest, receives, p)
	} else {
		t.Logf("in %v an order has more than %d of %d receives with a chance of %.2g", longest, receives, queue.MaxReceiveCount, p)
	}
	if throttled := time.Duration(queue.MaxReceiveCount) * queue.VisibilityTimeout; throttled < longest {
		t.Errorf("a message whose every batch is throttled is a dead letter after %v, before the patience of %v is over", throttled, longest)
	}
	most := func(n int) int { return n - 1 }
	if slowest := time.Duration(queue.MaxReceiveCount) * job.Backoff(queue.MaxReceiveCount, most); queue.Retention <= slowest {
		t.Errorf("a message can be received for %v, and is kept for %v", slowest, queue.Retention)
	}
	if queue.MaxReceiveCount > 1000 {
		t.Errorf("SQS takes a maxReceiveCount of 1,000 at most, not %d", queue.MaxReceiveCount)
	}
}

// chanceWithin is how likely the first n pauses after an attempt, each chosen by chance alone,
// are over within a time.
func chanceWithin(limit time.Duration, n int) float64 {
	seconds := int(limit / time.Second)
	at := make([]float64, seconds) // at[s]: that so far they took s seconds
	at[0] = 1
	for i := 1; i <= n; i++ {
		ceiling := int(job.Backoff(i, func(n int) int { return n - 1 }) / time.Second)
		next := make([]float64, seconds)
		var window float64 // the sum of at[s-ceiling:s]
		for s := 1; s < seconds; s++ {
			window += at[s-1]
			if s > ceiling {
				window -= at[s-1-ceiling]
			}
			next[s] = max(window, 0) / float64(ceiling)
		}
		at = next
	}
	var sum float64
	for _, p := range at {
		sum += p
	}
	return sum
}

// TestDefaults: without parameters an order has three attempts, whatever they take; production
// has hours, and concurrency of its own, out of an account's usual 1,000.
func TestDefaults(t *testing.T) {
	environment := func(parameters map[string]string) (map[string]string, *template.Template) {
		read := readWith(t, parameters)
		payment, _ := read.Function("Payment")
		return payment.Environment, read
	}
	if e, _ := environment(nil); e["MAX_ATTEMPTS"] != "3" || e["PATIENCE"] != "0" {
		t.Errorf("by default MAX_ATTEMPTS is %q and PATIENCE %q", e["MAX_ATTEMPTS"], e["PATIENCE"])
	}
	e, prod := environment(overrides(t, "prod"))
	if patience, err := strconv.Atoi(e["PATIENCE"]); err != nil || patience < 3600 {
		t.Errorf("in production PATIENCE is %q, want hours", e["PATIENCE"])
	}
	reserved := 0
	for _, name := range []string{"Api", "Payment", "DeadLetter", "Stream"} {
		function, _ := prod.Function(name)
		if function.ReservedConcurrency == nil || *function.ReservedConcurrency < 1 {
			t.Errorf("in production %s has no concurrency of its own", name)
			continue
		}
		reserved += *function.ReservedConcurrency
		for _, m := range prod.Mappings {
			if m.Function == name && *function.ReservedConcurrency <= m.MaxConcurrency {
				t.Errorf("%s has %d, and %d batches at a time: they would be throttled", name, *function.ReservedConcurrency, m.MaxConcurrency)
			}
		}
	}
	if reserved > 900 {
		t.Errorf("in production %d executions are reserved: an account with 1,000 must keep 100", reserved)
	}
}

// TestRules: the template's rules refuse a stack on AWS that would show all orders to everyone,
// or say that orders are PAID that nobody was charged for, unless it is said to be for
// development.
func TestRules(t *testing.T) {
	with := func(base map[string]string, pairs ...string) map[string]string {
		set := make(map[string]string)
		for name, value := range base {
			set[name] = value
		}
		for i := 0; i < len(pairs); i += 2 {
			set[pairs[i]] = pairs[i+1]
		}
		return set
	}
	dev, prod := overrides(t, "dev"), overrides(t, "prod")
	for _, tt := range []struct {
		name       string
		parameters map[string]string
		refused    string
	}{
		{"nothing is said", nil, "PaidIsCharged"},
		{"dev, as in samconfig.toml", dev, ""},
		{"prod, as in samconfig.toml", prod, "PaidIsCharged"},
		{"prod with the simulator", with(prod, "Gateway", "simulator"), "PaidIsCharged"},
		{"prod with a real gateway", with(prod, "Gateway", "real"), ""},
		{"on one machine", with(nil, "EndpointUrl", "http://127.0.0.1:4566", "AuthMode", "none"), ""},
		{"dev without tokens", with(dev, "AuthMode", "none"), "NobodyIsAskedOnOneMachineOnly"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := refusedBy(t, tt.parameters); got != tt.refused {
				t.Errorf("refused by %q, want %q", got, tt.refused)
			}
		})
	}
}

// refusedBy evaluates the template's rules, as CloudFormation does before it creates anything,
// and returns the name of one that the parameters break.
func refusedBy(t *testing.T, parameters map[string]string) string {
	t.Helper()
	var root struct {
		Rules map[string]struct {
			RuleCondition yaml.Node `yaml:"RuleCondition"`
			Assertions    []struct {
				Assert yaml.Node `yaml:"Assert"`
			} `yaml:"Assertions"`
		} `yaml:"Rules"`
	}
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	known := declared(t)
	var value func(n *yaml.Node) string
	value = func(n *yaml.Node) string {
		arguments := make([]string, len(n.Content))
		for i, argument := range n.Content {
			arguments[i] = value(argument)
		}
		switch n.Tag {
		case "!Ref":
			if set, ok := parameters[n.Value]; ok {
				return set
			}
			text, ok := known[n.Value].Default.(string)
			if !ok {
				t.Fatalf("a rule refers to %s", n.Value)
			}
			return text
		case "!Equals":
			return strconv.FormatBool(arguments[0] == arguments[1])
		case "!Not":
			return strconv.FormatBool(arguments[0] == "false")
		case "!Or":
			return strconv.FormatBool(strings.Contains(strings.Join(arguments, " "), "true"))
		case "!!str":
			return n.Value
		}
		t.Fatalf("a rule has the unknown %s", n.Tag)
		return ""
	}
	if len(root.Rules) == 0 {
		t.Fatal("the template has no rules")
	}
	for name, rule := range root.Rules {
		for _, a := range rule.Assertions {
			if value(&rule.RuleCondition) == "true" && value(&a.Assert) != "true" {
				return name
			}
		}
	}
	return ""
}
