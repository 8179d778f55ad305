package model_test

import (
	"cmp"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/contract"
	"paylane/shared/order"
	"paylane/shared/queue"
	"paylane/shared/sim/model"
)

func TestStore(t *testing.T) {
	contract.RunStore(t, func(*testing.T) order.Store { return model.NewTable(time.Now) })
}

func TestScanner(t *testing.T) {
	contract.RunScanner(t, func(*testing.T) contract.ScanStore { return model.NewTable(time.Now) })
}

func TestDocuments(t *testing.T) {
	contract.RunDocuments(t, func(*testing.T) contract.Documents { return model.NewTable(time.Now) })
}

func config(name string) model.QueueConfig {
	return model.QueueConfig{
		Name: name, ARN: "arn:aws:sqs:us-east-1:000000000000:" + name, Visibility: 30 * time.Second, Retention: 4 * 24 * time.Hour,
		MaxMessageBytes: queue.MaxBodyBytes, Now: time.Now,
	}
}

// TestQueue runs the suite on a queue that delivers in order, and on one that never does.
func TestQueue(t *testing.T) {
	for name, pick := range map[string]func(int) int{"oldest first": nil, "newest first": func(n int) int { return n - 1 }} {
		t.Run(name, func(t *testing.T) {
			contract.RunQueue(t, func(_ *testing.T, c contract.QueueConfig) contract.OpenQueue {
				of := config("queue")
				of.Visibility = cmp.Or(c.VisibilityTimeout, of.Visibility)
				of.Retention = cmp.Or(c.Retention, of.Retention)
				of.MaxMessageBytes = cmp.Or(c.MaxMessageBytes, of.MaxMessageBytes)
				of.Delay, of.Pick = c.Delay, pick
				opened := contract.OpenQueue{ARN: of.ARN}
				if c.MaxReceiveCount > 0 {
					dead := model.NewQueue(config("dead"))
					of.DeadLetters, of.MaxReceives, opened.DeadLetter = dead, c.MaxReceiveCount, dead
				}
				opened.Queue = model.NewQueue(of)
				return opened
			}, contract.QueueOptions{Run: synctest.Test})
		})
	}
}

func TestGateway(t *testing.T) {
	contract.RunGateway(t, model.NewGateway(time.Now), "tok_none")
}

// TestAgain: what SQS may do to a message besides delivering it once.
func TestAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead := model.NewQueue(config("dead"))
		c := config("queue")
		c.DeadLetters, c.MaxReceives = dead, 3
		q := model.NewQueue(c)
		id, _ := q.Send(t.Context(), "body", 0)
		receive := func(from *model.Queue) queue.Message {
			got, err := from.Receive(t.Context(), queue.ReceiveRequest{Max: 1})
			if err != nil || len(got) != 1 || got[0].Body != "body" {
				t.Fatalf("received %+v, %v", got, err)
			}
			return got[0]
		}
		first := receive(q)
		q.Redeliver(id)
		second := receive(q)
		if second.ReceiveCount() != 2 {
			t.Errorf("redelivered as receive %d", second.ReceiveCount())
		}
		if _, err := q.Delete(t.Context(), []string{first.ReceiptHandle}); err != nil || len(q.Messages()) != 1 {
			t.Errorf("an older receive's handle deleted: %v", err)
		}
		if _, err := q.Delete(t.Context(), []string{second.ReceiptHandle}); err != nil || len(q.Messages()) != 0 {
			t.Errorf("not deleted: %v", err)
		}
		if body, ok := q.Revive(0); !ok || body != "body" {
			t.Error("it does not come back")
		}
		receive(q)
		q.Redeliver(id)
		if got, _ := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1}); len(got) != 0 {
			t.Errorf("received a fourth time: %+v", got)
		}
		if held := dead.Messages(); len(held) != 1 || held[0].MessageID != id || held[0].Receives != 3 {
			t.Errorf("the dead letters are %+v", held)
		}
		if n := dead.Redrive(t.Context(), q); n != 1 {
			t.Errorf("%d messages were sent back", n)
		}
		if again := receive(q); again.ReceiveCount() != 1 || again.MessageID == id {
			t.Errorf("it came back as %+v, want a new message", again)
		}
	})
}

// TestRestore: a table is again what it was at its backup.
func TestRestore(t *testing.T) {
	table := model.NewTable(time.Now)
	o := order.New(order.Ref{Tenant: "t", ID: order.KeyedID("t", "k")}, order.Request{Amount: 1}, "", time.Now())
	if err := table.Create(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	backup := table.Snapshot()
	canceled, err := o.Cancel(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := table.Update(t.Context(), canceled); err != nil {
		t.Fatal(err)
	}
	table.Restore(backup)
	if got, err := table.Get(t.Context(), o.Ref); err != nil || got.Status != order.Pending {
		t.Errorf("restored: %v, %v", got.Status, err)
	}
	if len(table.Orders()) != 1 {
		t.Errorf("%d orders", len(table.Orders()))
	}
}
