package template

import (
	"fmt"
	"time"

	"paylane/shared/emulator/filter"
)

// readQueueEvent reads an SQS event of a function.
func (r *reader) readQueueEvent(id string, at *node, p *properties, f Function) {
	queue := p.required("Queue")
	m := r.mappingSettings(id, at, p)
	m.Function = f.LogicalID
	r.mappingQueue(&m, p, "Queue", queue)
	p.done()
	r.addMapping(m)
}

// readMapping reads an event source mapping that was written by hand.
func (r *reader) readMapping(res *resource) {
	p := r.propertiesOfResource(res)
	queue := p.required("EventSourceArn")
	name := p.required("FunctionName")
	m := r.mappingSettings(res.id, res.at, p)
	if f, ok := r.functionNamed(name); ok {
		m.Function = f.LogicalID
	} else if name != "" {
		p.problem("FunctionName", "no function of this template is called %s", quote(name))
	}
	r.mappingQueue(&m, p, "EventSourceArn", queue)
	p.done()
	r.addMapping(m)
}

// addMapping adds a mapping whose queue and function are known.
func (r *reader) addMapping(m Mapping) {
	if m.Queue != "" && m.Function != "" {
		r.made.Mappings = append(r.made.Mappings, m)
	}
}

func (r *reader) mappingQueue(m *Mapping, p *properties, key, arn string) {
	q, ok := r.queueByARN(arn)
	if !ok && arn != "" {
		p.problem(key, "no queue of this template has the ARN %s", quote(arn))
	}
	m.Queue = q.LogicalID
}

// mappingSettings reads the settings that both ways of writing a mapping share
// ("CreateEventSourceMapping" in the Lambda API reference).
func (r *reader) mappingSettings(id string, at *node, p *properties) Mapping {
	m := Mapping{
		LogicalID: id,
		Enabled:   p.boolean("Enabled", true),
		BatchSize: p.integer("BatchSize", 10, 1, 10_000),
		Window:    p.seconds("MaximumBatchingWindowInSeconds", 0, 0, 300),
		Line:      at.line,
	}
	if m.BatchSize > 10 && m.Window == 0 {
		p.problem("BatchSize", "Maximum batch window in seconds must be greater than 0 if maximum batch size is greater than 10")
	}
	for _, kind := range p.texts("FunctionResponseTypes") {
		if kind != "ReportBatchItemFailures" {
			p.problem("FunctionResponseTypes", "%s is not supported; it can be ReportBatchItemFailures", quote(kind))
		}
		m.ReportBatchItemFailures = true
	}
	scaling := p.inner("ScalingConfig", typeMapping+" ScalingConfig")
	m.MaxConcurrency = scaling.integer("MaximumConcurrency", 0, 2, 1000)
	scaling.done()
	if m.MaxConcurrency > 0 && p.n.get("ProvisionedPollerConfig") != nil {
		p.problem("ProvisionedPollerConfig", "it can't be combined with ScalingConfig")
	}
	m.Filters = r.filters(p)
	return m
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

// checkMappings checks each mapping against its queue and function, as Lambda does when
// it creates one.
func (r *reader) checkMappings() {
	type pair struct{ function, queue string }
	seen := map[pair]bool{}
	for _, m := range r.made.Mappings {
		q, ok1 := r.made.Queue(m.Queue)
		f, ok2 := r.made.Function(m.Function)
		if !ok1 || !ok2 {
			continue
		}
		at, path := &node{line: m.Line}, "mapping "+m.LogicalID
		if q.VisibilityTimeout < f.Timeout {
			r.add(at, path, "Queue visibility timeout: %d seconds is less than Function timeout: %d seconds",
				q.VisibilityTimeout/time.Second, f.Timeout/time.Second)
		}
		if seen[pair{m.Function, m.Queue}] {
			r.add(at, path, "there is already an event source mapping from %s to %s", m.Queue, m.Function)
		}
		seen[pair{m.Function, m.Queue}] = true
	}
}
