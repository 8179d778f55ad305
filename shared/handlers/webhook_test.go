package handlers_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/webhook"
)

// TestFanoutReports: of a batch the first record that failed is reported, and what follows it is not
// told before it comes again.
func TestFanoutReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, queue := pebbletest.Open(t, time.Minute)
		services, sent := handlerstest.Services(store, queue), 0
		services.Queue = func(string) (handlers.Queue, error) {
			return sending{queue, func() error {
				if sent++; sent == 2 {
					return order.ErrUnavailable
				}
				return nil
			}}, nil
		}
		garbled := errors.New("not an order")
		services.Image = func(image map[string]events.DynamoDBAttributeValue) (order.Order, error) {
			switch name := image["order"].String(); name {
			case "garbled":
				return order.Order{}, garbled
			default:
				return order.Order{Ref: order.Ref{Tenant: "t", ID: name}, Status: order.Status(image["status"].String()), UpdatedAt: time.Now()}, nil
			}
		}
		endpoints := webhook.NewEndpoints(webhook.EndpointsConfig{
			Documents: store, Queue: queue, CheckURL: func(string) error { return nil }, Now: time.Now,
			NewID: func() (string, error) { return "01900000-0000-7000-8000-000000000001", nil },
		})
		if _, err := endpoints.Create(t.Context(), "t", "https://a.example/", nil); err != nil {
			t.Fatal(err)
		}
		image := func(name string, status order.Status) map[string]events.DynamoDBAttributeValue {
			return map[string]events.DynamoDBAttributeValue{
				"order": events.NewStringAttribute(name), "status": events.NewStringAttribute(string(status)),
			}
		}
		batch := func(changes ...events.DynamoDBStreamRecord) events.DynamoDBEvent {
			var e events.DynamoDBEvent
			for i, c := range changes {
				c.SequenceNumber = strconv.Itoa(100 + i)
				e.Records = append(e.Records, events.DynamoDBEventRecord{Change: c})
			}
			return e
		}
		paid := func(name string) events.DynamoDBStreamRecord {
			return events.DynamoDBStreamRecord{OldImage: image(name, order.Processing), NewImage: image(name, order.Paid)}
		}
		deleted := events.DynamoDBStreamRecord{OldImage: image("d", order.Paid)}
		unreadable := events.DynamoDBStreamRecord{NewImage: image("garbled", order.Paid)}
		handle := handlerstest.Must[handlers.TableStreamHandler](t)(handlers.Fanout(handlerstest.Environment(), services))
		for _, tt := range []struct {
			name   string
			event  events.DynamoDBEvent
			failed []events.DynamoDBBatchItemFailure
			sent   int // calls of the queue
		}{
			{"no record", batch(), []events.DynamoDBBatchItemFailure{}, 0},
			{"the queue refuses the second", batch(paid("a"), paid("b"), paid("c")), []events.DynamoDBBatchItemFailure{{ItemIdentifier: "101"}}, 2},
			{"it takes them", batch(paid("b"), deleted, paid("c")), []events.DynamoDBBatchItemFailure{}, 4},
			{"one is unreadable", batch(paid("a"), unreadable, paid("c")), []events.DynamoDBBatchItemFailure{{ItemIdentifier: "101"}}, 5},
		} {
			response, err := handle(t.Context(), tt.event)
			if diff := cmp.Diff(tt.failed, response.BatchItemFailures); diff != "" || err != nil || sent != tt.sent {
				t.Errorf("%s: %v, sent %d, want %d (-want +got):\n%s", tt.name, err, sent, tt.sent, diff)
			}
		}
	})
}

// sending is a queue that may refuse a message.
type sending struct {
	handlers.Queue
	send func() error
}

func (s sending) Send(ctx context.Context, body string, delay time.Duration) (string, error) {
	if err := s.send(); err != nil {
		return "", err
	}
	return s.Queue.Send(ctx, body, delay)
}

// TestQueues: each function opens the queues that it sends to and takes from by their own URLs.
func TestQueues(t *testing.T) {
	store, queue := pebbletest.Open(t, time.Minute)
	services := handlerstest.Services(store, queue)
	var opened []string
	services.Queue = func(url string) (handlers.Queue, error) {
		opened = append(opened, url)
		return queue, nil
	}
	e := handlerstest.Environment()
	for name, tt := range map[string]struct {
		construct func() error
		want      []string
	}{
		"payment":    {func() error { _, err := handlers.Payment(e, services); return err }, []string{"payments"}},
		"deadletter": {func() error { _, err := handlers.DeadLetter(e, services); return err }, []string{"payments", "dead-letters"}},
		"fanout":     {func() error { _, err := handlers.Fanout(e, services); return err }, []string{"webhooks"}},
		"webhook":    {func() error { _, err := handlers.Webhook(e, services); return err }, []string{"webhooks"}},
		"reconcile":  {func() error { _, err := handlers.Reconcile(e, services); return err }, []string{"reconcile"}},
	} {
		opened = nil
		if err := tt.construct(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(tt.want, opened); diff != "" {
			t.Errorf("%s: the queues (-want +got):\n%s", name, diff)
		}
	}
}
