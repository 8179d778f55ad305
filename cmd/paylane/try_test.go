package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/wire"
)

// visitor uses the console's page Try it.
type visitor struct {
	*http.Client
	url string
}

func newVisitor(t *testing.T, url string) visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	return visitor{&http.Client{Jar: jar}, url}
}

func (v visitor) page(t *testing.T) string {
	t.Helper()
	response, err := v.Get(v.url + "/console/try")
	if err != nil {
		t.Fatal(err)
	}
	return read(t, response).body
}

func (v visitor) submit(t *testing.T, path string, fields url.Values) {
	t.Helper()
	fields.Set("csrf", regexp.MustCompile(`name="csrf" value="([^"]+)"`).FindStringSubmatch(v.page(t))[1])
	response, err := v.PostForm(v.url+"/console/try/"+path, fields)
	if err != nil {
		t.Fatal(err)
	}
	if a := read(t, response); a.status != http.StatusOK {
		t.Fatalf("%s: %d %s", path, a.status, a.body)
	}
}

func (v visitor) weather(t *testing.T, set string) {
	t.Helper()
	v.submit(t, "weather", url.Values{"latency": {"0"}, "declines": {"0"}, "timeouts": {"0"}, "set": {set}})
}

// place places a hundred orders, and waits until they are.
func (v visitor) place(t *testing.T) {
	t.Helper()
	v.submit(t, "run", url.Values{"size": {"100"}})
	eventually(t, func() (done bool, seen string) {
		seen = v.page(t)
		return !strings.Contains(seen, "Placing"), seen
	})
}

// eventually waits until something is as it should be.
func eventually(t *testing.T, look func() (done bool, seen string)) {
	t.Helper()
	deadline := time.After(time.Minute)
	for tick := time.Tick(50 * time.Millisecond); ; {
		done, seen := look()
		if done {
			return
		}
		select {
		case <-tick:
		case <-deadline:
			t.Fatal("it does not end: ", seen)
		}
	}
}

// everyOrder returns all orders.
func everyOrder(t *testing.T, base string) (all []wire.OrderBody) {
	t.Helper()
	for cursor := ""; ; {
		query := url.Values{"limit": {"100"}}
		if cursor != "" {
			query.Set("cursor", cursor)
		}
		body, err := get(base+"/orders?"+query.Encode(), "")
		if err != nil {
			t.Fatal(err)
		}
		var page struct {
			Orders []wire.OrderBody
			Next   string
		}
		if err := json.Unmarshal(body, &page); err != nil {
			t.Fatal(err)
		}
		all = append(all, page.Orders...)
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// TestTryAnOutage: of 500 orders most meet an outage of the gateway, are tried more often than the
// template has it, and are PAID once it ends, or the process has been started again. An
// order that comes later has the template's attempts.
func TestTryAnOutage(t *testing.T) {
	for _, ends := range []string{"by the panel", "with the process"} {
		t.Run(ends, func(t *testing.T) {
			c := testConfig(t)
			c.Jitter = func(int) int { return 0 } // each attempt a second after the last
			base, stop := runRunner(t, c)
			defer func() { stop() }()
			v := newVisitor(t, base)
			v.place(t)
			v.weather(t, "outage")
			for range 4 {
				v.place(t)
			}
			const most = 6
			eventually(t, func() (bool, string) {
				waiting := 0
				for _, o := range everyOrder(t, base) {
					if len(o.Attempts) >= most && o.Status == "PROCESSING" {
						waiting++
					}
				}
				return waiting >= 400, fmt.Sprint(waiting, " orders wait")
			})
			if ends == "by the panel" {
				v.weather(t, "end")
			} else {
				stop()
				base, stop = runRunner(t, c)
			}
			statuses := make(map[string]int)
			for _, o := range waitForEnds(t, base, 2*time.Minute) {
				statuses[o.Status]++
			}
			if d := cmp.Diff(map[string]int{"PAID": 500}, statuses); d != "" {
				t.Errorf("the ends (-want +got):\n%s", d)
			}
			id := target{url: base}.create(t, "", `{"amount": 5, "paymentToken": "tok_outage"}`)
			body, err := get(base+"/orders/"+id, "wait=20")
			if err != nil {
				t.Fatal(err)
			}
			var o wire.OrderBody
			if err := json.Unmarshal(body, &o); err != nil {
				t.Fatal(err)
			}
			if o.Status != "FAILED" || len(o.Attempts) != 3 {
				t.Errorf("after the outage, tok_outage ends %s", body)
			}
		})
	}
}

// TestTryIsStopped: the process ends while a run goes on.
func TestTryIsStopped(t *testing.T) {
	base, stop := runRunner(t, testConfig(t))
	v := newVisitor(t, base)
	v.submit(t, "run", url.Values{"size": {"10000"}})
	if page := v.page(t); !strings.Contains(page, "Placing 10,000 orders") {
		t.Errorf("no run goes on:\n%s", page)
	}
	began := time.Now()
	if stop(); time.Since(began) > 20*time.Second {
		t.Errorf("it took %v", time.Since(began))
	}
}

// TestNoWeatherElsewhere: a gateway that is not the simulator has no panel.
func TestNoWeatherElsewhere(t *testing.T) {
	c := testConfig(t)
	ledger, err := openLedger(c.Data + "/ledger")
	if err != nil {
		t.Fatal(err)
	}
	c.Gateway = ledger
	if page := newVisitor(t, startRunner(t, c)).page(t); strings.Contains(page, "Weather") || !strings.Contains(page, "Place many") {
		t.Errorf("the page is\n%s", page)
	}
}
