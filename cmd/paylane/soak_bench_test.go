package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
)

var (
	soakFor   = flag.Duration("soak", 20*time.Minute, "how long BenchmarkSoak runs")
	soakEvery = flag.Duration("soak-kill", 30*time.Second, "how long a runner lives in BenchmarkSoak")
)

// sample is what a runner uses, right before it is killed.
type sample struct {
	at, restart        time.Duration
	orders, rss, files int
	data               int64
}

// BenchmarkSoak has a runner under a steady load, with a Stripe that fails at one call in twenty,
// and kills it with SIGKILL over and over. No acknowledged order may be missing, or stay open, or be
// charged twice; and what the runner uses may not grow but by the orders themselves.
func BenchmarkSoak(b *testing.B) {
	folder := b.TempDir()
	server := stripetest.New(b, "sk_test_1")
	server.Fault = func(stripetest.Call) stripetest.Fault {
		if rand.N(20) > 0 {
			return stripetest.None
		}
		return []stripetest.Fault{stripetest.ResetAfter, stripetest.StoredBefore, stripetest.StoredAfter, stripetest.Unstored, stripetest.RateLimited}[rand.N(5)]
	}
	for name, text := range map[string][]byte{"stripe": []byte(server.URL), "template.yaml": hurriedTemplate(b)} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	writers := make([]*writer, 10)
	for i := range writers {
		writers[i] = &writer{
			name: fmt.Sprintf("w%d", i), order: `{"amount": 1200, "currency": "USD", "paymentToken": "pm_card_visa"}`,
			rest: 100 * time.Millisecond, answers: make(map[string]string),
		}
	}
	placed := func() (n int) {
		for _, w := range writers {
			n += w.next
		}
		return n
	}
	var samples []sample
	began := time.Now()
	for time.Since(began) < *soakFor {
		starts := time.Now()
		v := startVictim(b, folder)
		s := sample{restart: time.Since(starts)}
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: len(writers)}}
		var wg sync.WaitGroup
		for _, w := range writers {
			wg.Go(func() { w.run(b, client, v.url) })
		}
		<-time.After(*soakEvery/2 + rand.N(*soakEvery))
		s.rss, s.files = uses(b, v.cmd.Process.Pid)
		v.kill(b)
		wg.Wait()
		client.CloseIdleConnections()
		s.at, s.orders, s.data = time.Since(began), placed(), size(b, filepath.Join(folder, "data"))
		samples = append(samples, s)
	}
	for i := 0; i < len(samples); i += 1 + len(samples)/8 { // a benchmark's log has ten lines
		s := samples[i]
		b.Logf("%6s: %7d orders, served after %4d ms, %3d MB of memory, %3d files, %4d MB of data, %4d bytes an order",
			s.at.Round(time.Second), s.orders, s.restart.Milliseconds(), s.rss>>20, s.files, s.data>>20, s.data/int64(max(1, s.orders)))
	}
	v := startVictim(b, folder)
	defer v.kill(b)
	ends := waitForEnds(b, v.url, 15*time.Minute)
	for _, w := range writers {
		for key, body := range w.answers {
			var o struct{ ID string }
			if err := json.Unmarshal([]byte(body), &o); err != nil || ends[o.ID] == "" {
				b.Errorf("an acknowledged order is missing, of the key %s: %s, %v", key, body, err)
			}
		}
	}
	charges := make(map[string]int)
	for id, book := range server.Books() {
		charges[id] = book.Charges
	}
	checkBooks(b, charges, ends)
	steady(b, samples)
	b.ReportMetric(float64(len(samples)), "kills")
	b.ReportMetric(float64(len(ends)), "orders")
}

// steady compares the last quarter of a soak with the second: by then everything is warm.
func steady(b *testing.B, samples []sample) {
	b.Helper()
	quarter := len(samples) / 4
	if quarter < 3 {
		return
	}
	middle := func(of []sample, value func(sample) float64) float64 {
		values := make([]float64, len(of))
		for i, s := range of {
			values[i] = value(s)
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	for name, value := range map[string]func(sample) float64{
		"memory":             func(s sample) float64 { return float64(s.rss) },
		"open files":         func(s sample) float64 { return float64(s.files) },
		"data for one order": func(s sample) float64 { return float64(s.data) / float64(s.orders) },
	} {
		second, last := middle(samples[quarter:2*quarter], value), middle(samples[3*quarter:], value)
		if last > 1.3*second {
			b.Errorf("%s grew from %.0f to %.0f", name, second, last)
		}
	}
}

// uses returns a process's resident memory, in bytes, and how many files it has open.
func uses(b *testing.B, pid int) (rss, files int) {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	if err != nil {
		b.Fatal(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(text))[1])
	if err != nil {
		b.Fatal(err)
	}
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		b.Fatal(err)
	}
	return pages * os.Getpagesize(), len(open)
}

// size returns how many bytes a folder's files have.
func size(b *testing.B, folder string) (bytes int64) {
	b.Helper()
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	return bytes
}

// BenchmarkRestart measures how long a runner takes to serve after SIGKILL, with a million orders.
func BenchmarkRestart(b *testing.B) {
	folder := b.TempDir()
	if err := os.WriteFile(filepath.Join(folder, "template.yaml"), hurriedTemplate(b), 0o600); err != nil {
		b.Fatal(err)
	}
	db, err := pebblestore.Open(pebblestore.Options{Dir: filepath.Join(folder, "data")})
	if err != nil {
		b.Fatal(err)
	}
	const orders, writers = 1_000_000, 200
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := w; i < orders; i += writers {
				ref := order.Ref{Tenant: "local", ID: order.KeyedID("local", strconv.Itoa(i))}
				o := order.New(ref, order.Request{Amount: 1200, Currency: "USD", CustomerID: "c-" + strconv.Itoa(i%1000)}, "", time.Now())
				if err := db.Store().Create(b.Context(), o); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if err := db.Close(); err != nil {
		b.Fatal(err)
	}
	b.Logf("%d orders, %d MB", orders, size(b, filepath.Join(folder, "data"))>>20)
	for b.Loop() {
		v := startVictim(b, folder)
		if _, err := get(v.url+"/orders/"+order.KeyedID("local", "7"), ""); err != nil {
			b.Error(err)
		}
		v.kill(b)
	}
}
