//go:build integration

package localstack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"github.com/google/uuid"

	"paylane/shared/e2e"
	"paylane/shared/order"
	"paylane/shared/queue"
)

// shownOrder is an order as the API shows it.
type shownOrder struct {
	ID, Status, PaymentRef string
	Attempts               []struct {
		StartedAt time.Time
		Outcome   string
	}
}

func (o shownOrder) outcomes() (outcomes []string) {
	for _, a := range o.Attempts {
		outcomes = append(outcomes, a.Outcome)
	}
	return outcomes
}

func (r *runner) create(t *testing.T, token string) shownOrder {
	t.Helper()
	status, body := request(t, http.MethodPost, r.url+"/orders", fmt.Sprintf(`{"amount": 1200, "paymentToken": %q}`, token))
	if status != http.StatusCreated {
		t.Fatalf("%d %s", status, body)
	}
	return shown(t, body)
}

func (r *runner) get(t *testing.T, id string) shownOrder {
	t.Helper()
	status, body := request(t, http.MethodGet, r.url+"/orders/"+id, "")
	if status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	return shown(t, body)
}

func shown(t *testing.T, body string) (o shownOrder) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), &o); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	return o
}

// paid waits until the order is PAID.
func (r *runner) paid(t *testing.T, id string) (o shownOrder) {
	t.Helper()
	eventually(t, time.Minute, func() string {
		if o = r.get(t, id); o.Status != "PAID" {
			return fmt.Sprintf("order %s is %s with %v", id, o.Status, o.outcomes())
		}
		return ""
	})
	return o
}

// TestEndToEnd runs the end-to-end suite against the binaries.
func TestEndToEnd(t *testing.T) {
	s := newStack(t)
	r := s.start(t, repository)
	e2e.Run(t, e2e.Target{URL: r.url, Environment: e2e.Binaries})
}

// TestKilledMidCharge kills the payment function's process while the gateway is working.
// Nobody else may charge meanwhile. When the message comes back the gateway is asked about
// the order, which is settled and was charged once.
func TestKilledMidCharge(t *testing.T) {
	s := newStack(t)
	r := s.start(t, project(t, hurry()...))
	o := r.create(t, "tok_slow_3000")
	eventually(t, time.Minute, func() string {
		if o = r.get(t, o.ID); o.Status != "PROCESSING" {
			return "the order is " + o.Status
		}
		return ""
	})
	if !r.kill(t, "Payment") {
		t.Fatal("there was no payment process to kill")
	}
	killed := time.Now()
	o = r.paid(t, o.ID)
	if back := o.Attempts[1].StartedAt.Sub(o.Attempts[0].StartedAt); back < 4*time.Second {
		t.Errorf("the message came back %v after its first receive, before its visibility timeout of 5 s", back)
	}
	if want := []string{"unknown", "approved"}; !slices.Equal(o.outcomes(), want) {
		t.Errorf("the outcomes are %v, want %v", o.outcomes(), want)
	}
	t.Logf("killed, and PAID %v later with %v", time.Since(killed).Round(time.Second), o.outcomes())
}

// impatient returns the project with a dead-letter queue that takes messages after five receives:
// the template's thousand take a quarter of an hour.
func impatient(t *testing.T) (folder string) {
	t.Helper()
	return project(t, [2]string{"maxReceiveCount: 1000\n", "maxReceiveCount: 5\n"})
}

// TestPoison: a message that is not ours goes to the dead-letter queue, and stays there for
// a person to look at. Orders are not held up.
func TestPoison(t *testing.T) {
	s := newStack(t)
	r := s.start(t, impatient(t))
	if _, err := s.queue(paymentQueue).Send(t.Context(), `{"no": "message of ours"}`, 0); err != nil {
		t.Fatal(err)
	}
	r.paid(t, r.create(t, "tok_ok").ID)
	// Received five times by payment, and once by deadletter, which hides it for an hour.
	eventually(t, 2*time.Minute, func() string {
		if counts := s.counts(t, paymentQueue); counts != [2]int{0, 0} {
			return fmt.Sprintf("the payment queue has %v messages, visible and in flight", counts)
		}
		if counts := s.counts(t, paymentDLQ); counts != [2]int{0, 1} {
			return fmt.Sprintf("the dead-letter queue has %v messages, visible and in flight", counts)
		}
		return ""
	})
}

// counts returns how many messages of a queue are visible, and how many are in flight.
func (s *stack) counts(t *testing.T, queue string) (counts [2]int) {
	t.Helper()
	names := []types.QueueAttributeName{types.QueueAttributeNameApproximateNumberOfMessages, types.QueueAttributeNameApproximateNumberOfMessagesNotVisible}
	out, err := s.sqs.GetQueueAttributes(t.Context(), &sqs.GetQueueAttributesInput{QueueUrl: aws.String(s.queueURL(queue)), AttributeNames: names})
	if err != nil {
		t.Fatal(err)
	}
	for i, name := range names {
		if counts[i], err = strconv.Atoi(out.Attributes[string(name)]); err != nil {
			t.Fatal(err)
		}
	}
	return counts
}

// TestBatchWithOneBadRecord sends nine charges and one poison message at once. The nine
// are charged once each; only the tenth is redelivered.
func TestBatchWithOneBadRecord(t *testing.T) {
	s := newStack(t)
	r := s.start(t, impatient(t))
	entries := []queue.SendEntry{{ID: "bad", Body: "poison"}}
	var ids []string
	for i := range 9 {
		ref := order.Ref{Tenant: "local", ID: uuid.NewString()}
		if err := s.store().Create(t.Context(), order.New(ref, order.Request{Amount: 100, Currency: "KRW", PaymentToken: "tok_ok"}, "", time.Now())); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, ref.ID)
		entries = append(entries, queue.SendEntry{ID: strconv.Itoa(i), Body: order.Message{Kind: order.KindCharge, Ref: ref, Round: 1}.Encode()})
	}
	sent, err := s.queue(paymentQueue).SendBatch(t.Context(), entries)
	if err != nil || len(sent.Failed) > 0 {
		t.Fatal(sent.Failed, err)
	}
	for _, id := range ids {
		if o := r.paid(t, id); len(o.Attempts) != 1 {
			t.Errorf("order %s has the attempts %v, want one", id, o.outcomes())
		}
	}
	eventually(t, 2*time.Minute, func() string {
		if counts := s.counts(t, paymentDLQ); counts != [2]int{0, 1} {
			return fmt.Sprintf("the dead-letter queue has %v messages, visible and in flight", counts)
		}
		return ""
	})
}

// TestMoveTask: an operator's redrive brings a message back from the dead-letter queue,
// and the order is paid.
func TestMoveTask(t *testing.T) {
	s := newStack(t)
	folder := impatient(t)
	s.provision(t, folder) // nothing polls yet
	ref := order.Ref{Tenant: "local", ID: uuid.NewString()}
	if err := s.store().Create(t.Context(), order.New(ref, order.Request{Amount: 100, Currency: "KRW", PaymentToken: "tok_ok"}, "", time.Now())); err != nil {
		t.Fatal(err)
	}
	q := s.queue(paymentQueue)
	if _, err := q.Send(t.Context(), order.Message{Kind: order.KindCharge, Ref: ref, Round: 1}.Encode(), 0); err != nil {
		t.Fatal(err)
	}
	// A consumer that gives every message back, until the redrive policy moves it.
	eventually(t, time.Minute, func() string {
		got, err := q.Receive(t.Context(), queue.ReceiveRequest{Max: 1, Wait: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range got {
			if err := q.ChangeVisibility(t.Context(), d.ReceiptHandle, 0); err != nil {
				t.Fatal(err)
			}
		}
		if counts := s.counts(t, paymentDLQ); counts != [2]int{1, 0} {
			return fmt.Sprintf("the dead-letter queue has %v messages, visible and in flight", counts)
		}
		return ""
	})
	_, err := s.sqs.StartMessageMoveTask(t.Context(), &sqs.StartMessageMoveTaskInput{SourceArn: aws.String(s.queueARN(paymentDLQ))})
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, func() string {
		if counts := s.counts(t, paymentQueue); counts != [2]int{1, 0} {
			return fmt.Sprintf("the payment queue has %v messages, visible and in flight", counts)
		}
		return ""
	})
	r := s.start(t, folder)
	if o := r.paid(t, ref.ID); len(o.Attempts) != 1 {
		t.Errorf("the order has the attempts %v, want one", o.outcomes())
	}
}

// TestList pages through 300 orders, over all shards of the index.
func TestList(t *testing.T) {
	const orders = 300
	s := newStack(t)
	r := s.start(t, repository)
	store := s.store()
	began := time.Now()
	var creates sync.WaitGroup
	var want [orders]string
	slots := make(chan struct{}, 16)
	for i := range want {
		want[i] = uuid.NewString()
		creates.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			ref := order.Ref{Tenant: "local", ID: want[i]}
			created := order.New(ref, order.Request{Amount: 1, Currency: "KRW"}, "", began.Add(time.Duration(i)*time.Millisecond))
			if err := store.Create(context.WithoutCancel(t.Context()), created); err != nil {
				t.Error(err)
			}
		})
	}
	creates.Wait()
	slices.Reverse(want[:]) // newest first
	eventually(t, 10*time.Second, func() string {
		var got []string
		for next := "?limit=70"; next != ""; {
			_, body := request(t, http.MethodGet, r.url+"/orders"+next, "")
			var page struct {
				Orders []struct{ ID string }
				Next   string
			}
			if err := json.Unmarshal([]byte(body), &page); err != nil {
				t.Fatal(body, err)
			}
			for _, o := range page.Orders {
				got = append(got, o.ID)
			}
			if next = ""; page.Next != "" {
				next = "?limit=70&cursor=" + page.Next
			}
		}
		if !slices.Equal(got, want[:]) {
			return fmt.Sprintf("%d orders are listed, perhaps out of order; want %d", len(got), orders)
		}
		return ""
	})
}
