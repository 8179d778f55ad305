//go:build browser

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/heapprofiler"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

const (
	benchOrders = 100_000 // that there are when a measurement begins
	benchRate   = 2_000   // orders a second that are placed meanwhile
)

// BenchmarkConsole measures the console where it has much to show: with 100,000 orders, and 2,000
// more placed each second. See `make console-bench`.
func BenchmarkConsole(b *testing.B) {
	url := startRunner(b, testConfig(b))
	load := &consoleLoad{url: url}
	load.drive(benchOrders, 0)
	id := benchStory(b, url)
	stop := load.start(benchRate)
	for _, path := range []string{"", "/orders", "/orders?status=PAID", "/orders?status=FAILED", "/orders/" + id, "/queues", "/queues/local-PaymentQueue", "/webhooks", "/try"} {
		b.Run("page"+strings.Replace(path, id, "{id}", 1), func(b *testing.B) { benchPage(b, url+"/console"+path) })
	}
	b.Run("memory", func(b *testing.B) { benchMemory(b, url) })
	stop()
	b.Run("board", func(b *testing.B) { benchBoard(b, load, url) })
}

// benchStory places an order that has something to tell, and returns its id.
func benchStory(b *testing.B, url string) string {
	answer, err := place(http.DefaultClient, url, "story", `{"amount": 1200, "paymentToken": "tok_flaky_2"}`)
	var o struct{ ID string }
	if err == nil {
		err = json.Unmarshal([]byte(answer), &o)
	}
	if err == nil {
		_, err = get(url+"/orders/"+o.ID, "wait=20")
	}
	if err != nil {
		b.Fatal(err)
	}
	return o.ID
}

// benchPage reports how long a page takes, in milliseconds.
func benchPage(b *testing.B, url string) {
	var times []time.Duration
	for b.Loop() {
		began := time.Now()
		response, err := http.Get(url)
		if err != nil {
			b.Fatal(err)
		}
		_, err = io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK {
			b.Fatal(response.Status, err)
		}
		times = append(times, time.Since(began))
	}
	slices.Sort(times)
	report := func(p int) float64 {
		return float64(times[(len(times)*p+99)/100-1].Microseconds()) / 1000
	}
	b.ReportMetric(report(50), "p50-ms")
	b.ReportMetric(report(99), "p99-ms")
	b.ReportMetric(report(100), "max-ms")
}

// benchMemory reports the memory that JavaScript holds in a page with the board, after garbage was
// collected, at the start and after as many minutes as there are iterations.
func benchMemory(b *testing.B, url string) {
	browser := benchBrowser(b)
	if err := chromedp.Do(browser, chromedp.Navigate(url+"/console")); err != nil {
		b.Fatal(err)
	}
	heap := func() float64 {
		if _, err := chromedp.Call(browser, heapprofiler.CollectGarbage, cdp.Empty{}); err != nil {
			b.Fatal(err)
		}
		usage, err := chromedp.Call(browser, runtime.GetHeapUsage, cdp.Empty{})
		if err != nil {
			b.Fatal(err)
		}
		return usage.UsedSize / 1e6
	}
	minute := func() {
		if _, err := chromedp.Run(browser, chromedp.Evaluate[int](`new Promise((done) => {
			const stream = new EventSource("/console/live?after=" + Date.now())
			let seconds = 0
			stream.onmessage = () => { if (++seconds === 60) { stream.close(); done(seconds) } }
		})`, chromedp.EvalAwaitPromise)); err != nil {
			b.Fatal(err)
		}
	}
	minute() // what the page needs once
	first := heap()
	for b.Loop() {
		minute()
	}
	b.ReportMetric(first, "start-MB")
	b.ReportMetric(heap(), "end-MB")
}

// benchBoard reports how many orders are accepted a second with an open board and without, in turns.
func benchBoard(b *testing.B, load *consoleLoad, url string) {
	browser := benchBrowser(b)
	const span = 5 * time.Second
	var with, without int64
	for b.Loop() {
		for _, address := range []string{"about:blank", url + "/console"} {
			if err := chromedp.Do(browser, chromedp.Navigate(address)); err != nil {
				b.Fatal(err)
			}
			n := load.drive(0, span)
			if address == "about:blank" {
				without += n
			} else {
				with += n
			}
		}
	}
	seconds := span.Seconds() * float64(b.N)
	b.ReportMetric(float64(without)/seconds, "orders/s-without")
	b.ReportMetric(float64(with)/seconds, "orders/s-with")
	b.ReportMetric(float64(with)/float64(without), "ratio")
}

// consoleLoad places orders.
type consoleLoad struct {
	url string
	key atomic.Int64
}

// workers calls place by fifty workers until more reports that there is nothing more to do.
func (l *consoleLoad) workers(more func() bool) (placed int64) {
	const workers = 50
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}
	defer client.CloseIdleConnections()
	var n atomic.Int64
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for more() {
				if _, err := place(client, l.url, fmt.Sprintf("bench-%d", l.key.Add(1)), `{"amount": 1200, "customerId": "bench"}`); err == nil {
					n.Add(1)
				}
			}
		})
	}
	all.Wait()
	return n.Load()
}

// drive places n orders as fast as it goes, or, if n is 0, as many as it can within a time.
func (l *consoleLoad) drive(n int64, within time.Duration) (placed int64) {
	var begun atomic.Int64
	end := time.Now().Add(within)
	return l.workers(func() bool {
		if n > 0 {
			return begun.Add(1) <= n
		}
		return time.Now().Before(end)
	})
}

// start places so many orders a second until stop is called.
func (l *consoleLoad) start(rate int) (stop func()) {
	ended := make(chan struct{})
	tokens := make(chan struct{}, rate)
	var all sync.WaitGroup
	all.Go(func() {
		const beat = 10 * time.Millisecond
		ticker := time.NewTicker(beat)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				for range rate * int(beat) / int(time.Second) {
					select {
					case tokens <- struct{}{}:
					default: // they are not placed as fast as that
					}
				}
			case <-ended:
				return
			}
		}
	})
	all.Go(func() {
		l.workers(func() bool {
			select {
			case <-tokens:
				return true
			case <-ended:
				return false
			}
		})
	})
	return func() {
		close(ended)
		all.Wait()
	}
}

// benchBrowser starts a browser that may take its time.
func benchBrowser(b *testing.B) context.Context {
	b.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:], chromedp.NoSandbox, chromedp.DisableGPU)...)
	b.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	b.Cleanup(cancel)
	return ctx
}
