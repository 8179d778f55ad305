package contract

import (
	"testing"

	"paylane/shared/order"
	"paylane/shared/queue"
)

// Parallel runs an operation b.N times, by about as many callers at once as an API under
// load has.
func Parallel(b *testing.B, op func() error) {
	b.Helper()
	b.SetParallelism(64)
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := op(); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// BenchmarkStore measures a store with many callers at once.
func BenchmarkStore(b *testing.B, s order.Store) {
	tenant := newTenant()
	created := make(chan order.Order, 1<<20)
	create := func() error {
		o := pendingOrder(tenant, 0)
		if err := s.Create(b.Context(), o); err != nil {
			return err
		}
		created <- o
		return nil
	}
	b.Run("create", func(b *testing.B) {
		b.ReportAllocs()
		for len(created) > 0 {
			<-created
		}
		Parallel(b, create)
	})
	b.Run("claim, update", func(b *testing.B) {
		b.ReportAllocs()
		for len(created) < b.N {
			if err := create(); err != nil {
				b.Fatal(err)
			}
		}
		Parallel(b, func() error {
			o, err := s.Claim(b.Context(), (<-created).Ref, claimAt(0))
			if err != nil {
				return err
			}
			paid, err := o.PaidWith("PAY-0A1B2C3D", true, at(1))
			if err != nil {
				return err
			}
			return s.Update(b.Context(), paid)
		})
	})
	b.Run("get", func(b *testing.B) {
		b.ReportAllocs()
		o := pendingOrder(tenant, 0)
		mustCreate(b, s, o)
		Parallel(b, func() error { _, err := s.Get(b.Context(), o.Ref); return err })
	})
	b.Run("list of 20", func(b *testing.B) {
		b.ReportAllocs()
		q := order.Query{Tenant: tenant, Limit: 20}
		Parallel(b, func() error { _, err := s.List(b.Context(), q); return err })
	})
}

// BenchmarkQueue measures sending, receiving and deleting messages with many callers at
// once.
func BenchmarkQueue(b *testing.B, q queue.Queue) {
	body := order.Message{Kind: order.KindCharge, Ref: pendingOrder("local", 0).Ref, Round: 1}.Encode()
	b.Run("send, receive, delete", func(b *testing.B) {
		b.ReportAllocs()
		Parallel(b, func() error {
			if _, err := q.Send(b.Context(), body, 0); err != nil {
				return err
			}
			got, err := q.Receive(b.Context(), queue.ReceiveRequest{Max: queue.MaxBatch})
			if err != nil || len(got) == 0 {
				return err
			}
			handles := make([]string, len(got))
			for i, m := range got {
				handles[i] = m.ReceiptHandle
			}
			_, err = q.Delete(b.Context(), handles)
			return err
		})
	})
}
