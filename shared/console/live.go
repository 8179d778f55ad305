package console

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"paylane/shared/order"
)

const livePath = Root + "/live"

const (
	// maxStreams is how many live boards may be open.
	maxStreams = 32
	// streamFor is how long a stream lasts where people sign in: whoever comes back is looked at
	// again.
	streamFor = 5 * time.Minute
	// writeWithin is how long an event may take to write. Who has stopped reading keeps no place.
	writeWithin = 10 * time.Second
)

// livePage is the whole system.
type livePage struct {
	At     time.Time
	Show   map[string]string // see shown
	Tiles  []figure
	Charts []chart
	Orders []figure
	Queues []QueueFigures
	Start  liveEvent
}

// figure is a number on the board, by its key in shown, and where one can look further.
type figure struct{ Key, Label, Unit, Link string }

// chart is drawn from the columns of rows, see rowOf.
type chart struct {
	ID, Title string
	// Says is what it shows, for whoever does not see it.
	Says  string
	Unit  string // ms, or empty for numbers
	Lines []line
}

// line is one column of rows, with the figure beside it.
type line struct {
	Column           int
	Key, Label, Tone string
}

// liveEvent is what the script gets: seconds that it has not, oldest first, and the numbers of the
// newest.
type liveEvent struct {
	Rows [][]any           `json:"rows"`
	Show map[string]string `json:"show"`
}

// newLivePage returns the board; queues is where one can look further into them.
func newLivePage(seconds []Second, queues string) *livePage {
	var newest Second
	if len(seconds) > 0 {
		newest = seconds[len(seconds)-1]
	}
	start := newLiveEvent(seconds, time.Time{})
	p := &livePage{At: newest.At, Show: start.Show, Start: start, Tiles: tiles(queues), Charts: charts(), Queues: newest.Queues}
	for _, status := range statuses() {
		p.Orders = append(p.Orders, figure{Key: string(status), Label: string(status), Link: listOf(status)})
	}
	return p
}

func listOf(status order.Status) string { return Root + "/orders?status=" + string(status) }

func tiles(queues string) []figure {
	return []figure{
		{"in", "Orders in", "per second", Root + "/orders"},
		{"paid", "PAID", "per second", listOf(order.Paid)},
		{"p50", "Time to PAID, p50", "half are faster", listOf(order.Paid)},
		{"p99", "Time to PAID, p99", "99 of 100 are faster", listOf(order.Paid)},
		{"PENDING", "PENDING", "orders", listOf(order.Pending)},
		{"PROCESSING", "PROCESSING", "orders", listOf(order.Processing)},
		{"REFUNDING", "REFUNDING", "orders", listOf(order.Refunding)},
		{"visible", "Waiting", "messages", queues},
		{"inflight", "In flight", "messages", queues},
		{"oldest", "Oldest message", "since it was sent", queues},
		{"dead", "Dead letters", "messages", queues},
	}
}

// The columns of rows.
const (
	columnAt = iota
	columnIn
	columnPaid
	columnP50
	columnP99
	columnDepth
	columnInFlight
	columnDeclined
	columnUnavailable
	columnUnknown
	columnMisconfigured
)

func charts() []chart {
	return []chart{
		{"throughput", "Orders per second", "Orders accepted and orders PAID per second, over the last 15 minutes.", "", []line{
			{columnIn, "in", "in", "good"}, {columnPaid, "paid", "PAID", "wait"},
		}},
		{"times", "Time to PAID", "Time to PAID, its median and its 99th percentile over ten seconds, for the last 15 minutes.", "ms", []line{
			{columnP50, "p50", "p50", "good"}, {columnP99, "p99", "p99", "wait"},
		}},
		{"depth", "Messages", "Messages that wait in queues and messages in flight, over the last 15 minutes.", "", []line{
			{columnDepth, "visible", "waiting", "good"}, {columnInFlight, "inflight", "in flight", "wait"},
		}},
		{"outcomes", "What the gateway answered", "Attempts per second that the gateway declined, was unavailable for, left unknown or refused for its configuration, over the last 15 minutes.", "", []line{
			{columnDeclined, "declined", "declined", "bad"}, {columnUnavailable, "unavailable", "unavailable", "wait"},
			{columnUnknown, "unknown", "unknown", "plain"}, {columnMisconfigured, "misconfigured", "misconfigured", "good"},
		}},
	}
}

// rowOf returns what the charts show of a second, by columns. Times without orders are nil.
func rowOf(s Second) []any {
	row := []any{
		columnAt: s.At.UnixMilli() / 1000, columnIn: s.Accepted, columnPaid: s.Paid, columnP50: nil, columnP99: nil,
		columnDepth: 0, columnInFlight: 0,
		columnDeclined: s.Declined, columnUnavailable: s.Unavailable, columnUnknown: s.Unknown, columnMisconfigured: s.Misconfigured,
	}
	if s.Timed > 0 {
		row[columnP50], row[columnP99] = s.P50.Milliseconds(), s.P99.Milliseconds()
	}
	work, _ := sums(s.Queues)
	row[columnDepth], row[columnInFlight] = work.Visible, work.InFlight
	return row
}

// sums adds up the queues that are worked on, and those of dead letters.
func sums(queues []QueueFigures) (work, dead QueueFigures) {
	for _, q := range queues {
		sum := &work
		if q.DeadLetters {
			sum = &dead
		}
		sum.Visible += q.Visible
		sum.InFlight += q.InFlight
		sum.Delayed += q.Delayed
		sum.Oldest = max(sum.Oldest, q.Oldest)
	}
	return work, dead
}

// newLiveEvent tells of the seconds after a time; seconds are all that there are.
func newLiveEvent(seconds []Second, after time.Time) liveEvent {
	e := liveEvent{Rows: [][]any{}, Show: shown(seconds)}
	for _, s := range seconds {
		if s.At.After(after) {
			e.Rows = append(e.Rows, rowOf(s))
		}
	}
	return e
}

// none stands for a number that there is none of.
const none = "–"

// rateOver is over how many seconds rates are taken.
const rateOver = 10

// shown returns the numbers of the board as people read them, by their keys.
func shown(seconds []Second) map[string]string {
	var newest, sum, recent Second
	for i, s := range seconds {
		add(&sum, s)
		if len(seconds)-i <= rateOver {
			add(&recent, s)
		}
		newest = s
	}
	over := max(min(len(seconds), rateOver), 1)
	work, dead := sums(newest.Queues)
	show := map[string]string{
		"in": rate(recent.Accepted, over), "paid": rate(recent.Paid, over), "p50": none, "p99": none,
		"visible": thousands(work.Visible), "inflight": thousands(work.InFlight), "oldest": age(work.Oldest),
		"dead":     thousands(dead.Visible + dead.InFlight + dead.Delayed),
		"declined": thousands(sum.Declined), "unavailable": thousands(sum.Unavailable), "unknown": thousands(sum.Unknown),
		"misconfigured": thousands(sum.Misconfigured), "gaveup": thousands(sum.GaveUp), "failed": thousands(sum.Failed),
	}
	if newest.Timed > 0 {
		show["p50"], show["p99"] = took(newest.P50), took(newest.P99)
	}
	for _, status := range statuses() {
		show[string(status)] = "counting"
		if newest.Orders != nil {
			show[string(status)] = thousands(newest.Orders[status])
		}
	}
	for _, q := range newest.Queues {
		show[q.Name+".visible"], show[q.Name+".inflight"] = thousands(q.Visible), thousands(q.InFlight)
		show[q.Name+".delayed"], show[q.Name+".oldest"] = thousands(q.Delayed), age(q.Oldest)
	}
	return show
}

// add adds what happened in a second to a sum.
func add(sum *Second, s Second) {
	sum.Accepted += s.Accepted
	sum.Paid += s.Paid
	sum.Declined += s.Declined
	sum.Unavailable += s.Unavailable
	sum.Unknown += s.Unknown
	sum.Misconfigured += s.Misconfigured
	sum.GaveUp += s.GaveUp
	sum.Failed += s.Failed
}

func rate(n, seconds int) string {
	if per := float64(n) / float64(seconds); n > 0 && per < 10 {
		return strconv.FormatFloat(per, 'f', 1, 64)
	}
	return thousands((n + seconds/2) / seconds)
}

func age(d time.Duration) string {
	if d == 0 {
		return none
	}
	return d.Truncate(time.Second).String()
}

// live streams the board as Server-Sent Events, one a second. Whoever comes back gets what it has
// missed.
func (s *console) live(w http.ResponseWriter, r *http.Request) {
	if !s.seesBoard(r) {
		s.render(w, r, http.StatusNotFound, "problem.html", page{Title: "No live board"}, "The live board shows the whole system, to operators of all tenants.")
		return
	}
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "5")
		s.render(w, r, http.StatusServiceUnavailable, "problem.html", page{Title: "Too many boards"},
			fmt.Sprintf("%d live boards are open, which is as many as there may be: close one.", maxStreams))
		return
	}
	var expired <-chan time.Time
	if s.SignIn != nil {
		timer := time.NewTimer(streamFor)
		defer timer.Stop()
		expired = timer.C
	}
	w.Header().Set("Content-Type", "text/event-stream")
	connection := http.NewResponseController(w)
	after := seen(r)
	text := "retry: 1000\n\n"
	for {
		_ = connection.SetWriteDeadline(time.Now().Add(writeWithin)) //nolint:forbidigo // deadlines are the system clock's
		if _, err := w.Write([]byte(text)); err != nil || connection.Flush() != nil {
			return
		}
		select {
		case <-expired:
			return
		default:
		}
		if s.Local.Board.Wait(r.Context(), after) != nil {
			return // whoever it was for has gone, or the program ends
		}
		seconds := s.Local.Board.Seconds(time.Time{})
		event := encode(newLiveEvent(seconds, after))
		after = seconds[len(seconds)-1].At
		text = "id: " + strconv.FormatInt(after.UnixMilli(), 10) + "\ndata: " + event + "\n\n"
	}
}

// seen returns the second up to which a browser has seen the board: by the last event that it got,
// or the page that it has.
func seen(r *http.Request) time.Time {
	last := cmp.Or(strings.TrimSpace(r.Header.Get("Last-Event-ID")), r.URL.Query().Get("after"))
	milliseconds, err := strconv.ParseInt(last, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.UnixMilli(milliseconds)
}
