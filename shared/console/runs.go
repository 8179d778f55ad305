package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"paylane/shared/order"
)

const (
	// runWorkers place the orders of a run.
	runWorkers = 50
	// runsKept is how many runs of a tenant are remembered.
	runsKept = 5
)

// sizes are how many orders a run may have.
func sizes() []int { return []int{1, 100, 10_000} }

// runs are those of all tenants.
type runs struct {
	mu sync.Mutex
	of map[string][]*run // by tenant, newest first
}

// run places many orders. Its own customer tells them from all others.
type run struct {
	customer string
	size     int
	mixed    bool
	began    time.Time
	stop     context.CancelFunc
	accepted atomic.Int64

	mu sync.Mutex // guards what follows
	// placed is when the last order was placed; zero until then.
	placed  time.Time
	refused map[string]int // by the API's answer
	stopped bool
	count
	// counting says that a count is under way, and due when the next may begin.
	counting bool
	due      time.Time
}

// count is what became of the orders of a run.
type count struct {
	all, paid, failed int
	// last is when the last of those that ended did.
	last time.Time
}

// runView is a run as the page shows it.
type runView struct {
	Customer             string
	Size                 int
	Mixed, Stopped       bool
	Began                time.Time
	Accepted, Refused    int
	Refusals             map[string]int
	Paid, Failed, Open   int
	Placing              bool
	Took, TookAltogether time.Duration
}

// Settled is how many orders are at their ends.
func (v runView) Settled() int { return v.Paid + v.Failed }

// Ended reports whether nothing of the run will change any more.
func (v runView) Ended() bool { return !v.Placing && v.Settled() == v.Accepted }

func (r *run) view(now time.Time) runView {
	r.mu.Lock()
	defer r.mu.Unlock()
	v := runView{
		Customer: r.customer, Size: r.size, Mixed: r.mixed, Stopped: r.stopped, Began: r.began,
		Refusals: make(map[string]int), Paid: r.paid, Failed: r.failed, Placing: r.placed.IsZero(),
		// Of orders whose answer was not awaited only a count knows.
		Accepted: max(int(r.accepted.Load()), r.all),
	}
	for answer, n := range r.refused {
		v.Refusals[answer] = n
		v.Refused += n
	}
	v.Open = v.Accepted - v.Paid - v.Failed
	v.Took = now.Sub(r.began)
	if !v.Placing {
		v.Took = r.placed.Sub(r.began)
	}
	if v.Ended() && !r.last.IsZero() {
		v.TookAltogether = r.last.Sub(r.began)
	}
	return v
}

func (all *runs) views(tenant string, now time.Time) []runView {
	var views []runView
	for _, r := range all.list(tenant) {
		views = append(views, r.view(now))
	}
	return views
}

func (all *runs) list(tenant string) []*run {
	all.mu.Lock()
	defer all.mu.Unlock()
	return slices.Clone(all.of[tenant])
}

// add adds a run, unless one of the tenant is still placing orders.
func (all *runs) add(tenant string, r *run) bool {
	all.mu.Lock()
	defer all.mu.Unlock()
	mine := all.of[tenant]
	if len(mine) > 0 && mine[0].placing() {
		return false
	}
	if all.of == nil {
		all.of = make(map[string][]*run)
	}
	mine = slices.Insert(mine, 0, r)
	all.of[tenant] = mine[:min(len(mine), runsKept)]
	return true
}

func (r *run) placing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.placed.IsZero()
}

// startRun places as many orders as the form says, in the background.
func (s *console) startRun(w http.ResponseWriter, r *http.Request) {
	session, _ := SessionOf(r.Context())
	size, err := strconv.Atoi(r.PostForm.Get("size"))
	if err != nil || !slices.Contains(sizes(), size) {
		s.tryPage(w, r, http.StatusUnprocessableEntity, tryPage{RunRefused: "A run places 1, 100 or 10,000 orders."})
		return
	}
	began := s.Now()
	run := &run{
		customer: "try-" + began.UTC().Format("20060102-150405.000"), size: size, mixed: r.PostForm.Get("mix") == "all", began: began,
		refused: make(map[string]int),
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(r.Context()))
	run.stop = stop
	if !s.runs.add(session.Tenant, run) {
		stop()
		s.tryPage(w, r, http.StatusConflict, tryPage{RunRefused: "Another run is still placing orders: wait for its end, or stop it."})
		return
	}
	r = r.WithContext(ctx)
	s.Local.Background(func(ending context.Context) {
		defer stop()
		defer context.AfterFunc(ending, stop)()
		s.place(r, run)
	})
	http.Redirect(w, r, Root+"/try#runs", http.StatusSeeOther)
}

// place places the orders of a run until the request's context ends.
func (s *console) place(r *http.Request, run *run) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(runWorkers, run.size) {
		workers.Go(func() {
			for r.Context().Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= run.size {
					return
				}
				order := map[string]any{"amount": 1200, "currency": "EUR", "customerId": run.customer}
				if token := s.runToken(i, run.mixed); token != "" {
					order["paymentToken"] = token
				}
				a := s.call(r, http.MethodPost, "/orders", nil, encode(order))
				switch {
				case a.OK():
					run.accepted.Add(1)
				case r.Context().Err() == nil: // else it was not refused
					run.refuse(strconv.Itoa(a.Status) + " " + a.Problem().Title)
				}
			}
		})
	}
	workers.Wait()
	run.mu.Lock()
	defer run.mu.Unlock()
	run.placed, run.stopped = s.Now(), int(next.Load()) < run.size
}

// runToken returns the token of the i-th order of a run: the default, or of ten orders one with
// another, each in turn.
func (s *console) runToken(i int, mixed bool) string {
	const every = 10
	examples := s.Tokens.Examples
	token := s.Tokens.Default
	if token == "" && len(examples) > 0 {
		token = examples[0].Token
	}
	if mixed && i%every == every-1 && len(examples) > 0 {
		token = examples[i/every%len(examples)].Token
	}
	return token
}

func (r *run) refuse(answer string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused[answer]++
}

// stopRun ends the placing of orders. Those that were placed go on.
func (s *console) stopRun(w http.ResponseWriter, r *http.Request) {
	session, _ := SessionOf(r.Context())
	for _, run := range s.runs.list(session.Tenant) {
		run.stop()
	}
	http.Redirect(w, r, Root+"/try#runs", http.StatusSeeOther)
}

// countRuns begins to count what became of the orders of runs that somebody looks at. The page
// shows it the next time.
func (s *console) countRuns(r *http.Request) {
	session, _ := SessionOf(r.Context())
	for _, run := range s.runs.list(session.Tenant) {
		if v := run.view(s.Now()); !v.Ended() && run.beginCount(s.Now()) {
			s.Local.Background(func(ending context.Context) {
				began := s.Now()
				counted, ok := s.count(r.WithContext(sessionContext(ending, session)), run)
				run.endCount(counted, ok, began, s.Now())
			})
		}
	}
}

func (r *run) beginCount(now time.Time) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counting || now.Before(r.due) {
		return false
	}
	r.counting = true
	return true
}

// endCount keeps a count if it was made. The next begins so much later that counting takes a
// small part of the time.
func (r *run) endCount(c count, ok bool, began, now time.Time) {
	const share = 3
	r.mu.Lock()
	defer r.mu.Unlock()
	r.counting, r.due = false, now.Add(max(500*time.Millisecond, share*now.Sub(began)))
	if ok {
		r.count = c
	}
}

// count reads the orders of a run. A count of many takes a list of a hundred for each hundred.
func (s *console) count(r *http.Request, run *run) (c count, ok bool) {
	query := url.Values{"limit": {"100"}, "customerId": {run.customer}}
	for {
		a := s.call(r, http.MethodGet, "/orders", query, "")
		var body struct {
			Orders []struct{ Status, UpdatedAt string }
			Next   string
		}
		if !a.OK() || json.Unmarshal(a.Body, &body) != nil {
			return count{}, false
		}
		for _, o := range body.Orders {
			c.all++
			switch order.Status(o.Status) {
			case order.Pending, order.Processing, order.Void:
				continue
			case order.Failed, order.Canceled:
				c.failed++
			case order.Paid, order.Refunding, order.Refunded:
				c.paid++
			}
			if at := parseTime(o.UpdatedAt); at.After(c.last) {
				c.last = at
			}
		}
		if body.Next == "" {
			return c, true
		}
		query.Set("cursor", body.Next)
	}
}
