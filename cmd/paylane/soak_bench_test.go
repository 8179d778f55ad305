package main

import (
	"errors"
	"flag"
	"fmt"
	"hash/fnv"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/gateway/stripe/stripetest"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/sim/reference"
)

var (
	soakFor   = flag.Duration("soak", 20*time.Minute, "how long BenchmarkSoak runs")
	soakEvery = flag.Duration("soak-kill", 30*time.Second, "how long a runner lives in BenchmarkSoak")
)

// sample is what a runner uses, right before it is killed.
type sample struct {
	at, restart        time.Duration
	orders, rss, files int
	// data is the size of its folder, and queued that part of it which its queues have.
	data, queued int64
}

// BenchmarkSoak has a runner under a steady load of what callers do, and kills it with SIGKILL over
// and over. Its Stripe fails at one call in twenty, and is away for one charge in twenty, for a
// while; its webhook's server refuses one event in fifty, and all of them for three seconds of each
// minute. In the end all that anybody was told must agree; and what the runner uses may not grow
// but by the orders themselves.
func BenchmarkSoak(b *testing.B) {
	folder := b.TempDir()
	gateway := stripetest.New(b, "sk_test_1")
	var healthy atomic.Bool
	gateway.Fault = func(c stripetest.Call) stripetest.Fault {
		if healthy.Load() {
			return stripetest.None
		}
		return soakFault(c)
	}
	for name, text := range map[string][]byte{"stripe": []byte(gateway.URL), "template.yaml": hurriedTemplate(b)} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			b.Fatal(err)
		}
	}
	callers := newCallers(b)
	began := time.Now()
	var webhook *receiver
	var samples []sample
	for time.Since(began) < *soakFor {
		starts := time.Now()
		v := startVictim(b, folder)
		s := sample{restart: time.Since(starts)}
		if webhook == nil {
			webhook = startReceiver(b, v.url)
			webhook.answers(func() int {
				if time.Since(began)%time.Minute < 3*time.Second || rand.N(50) == 0 {
					return http.StatusInternalServerError
				}
				return takes()
			})
		}
		client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: len(callers)}}
		var wg sync.WaitGroup
		for _, c := range callers {
			wg.Go(func() { c.run(b, client, v.url) })
		}
		<-time.After(*soakEvery/2 + rand.N(*soakEvery))
		s.rss, s.files = uses(b, v.cmd.Process.Pid)
		v.kill(b)
		wg.Wait()
		client.CloseIdleConnections()
		for _, c := range callers {
			s.orders += c.next
		}
		s.at, s.data, s.queued = time.Since(began), size(b, filepath.Join(folder, "data")), queued(b, filepath.Join(folder, "data"))
		samples = append(samples, s)
	}
	healthy.Store(true)
	webhook.answers(takes)
	steady(b, samples)
	v := startVictim(b, folder)
	defer v.kill(b)
	ends := waitForEnds(b, v.url, 15*time.Minute)
	webhook.wait(b, ends, 15*time.Minute)
	waitForQueues(b, v.url, 15*time.Minute)
	further := make(map[string]rounds)
	for _, c := range callers {
		c.check(ends)
		maps.Copy(further, c.rounds)
	}
	checkMoney(b, gateway.Books(), ends)
	events, requests := webhook.check(b, ends, func(id string, times int) bool {
		return further[id].begun <= times && times <= further[id].asked
	})
	b.Logf("%s; %d events, in %d requests", census(ends), events, requests)
	b.ReportMetric(float64(len(samples)), "kills")
	b.ReportMetric(float64(len(ends)), "orders")
}

// soakFault fails one call in twenty. It also has the gateway away for one charge in twenty: for
// one, two or three calls under its key, and three are all attempts that an order has.
func soakFault(c stripetest.Call) stripetest.Fault {
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(c.Key))
	if n := hash.Sum32() % 60; strings.HasSuffix(c.Key, ".create") && n < 3 && c.Count <= int(n)+1 {
		return stripetest.Unstored
	}
	if rand.N(20) > 0 {
		return stripetest.None
	}
	return []stripetest.Fault{stripetest.ResetAfter, stripetest.StoredBefore, stripetest.StoredAfter, stripetest.Unstored, stripetest.RateLimited}[rand.N(5)]
}

// census says how many orders ended how.
func census(ends map[string]reference.Order) string {
	counts := make(map[string]int)
	refunds, again := 0, 0
	for _, o := range ends {
		counts[o.Status]++
		refunds += len(o.Refunds)
		if o.Attempts > 1 {
			again++
		}
	}
	return fmt.Sprintf("%d orders: %v, %d refunds; %d took more than one attempt", len(ends), counts, refunds, again)
}

// waitForQueues waits until all queues are empty, those of dead letters too.
func waitForQueues(b *testing.B, url string, limit time.Duration) {
	b.Helper()
	deadline := time.After(limit)
	look := time.NewTicker(time.Second)
	defer look.Stop()
	for {
		depths := queueDepths(b, url)
		if !slices.ContainsFunc(slices.Collect(maps.Values(depths)), func(n int) bool { return n > 0 }) {
			return
		}
		select {
		case <-look.C:
		case <-deadline:
			b.Errorf("after %v the queues have these messages: %v", limit, depths)
			return
		}
	}
}

// queueDepths returns how many messages are in each queue, as the console shows them.
func queueDepths(b *testing.B, url string) map[string]int {
	b.Helper()
	page, err := get(url+"/console/queues", "")
	if err != nil {
		b.Fatal(err)
	}
	const number = `\s*<td class="number">(\d+)</td>`
	depths := make(map[string]int)
	for _, row := range regexp.MustCompile(`<th scope="row"><a href="/console/queues/([^"]+)"(?s:.*?)</th>`+number+number+number).FindAllStringSubmatch(string(page), -1) {
		for _, text := range row[2:] {
			n, err := strconv.Atoi(text)
			if err != nil {
				b.Fatal(err)
			}
			depths[row[1]] += n
		}
	}
	if len(depths) < 6 { // the template has so many
		b.Fatalf("the console shows the queues %v:\n%s", depths, page)
	}
	return depths
}

// steady compares the last quarter of a soak with the second: by then everything is warm.
func steady(b *testing.B, samples []sample) {
	b.Helper()
	for i := 0; i < len(samples); i += 1 + len(samples)/3 { // a benchmark's log has ten lines
		s := samples[i]
		b.Logf("%6s: %7d orders, served after %4d ms, %3d MB of memory, %3d files, %4d MB of data",
			s.at.Round(time.Second), s.orders, s.restart.Milliseconds(), s.rss>>20, s.files, s.data>>20)
	}
	quarter := len(samples) / 4
	if quarter < 3 {
		b.Logf("%d kills are too few to compare quarters", len(samples))
		return
	}
	mean := func(of []sample, value func(sample) float64) (sum float64) {
		for _, s := range of {
			sum += value(s)
		}
		return sum / float64(len(of))
	}
	for _, figure := range []struct {
		name  string
		value func(sample) float64
		limit float64 // of the last quarter, in second quarters
	}{
		{"MB of memory", func(s sample) float64 { return float64(s.rss) / (1 << 20) }, 1.3},
		{"open files", func(s sample) float64 { return float64(s.files) }, 1.3},
		{"bytes of data an order", func(s sample) float64 { return float64(s.data) / float64(s.orders) }, 1.3},
		{"of them in queues", func(s sample) float64 { return float64(s.queued) / float64(s.orders) }, 1.3},
		{"ms until it serves again", func(s sample) float64 { return float64(s.restart.Milliseconds()) }, 2}, // others use this machine
	} {
		second, last := mean(samples[quarter:2*quarter], figure.value), mean(samples[3*quarter:], figure.value)
		b.Logf("%26s: %6.0f in the second quarter, %6.0f in the last", figure.name, second, last)
		if last > figure.limit*second {
			b.Errorf("%s: more than %.1f times as many in the last quarter", figure.name, figure.limit)
		}
	}
}

// queued returns how many bytes the messages of all queues, and what is left of them, have in the
// tables of a database that nobody has open.
func queued(b *testing.B, folder string) int64 {
	b.Helper()
	db, err := pebble.Open(folder, &pebble.Options{ReadOnly: true, Logger: quiet{pebble.DefaultLogger}})
	if err != nil {
		b.Fatal(err)
	}
	bytes, err := db.EstimateDiskUsage([]byte("q"), []byte("r")) // how their keys begin
	if err = errors.Join(err, db.Close()); err != nil {
		b.Fatal(err)
	}
	return int64(bytes)
}

// quiet is a logger that logs errors only.
type quiet struct{ pebble.Logger }

func (quiet) Infof(string, ...any) {}

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
