package console

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"paylane/shared/order"
	"paylane/shared/wire"
)

func (s *console) boardRoutes(see route) {
	see(Root, s.board)
	see(Root+"/{$}", s.board)
	see(livePath, s.live)
}

type boardPage struct {
	// Live is nil where only the API can be asked; then Known is what it knows.
	Live  *livePage
	Known *knownPage
}

func (s *console) board(w http.ResponseWriter, r *http.Request) {
	p := page{Title: "Board", Area: "board"}
	if s.seesBoard(r) {
		queues := "#queues"
		if s.Local.Queues != nil {
			queues = Root + "/queues"
		}
		s.render(w, r, http.StatusOK, "board.html", p, boardPage{Live: newLivePage(s.Local.Board.Seconds(time.Time{}), queues)})
		return
	}
	known := knownPage{Dashboard: s.Dashboard}
	a := s.call(r, http.MethodGet, "/orders", url.Values{"limit": {strconv.Itoa(knownOrders)}}, "")
	if a.OK() {
		var body struct{ Orders []wire.OrderBody }
		if err := json.Unmarshal(a.Body, &body); err != nil {
			s.broken(w, r, err)
			return
		}
		known.learn(body.Orders)
	} else {
		known.Refused = &a
	}
	s.render(w, r, a.Status, "board.html", p, boardPage{Known: &known})
}

// seesBoard reports whether there are figures, and a request's session may see them.
func (s *console) seesBoard(r *http.Request) bool {
	session, _ := SessionOf(r.Context())
	return s.Local.Board != nil && s.seesAll(session)
}

// knownOrders is how many of the newest orders the board looks at where it can't see all.
const knownOrders = 100

// knownPage is what the newest orders tell.
type knownPage struct {
	// Refused is the API's answer if there are no orders.
	Refused  *answer
	Orders   int
	Statuses []statusCount
	// Failed is how many in a hundred of those at an end FAILED.
	Failed int
	// P50 and P99 are percentiles of the time to PAID of those Timed: that are PAID and unchanged
	// since.
	P50, P99 time.Duration
	Timed    int
	// Rate is how many were placed a minute; 0 if the orders don't tell.
	Rate float64
	// Since is when the oldest of them was placed.
	Since     time.Time
	Dashboard string
}

type statusCount struct {
	Status order.Status
	Count  int
}

// learn looks at orders, newest first.
func (k *knownPage) learn(orders []wire.OrderBody) {
	k.Orders = len(orders)
	count := make(map[order.Status]int)
	var times []time.Duration
	ended := 0
	for _, o := range orders {
		status := order.Status(o.Status)
		count[status]++
		if status.End() {
			ended++
		}
		if status == order.Paid && len(o.Refunds) == 0 {
			times = append(times, parseTime(o.UpdatedAt).Sub(parseTime(o.CreatedAt)))
		}
	}
	for _, status := range statuses() {
		k.Statuses = append(k.Statuses, statusCount{status, count[status]})
	}
	if ended > 0 {
		k.Failed = (count[order.Failed]*100 + ended/2) / ended
	}
	if k.Timed = len(times); k.Timed > 0 {
		slices.Sort(times)
		k.P50, k.P99 = times[(k.Timed*50+99)/100-1], times[(k.Timed*99+99)/100-1]
	}
	if len(orders) == 0 {
		return
	}
	newest := parseTime(orders[0].CreatedAt)
	k.Since = parseTime(orders[len(orders)-1].CreatedAt)
	if span := newest.Sub(k.Since); span > 0 {
		k.Rate = float64(len(orders)-1) / span.Minutes()
	}
}
