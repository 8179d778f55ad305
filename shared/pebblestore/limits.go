package pebblestore

import (
	"fmt"
	"time"

	"paylane/shared/queue"
)

func invalid(format string, args ...any) *queue.RequestError {
	return &queue.RequestError{Code: "InvalidParameterValue", Message: fmt.Sprintf(format, args...)}
}

// check checks the settings against SQS's limits (API reference, CreateQueue).
func (c QueueConfig) check() error {
	within := func(name string, v, low, high time.Duration) error {
		if v < low || v > high {
			return fmt.Errorf("%s is %v and must be %v to %v", name, v, low, high)
		}
		return nil
	}
	switch {
	case c.Name == "":
		return fmt.Errorf("a queue needs a name")
	case c.MaxMessageBytes < 1024 || c.MaxMessageBytes > queue.MaxBodyBytes:
		return fmt.Errorf("MaxMessageBytes is %d and must be 1024 to %d", c.MaxMessageBytes, queue.MaxBodyBytes)
	case (c.DeadLetterQueue != "") != (c.MaxReceiveCount != 0):
		return fmt.Errorf("DeadLetterQueue and MaxReceiveCount need each other")
	case c.MaxReceiveCount < 0 || c.MaxReceiveCount > 1000:
		return fmt.Errorf("MaxReceiveCount is %d and must be 1 to 1000", c.MaxReceiveCount)
	}
	for _, err := range []error{
		within("VisibilityTimeout", c.VisibilityTimeout, 0, queue.MaxVisibility),
		within("Retention", c.Retention, time.Minute, 14*24*time.Hour),
		within("Delay", c.Delay, 0, queue.MaxDelay),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}
