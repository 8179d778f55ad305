package template

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"paylane/shared/emulator/filter"
)

// readMapping reads an event source mapping that was written by hand.
func (r *reader) readMapping(res *resource) {
	p := r.propertiesOfResource(res)
	name := p.required("FunctionName")
	f, ok := r.functionNamed(name)
	if !ok && name != "" {
		p.problem("FunctionName", "no function of this template is called %s", quote(name))
	}
	if isStream(p) {
		p.typ = typeStreamMapping
		r.readStreamMapping(res.id, res.at, p, "EventSourceArn", f)
		return
	}
	r.readQueueMapping(res.id, res.at, p, "EventSourceArn", f)
}

// isStream reports whether a mapping's source is a stream. While the ARN is not known, a
// starting position tells: streams must have one, and queues can't.
func isStream(p *properties) bool {
	arn := p.text("EventSourceArn", "")
	if arn == "" {
		return p.n.get("StartingPosition") != nil
	}
	parts := strings.SplitN(arn, ":", 4)
	return len(parts) == 4 && parts[2] == "dynamodb"
}

// readQueueMapping reads a mapping whose property key is a queue's ARN.
func (r *reader) readQueueMapping(id string, at *node, p *properties, key string, f Function) {
	s := r.mappingSettings(p, 10)
	m := Mapping{
		LogicalID: id, Function: f.LogicalID, Queue: r.queueNamed(p, key),
		Enabled: s.enabled, BatchSize: s.batchSize, Window: s.window,
		ReportBatchItemFailures: s.report, Filters: s.filters,
		Line: at.line,
	}
	if m.BatchSize > 10 && m.Window == 0 {
		p.problem("BatchSize", "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")
	}
	scaling := p.inner("ScalingConfig", typeMapping+" ScalingConfig")
	m.MaxConcurrency = scaling.integer("MaximumConcurrency", 0, 2, 1000)
	scaling.done()
	if m.MaxConcurrency > 0 && p.n.get("ProvisionedPollerConfig") != nil {
		p.problem("ProvisionedPollerConfig", "it can't be combined with ScalingConfig")
	}
	p.done()
	if m.Queue != "" && m.Function != "" {
		r.made.Mappings = append(r.made.Mappings, m)
	}
}

// readStreamMapping reads a mapping whose property key is the ARN of a table's stream
// ("Lambda parameters for Amazon DynamoDB event source mappings", Lambda developer guide).
func (r *reader) readStreamMapping(id string, at *node, p *properties, key string, f Function) {
	s := r.mappingSettings(p, 100)
	m := StreamMapping{
		LogicalID: id, Function: f.LogicalID, Table: r.tableOfStream(p, key),
		Enabled: s.enabled, BatchSize: s.batchSize, Window: s.window,
		StartingPosition:        startingPosition(p, key),
		Parallelization:         p.integer("ParallelizationFactor", 1, 1, 10),
		MaxRetries:              p.integer("MaximumRetryAttempts", -1, -1, 10_000),
		MaxRecordAge:            maxRecordAge(p),
		Bisect:                  p.boolean("BisectBatchOnFunctionError", false),
		ReportBatchItemFailures: s.report, Filters: s.filters,
		OnFailure: r.onFailure(p),
		Line:      at.line,
	}
	p.done()
	if m.Table != "" && m.Function != "" && m.StartingPosition != "" {
		r.made.StreamMappings = append(r.made.StreamMappings, m)
	}
}

// mappingSettings are the settings of any mapping.
type mappingSettings struct {
	enabled   bool
	batchSize int
	window    time.Duration
	report    bool
	filters   []string
}

// mappingSettings reads the settings that mappings have whatever their source is
// ("CreateEventSourceMapping" in the Lambda API reference).
func (r *reader) mappingSettings(p *properties, batchSize int) mappingSettings {
	s := mappingSettings{
		enabled:   p.boolean("Enabled", true),
		batchSize: p.integer("BatchSize", batchSize, 1, 10_000),
		window:    p.seconds("MaximumBatchingWindowInSeconds", 0, 0, 300),
		filters:   r.filters(p),
	}
	for _, kind := range p.texts("FunctionResponseTypes") {
		if kind != "ReportBatchItemFailures" {
			p.problem("FunctionResponseTypes", "%s is not supported; it can be ReportBatchItemFailures", quote(kind))
		}
		s.report = true
	}
	return s
}

// filters reads FilterCriteria; each pattern is checked as Lambda does.
func (r *reader) filters(p *properties) []string {
	criteria := p.inner("FilterCriteria", typeMapping+" FilterCriteria")
	defer criteria.done()
	list := criteria.get("Filters")
	if list == nil {
		return nil
	}
	if len(list.items) > 10 {
		criteria.problem("Filters", "a mapping can have at most 10 filters")
	}
	var patterns []string
	for i, item := range list.items {
		one := r.propertiesOf(item, list, fmt.Sprintf("%s.Filters[%d]", criteria.path, i), typeMapping+" Filter")
		pattern := one.text("Pattern", "{}")
		one.done()
		if _, err := filter.Compile(pattern); err != nil {
			one.problem("Pattern", "Invalid filter pattern definition. (%v)", err)
			continue
		}
		patterns = append(patterns, pattern)
	}
	return patterns
}

// startingPosition reads where a mapping begins in a stream, which has no times to begin at;
// empty after a problem.
func startingPosition(p *properties, key string) string {
	if p.text("StartingPosition", "") == "AT_TIMESTAMP" {
		p.problem("StartingPosition", "Unsupported starting position for arn type: %s", p.text(key, ""))
		return ""
	}
	return p.requiredChoice("StartingPosition", "TRIM_HORIZON", "LATEST")
}

// maxRecordAge reads the age at which a mapping gives up a record; 0 is never, which a
// template writes as -1.
func maxRecordAge(p *properties) time.Duration {
	const key, never, least, most = "MaximumRecordAgeInSeconds", -1, 60, 604_800
	switch age := p.integer(key, never, never, most); {
	case age == never:
		return 0
	case age < least:
		p.problem(key, "%d is out of range: it can be %d, or %d to %d", age, never, least, most)
		return 0
	default:
		return time.Duration(age) * time.Second
	}
}

// onFailure reads the queue that learns what a mapping has given up. Its Type is SAM's, which
// needs it for the function's role only, so that it may be missing.
func (r *reader) onFailure(p *properties) string {
	destinations := p.inner("DestinationConfig", p.typ+" DestinationConfig")
	defer destinations.done()
	onFailure := destinations.inner("OnFailure", p.typ+" OnFailure")
	if onFailure.n == nil {
		return ""
	}
	typ := ""
	if p.typ != typeStreamMapping {
		typ = onFailure.text("Type", "")
	}
	return r.destinationQueue(onFailure, cmp.Or(typ, "SQS"))
}

// checkMappings checks each mapping against its source and function, as Lambda does when it
// creates one.
func (r *reader) checkMappings() {
	type pair struct{ function, source string }
	seen := map[pair]bool{}
	check := func(id string, line int, p pair) {
		if seen[p] {
			r.add(&node{line: line}, "mapping "+id, "there is already an event source mapping from %s to %s", p.source, p.function)
		}
		seen[p] = true
	}
	for _, m := range r.made.Mappings {
		q, ok1 := r.made.Queue(m.Queue)
		f, ok2 := r.made.Function(m.Function)
		if !ok1 || !ok2 {
			continue
		}
		if q.VisibilityTimeout < f.Timeout {
			r.add(&node{line: m.Line}, "mapping "+m.LogicalID, "Queue visibility timeout: %d seconds is less than Function timeout: %d seconds",
				q.VisibilityTimeout/time.Second, f.Timeout/time.Second)
		}
		check(m.LogicalID, m.Line, pair{m.Function, m.Queue})
	}
	for _, m := range r.made.StreamMappings {
		check(m.LogicalID, m.Line, pair{m.Function, m.Table})
	}
}
