package template

import "time"

// asyncInvokes reads EventInvokeConfig. Its limits and defaults are those of
// "PutFunctionEventInvokeConfig" in the Lambda API reference.
func (r *reader) asyncInvokes(p *properties) AsyncInvokes {
	config := p.inner("EventInvokeConfig", typeFunction+" EventInvokeConfig")
	destinations := config.inner("DestinationConfig", typeFunction+" EventInvokeConfig DestinationConfig")
	async := AsyncInvokes{
		MaxRetries: config.integer("MaximumRetryAttempts", 2, 0, 2),
		MaxAge:     config.seconds("MaximumEventAgeInSeconds", int(6*time.Hour/time.Second), 60, int(6*time.Hour/time.Second)),
		OnSuccess:  r.destination(destinations, "OnSuccess"),
		OnFailure:  r.destination(destinations, "OnFailure"),
	}
	destinations.done()
	config.done()
	return async
}

// destination returns the logical id of the queue that receives the records. SAM would
// create a queue if none is named.
func (r *reader) destination(destinations *properties, key string) string {
	p := destinations.inner(key, typeFunction+" EventInvokeConfig Destination")
	defer p.done()
	if p.n == nil {
		return ""
	}
	if kind := p.required("Type"); kind != "SQS" {
		if kind != "" {
			p.problem("Type", "destinations of type %s are not emulated; the type can be SQS", quote(kind))
		}
		p.asked["Destination"] = true
		return ""
	}
	arn := p.required("Destination")
	q, ok := r.queueByARN(arn)
	if !ok && arn != "" {
		p.problem("Destination", "no queue of this template has the ARN %s", quote(arn))
	}
	return q.LogicalID
}
