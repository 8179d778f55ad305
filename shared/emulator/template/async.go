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
	if p.n == nil {
		return ""
	}
	return r.destinationQueue(p, p.required("Type"))
}

// destinationQueue reads the rest of a destination of a type, empty if that has a problem:
// the queue's logical id.
func (r *reader) destinationQueue(p *properties, typ string) string {
	defer p.done()
	if typ != "SQS" {
		if typ != "" {
			p.problem("Type", "destinations of type %s are not emulated; the type can be SQS", quote(typ))
		}
		p.asked["Destination"] = true
		return ""
	}
	return r.queueNamed(p, "Destination")
}
