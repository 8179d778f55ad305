package eventsource

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Slots that are given back at one moment wake as many receivers.
func TestSlotsWakeAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlots(3, time.Now)
		for range 3 {
			s.acquire(t.Context())
			s.begin()
		}
		var got atomic.Int64
		for range 3 {
			go func() {
				s.acquire(t.Context())
				got.Add(1)
			}()
		}
		synctest.Wait()
		if n := got.Load(); n != 0 {
			t.Fatalf("%d got a slot while there was none", n)
		}
		for range 3 {
			s.end(false)
		}
		time.Sleep(time.Second)
		if n := got.Load(); n != 3 {
			t.Errorf("%d of 3 got a slot", n)
		}
	})
}
