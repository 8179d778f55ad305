package pebblestore_test

import (
	"context"
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/contract"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

func benchOrder(tenant string) order.Order {
	id, err := uuid.NewV7()
	if err != nil {
		panic(err)
	}
	return order.New(order.Ref{Tenant: tenant, ID: id.String()}, order.Request{
		Amount: 12_000, Currency: "KRW", PaymentToken: "tok_ok", CustomerID: "c-42",
		Items:    []order.Item{{SKU: "TEA-1", Quantity: 2, UnitPrice: 6000}},
		Metadata: map[string]string{"cart": "77"},
	}, "", time.Now())
}

func BenchmarkStore(b *testing.B) {
	contract.BenchmarkStore(b, open(b, pebblestore.Options{Dir: b.TempDir()}).Store())
}

func BenchmarkQueue(b *testing.B) {
	contract.BenchmarkQueue(b, openQueue(b, open(b, pebblestore.Options{Dir: b.TempDir()}), queueConfig("payments")))
}

func claimAndPay(ctx context.Context, s *pebblestore.Store, ref order.Ref) error {
	now := time.Now()
	o, err := s.Claim(ctx, ref, order.Claim{Kind: order.KindCharge, Round: 1, Now: now, Until: now.Add(10 * time.Second), Limits: order.Limits{Attempts: 3}})
	if err != nil {
		return err
	}
	paid, err := o.PaidWith("PAY-0A1B2C3D", true, now)
	if err != nil {
		return err
	}
	return s.Update(ctx, paid)
}

// BenchmarkAccept measures what accepting an order writes: send, create, and the fsync that
// both wait for; by one caller, and by many at once, who share it.
func BenchmarkAccept(b *testing.B) {
	accept := func(b *testing.B) func() error {
		db := open(b, pebblestore.Options{Dir: b.TempDir()})
		s, q := db.Store(), openQueue(b, db, queueConfig("payments"))
		return func() error {
			o := benchOrder("local")
			if _, err := q.Send(b.Context(), order.Message{Kind: order.KindCharge, Ref: o.Ref, Round: 1}.Encode(), 0); err != nil {
				return err
			}
			return s.Create(b.Context(), o)
		}
	}
	b.Run("one caller", func(b *testing.B) {
		op := accept(b)
		b.ReportAllocs()
		for b.Loop() {
			if err := op(); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("many callers", func(b *testing.B) {
		op, busy := accept(b), cpuTime()
		b.ReportAllocs()
		contract.Parallel(b, op)
		b.ReportMetric(float64(cpuTime()-busy)/float64(b.N)/1000, "cpu-µs/order")
	})
}

// BenchmarkOrders measures all that an order takes: send, create; receive, claim, update,
// delete, with payments keeping up. It reports the fsyncs for each order; three of its
// writes wait for one.
func BenchmarkOrders(b *testing.B) {
	counted := &countingFS{}
	db := open(b, pebblestore.Options{Dir: b.TempDir(), FS: counted.over(nil)})
	s, q := db.Store(), openQueue(b, db, queueConfig("payments"))
	unpaid := make(chan struct{}, 500)
	ctx, stop := context.WithCancel(context.Background())
	var workers sync.WaitGroup
	for range 5 {
		workers.Go(func() { payOrders(ctx, b, s, q, unpaid) })
	}
	before, busy := counted.syncs.Load(), cpuTime()
	b.ReportAllocs()
	contract.Parallel(b, func() error {
		unpaid <- struct{}{}
		o := benchOrder("local")
		m := order.Message{Kind: order.KindCharge, Ref: o.Ref, Round: 1}
		if _, err := q.Send(b.Context(), m.Encode(), 0); err != nil {
			return err
		}
		return s.Create(b.Context(), o)
	})
	for range cap(unpaid) {
		unpaid <- struct{}{} // until all are paid
	}
	b.ReportMetric(float64(counted.syncs.Load()-before)/float64(b.N), "fsyncs/order")
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "orders/s")
	b.ReportMetric(float64(cpuTime()-busy)/float64(b.N)/1000, "cpu-µs/order")
	stop()
	workers.Wait()
}

// payOrders works as a function that gets batches of messages.
func payOrders(ctx context.Context, b *testing.B, s *pebblestore.Store, q *pebblestore.Queue, unpaid <-chan struct{}) {
	for ctx.Err() == nil {
		got, err := q.Receive(ctx, queue.ReceiveRequest{Max: 10, Wait: 20 * time.Second})
		if err != nil {
			return
		}
		var handles []string
		var records sync.WaitGroup
		for _, d := range got {
			handles = append(handles, d.ReceiptHandle)
			records.Go(func() {
				m, err := order.ParseMessage(d.Body)
				if err != nil {
					b.Error(err)
					return
				}
				// The message may come before its order.
				for err = order.ErrNotFound; errors.Is(err, order.ErrNotFound); {
					err = claimAndPay(context.Background(), s, m.Ref)
				}
				if err != nil {
					b.Error(err)
				}
			})
		}
		records.Wait()
		if _, err := q.Delete(context.Background(), handles); err != nil {
			b.Error(err)
		}
		for range got {
			<-unpaid
		}
	}
}

// cpuTime returns the processor time that the process has used. Unlike the time that has
// passed, it does not depend on what else runs on the machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
