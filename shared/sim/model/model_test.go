package model_test

import (
	"cmp"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"paylane/shared/contract"
	"paylane/shared/gateway"
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

// TestStripesRules: what Stripe's stand-in does, a gateway of this package does.
func TestStripesRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, tt := range []struct {
			name    string
			effects []model.Effect
			rest    time.Duration // before the last call
			// errs are those of each call; nil is a receipt.
			errs  []error
			books int
		}{
			{"a 429 is not stored", []model.Effect{model.Unavailable, model.ByToken}, 0, []error{gateway.ErrUnavailable, nil}, 1},
			{"a lost answer of what acted", []model.Effect{model.NoAnswerActed, model.ByToken}, 0, []error{errUnknown, nil}, 1},
			{"a lost answer of what did not", []model.Effect{model.NoAnswer, model.ByToken}, 0, []error{errUnknown, nil}, 1},
			{"a 500 is stored", []model.Effect{model.StoredError, model.ByToken, model.ByToken}, 0, []error{errUnknown, errUnknown, errUnknown}, 0},
			{"so is one of what acted", []model.Effect{model.StoredErrorActed, model.ByToken}, 0, []error{errUnknown, errUnknown}, 1},
			{"until the key expires", []model.Effect{model.StoredError, model.ByToken}, model.KeyLife, []error{errUnknown, nil}, 1},
			{"which forgets no charge", []model.Effect{model.StoredErrorActed, model.ByToken}, model.KeyLife, []error{errUnknown, nil}, 1},
		} {
			g := model.NewGateway(time.Now)
			n := 0
			g.Decide = func(gateway.Request, model.Call, int) model.Effect { return tt.effects[n] }
			r := gateway.Request{Key: "k.1", Order: order.Ref{Tenant: "t", ID: "o"}, Money: order.Money{Amount: 5, Currency: "USD"}, Token: "tok_ok"}
			for n = range tt.errs {
				if n == len(tt.errs)-1 {
					time.Sleep(tt.rest)
				}
				receipt, err := g.Charge(t.Context(), r)
				if want := tt.errs[n]; !matches(err, want) || (err == nil) != (receipt.Ref != "") {
					t.Errorf("%s: call %d: %v, %v, want %v", tt.name, n+1, receipt, err, want)
				}
			}
			if got := len(g.Books()); got != tt.books {
				t.Errorf("%s: %d charges, want %d", tt.name, got, tt.books)
			}
			other := r
			other.Money.Amount++
			if _, err := g.Charge(t.Context(), other); err == nil || len(g.Violations()) != 1 {
				t.Errorf("%s: another amount under the key: %v, %v", tt.name, err, g.Violations())
			}
		}
	})
}

var errUnknown = errors.New("an unknown outcome")

func matches(err, want error) bool {
	declined := new(gateway.DeclinedError)
	if want == errUnknown { //nolint:errorlint // a mark
		return err != nil && !errors.Is(err, gateway.ErrUnavailable) && !errors.As(err, &declined)
	}
	return errors.Is(err, want)
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
