package template

import (
	"encoding/json"
	"regexp"
	"slices"
)

var queueName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,80}$`)

func (r *reader) readQueue(res *resource) {
	p := r.propertiesOfResource(res)
	p.asked["QueueName"] = true
	name, ok := r.physicalName(res.at, p.path, res)
	if !ok {
		return
	}
	if p.boolean("FifoQueue", false) {
		p.problem("FifoQueue", "FIFO queues are not emulated")
	} else if !queueName.MatchString(name) {
		p.problem("QueueName", "%s is not a valid queue name: it can have up to 80 letters, digits, - and _", quote(name))
	}
	q := Queue{
		LogicalID:         res.id,
		Name:              name,
		ARN:               r.fill(returns[typeQueue].attributes["Arn"], res, name),
		URL:               r.fill("{url}", res, name),
		VisibilityTimeout: p.seconds("VisibilityTimeout", 30, 0, 43_200),
		Retention:         p.seconds("MessageRetentionPeriod", 345_600, 60, 1_209_600),
		Delay:             p.seconds("DelaySeconds", 0, 0, 900),
		ReceiveWait:       p.seconds("ReceiveMessageWaitTimeSeconds", 0, 0, 20),
		MaxMessageBytes:   p.integer("MaximumMessageSize", 1<<20, 1024, 1<<20),
		Line:              res.at.line,
	}
	// Both policies name queues that may not have been read yet: see checkQueues.
	p.asked["RedrivePolicy"], p.asked["RedriveAllowPolicy"] = true, true
	p.done()
	r.made.Queues = append(r.made.Queues, q)
}

// checkQueues reads the redrive policies once all queues are known.
func (r *reader) checkQueues() {
	names := map[string]string{}
	for i := range r.made.Queues {
		q := &r.made.Queues[i]
		res := r.resources[q.LogicalID]
		if other, taken := names[q.Name]; taken {
			r.add(res.at, res.path, "the queue %s has the same name: %s", other, quote(q.Name))
		}
		names[q.Name] = q.LogicalID
		r.readRedrive(res, q)
	}
	dead := map[string]bool{}
	for i := range r.made.Queues {
		r.checkRedriveAllow(&r.made.Queues[i])
		dead[r.made.Queues[i].DeadLetterQueue] = true
	}
	for _, q := range r.made.Queues {
		if !dead[q.LogicalID] {
			r.propertiesOfResource(r.resources[q.LogicalID]).skip("it is the dead-letter queue of none", "RedriveAllowPolicy")
		}
	}
}

func (r *reader) readRedrive(res *resource, q *Queue) {
	raw := r.jsonText(res.properties.get("RedrivePolicy"), res.path+".Properties.RedrivePolicy")
	p := r.propertiesOf(raw, res.at, res.path+".Properties.RedrivePolicy", typeQueue+" RedrivePolicy")
	if p.n == nil {
		return
	}
	target := p.required("deadLetterTargetArn")
	if p.n.get("maxReceiveCount") == nil {
		p.problem("maxReceiveCount", "it is required")
	}
	q.MaxReceiveCount = p.integer("maxReceiveCount", 0, 1, 1000)
	p.done()
	dead, ok := r.queueByARN(target)
	switch {
	case target == "": // already reported
	case !ok:
		p.problem("deadLetterTargetArn", "no queue of this template has the ARN %s", quote(target))
	case dead.LogicalID == q.LogicalID:
		p.problem("deadLetterTargetArn", "a queue can't be its own dead-letter queue")
	default:
		q.DeadLetterQueue = dead.LogicalID
	}
}

// checkRedriveAllow checks that the dead-letter queue's own policy allows the queue.
func (r *reader) checkRedriveAllow(q *Queue) {
	dead, ok := r.made.Queue(q.DeadLetterQueue)
	if !ok {
		return
	}
	res := r.resources[dead.LogicalID]
	path := res.path + ".Properties.RedriveAllowPolicy"
	policy := r.jsonText(res.properties.get("RedriveAllowPolicy"), path)
	p := r.propertiesOf(policy, res.at, path, typeQueue+" RedriveAllowPolicy")
	if p.n == nil {
		return
	}
	sources := p.texts("sourceQueueArns")
	switch p.choice("redrivePermission", "allowAll", "allowAll", "denyAll", "byQueue") {
	case "denyAll":
		p.problem("redrivePermission", "it denies being the dead-letter queue of %s", q.LogicalID)
	case "byQueue":
		if !slices.Contains(sources, q.ARN) && !p.invalid("sourceQueueArns") {
			p.problem("sourceQueueArns", "it does not name %s, whose dead-letter queue this is", q.LogicalID)
		}
	}
	p.done()
}

// jsonText lets a property that is JSON be written as a string of JSON, as CloudFormation
// does.
func (r *reader) jsonText(n *node, path string) *node {
	value := r.eval(n, path)
	if value == nil || value.kind != scalar {
		return value
	}
	if !json.Valid([]byte(value.text)) {
		return value
	}
	parsed, err := parse([]byte(value.text))
	if err != nil {
		return value
	}
	return moved(parsed, value)
}

// moved returns a tree that was parsed on its own, at the place of its text.
func moved(n, to *node) *node {
	made := *n
	made.line, made.column = to.line, to.column
	made.items, made.entries = slices.Clone(n.items), slices.Clone(n.entries)
	for i, item := range made.items {
		made.items[i] = moved(item, to)
	}
	for i, e := range made.entries {
		made.entries[i] = entry{key: e.key, at: to, value: moved(e.value, to)}
	}
	return &made
}

// queueNamed returns the logical id of the queue whose ARN is a required property.
func (r *reader) queueNamed(p *properties, key string) string {
	arn := p.required(key)
	q, ok := r.queueByARN(arn)
	if !ok && arn != "" {
		p.problem(key, "no queue of this template has the ARN %s", quote(arn))
	}
	return q.LogicalID
}

func (r *reader) queueByARN(arn string) (Queue, bool) {
	i := slices.IndexFunc(r.made.Queues, func(q Queue) bool { return q.ARN == arn })
	if i < 0 {
		return Queue{}, false
	}
	return r.made.Queues[i], true
}
