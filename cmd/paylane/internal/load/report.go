package load

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"paylane/shared/order"
)

// measured is everything that a run measured.
type measured struct {
	url         string
	connections int
	drainLimit  time.Duration
	interrupted bool

	load        loaded
	orders      *ledger
	duplicates  int
	followError error

	// These have no elapsed time if the floor was not measured.
	floorBefore, floorAfter loaded
}

// Report is the outcome, for people and machines. The package comment explains each field.
type Report struct {
	URL               string               `json:"url"`
	Connections       int                  `json:"connections"`
	LoadMs            float64              `json:"loadMs"`
	Interrupted       bool                 `json:"interrupted"`
	Requests          int                  `json:"requests"`
	Accepted          int                  `json:"accepted"`
	AcceptedPerSecond float64              `json:"acceptedPerSecond"`
	LatencyMs         latencyReport        `json:"latencyMs"`
	Errors            []FailureReport      `json:"errors"`
	Ends              map[order.Status]int `json:"ends"`
	PaidPerSecond     float64              `json:"paidPerSecond"`
	DrainMs           *float64             `json:"drainMs"`
	Duplicates        int                  `json:"duplicates"`
	Missing           int                  `json:"missing"`
	Unfinished        int                  `json:"unfinished"`
	Unread            int                  `json:"unread"`
	FollowError       string               `json:"followError,omitempty"`
	Floor             *floorReport         `json:"floor,omitempty"`
	Failures          []string             `json:"failures"`
	OK                bool                 `json:"ok"`
}

type latencyReport struct {
	P50  float64 `json:"p50"`
	P90  float64 `json:"p90"`
	P99  float64 `json:"p99"`
	P999 float64 `json:"p999"`
	Max  float64 `json:"max"`
}

type floorReport struct {
	Before    floorRun `json:"before"`
	After     floorRun `json:"after"`
	PerSecond float64  `json:"perSecond"`
	Ratio     float64  `json:"ratio"`
}

type floorRun struct {
	Accepted  int           `json:"accepted"`
	PerSecond float64       `json:"perSecond"`
	LatencyMs latencyReport `json:"latencyMs"`
}

// report draws the conclusions.
func (m *measured) report() Report {
	failed := m.load.errors.total()
	r := Report{
		URL: m.url, Connections: m.connections, Interrupted: m.interrupted,
		LoadMs:            milliseconds(m.load.elapsed),
		Requests:          len(m.load.ids) + failed,
		Accepted:          len(m.load.ids),
		AcceptedPerSecond: round(m.load.perSecond()),
		LatencyMs:         newLatencyReport(m.load.latency),
		Errors:            m.load.errors.list(),
		Ends:              m.orders.ends,
		Duplicates:        m.duplicates,
		Missing:           m.orders.counts[missing],
		Unfinished:        m.orders.counts[unfinished],
		Unread:            m.orders.counts[unread],
	}
	if m.followError != nil {
		r.FollowError = m.followError.Error()
	}
	if paid := m.orders.ends[order.Paid]; paid > 0 {
		r.PaidPerSecond = round(perSecond(paid, m.orders.lastPaid.Sub(m.load.oldest)))
	}
	if m.orders.counts[ended] > 0 && m.orders.counts[ended] == len(m.orders.ids) {
		drain := milliseconds(max(m.orders.lastEnd.Sub(m.load.newest), 0))
		r.DrainMs = &drain
	}
	if m.floorBefore.elapsed+m.floorAfter.elapsed > 0 {
		r.Floor = m.floor()
	}
	r.Failures = m.failures(r)
	r.OK = len(r.Failures) == 0
	return r
}

func (m *measured) floor() *floorReport {
	accepted := len(m.floorBefore.ids) + len(m.floorAfter.ids)
	rate := perSecond(accepted, m.floorBefore.elapsed+m.floorAfter.elapsed)
	f := &floorReport{Before: newFloorRun(m.floorBefore), After: newFloorRun(m.floorAfter), PerSecond: round(rate)}
	if rate > 0 {
		f.Ratio = round(m.load.perSecond() / rate)
	}
	return f
}

// failures describes what was not as promised.
func (m *measured) failures(r Report) []string {
	list := []string{}
	add := func(n int, format string, args ...any) {
		if n > 0 {
			list = append(list, fmt.Sprintf(format, args...))
		}
	}
	failed := r.Requests - r.Accepted
	add(failed, "failed requests: %d of %d", failed, r.Requests)
	add(r.Duplicates, "answers that name an order another had named: %d", r.Duplicates)
	add(r.Missing, "orders accepted but missing: %d", r.Missing)
	add(r.Unfinished, "orders not at an end %s after the load: %d", m.drainLimit, r.Unfinished)
	add(r.Unread, "orders that could not be followed: %d", r.Unread)
	if m.followError != nil {
		list = append(list, "following the orders: "+r.FollowError)
	}
	if r.Requests == 0 {
		list = append(list, "no request was sent")
	}
	onFloor := m.floorBefore.errors.total() + m.floorAfter.errors.total()
	add(onFloor, "failed requests to the floor server: %d", onFloor)
	return list
}

func newFloorRun(l loaded) floorRun {
	return floorRun{Accepted: len(l.ids), PerSecond: round(l.perSecond()), LatencyMs: newLatencyReport(l.latency)}
}

func newLatencyReport(h *hdrhistogram.Histogram) latencyReport {
	at := func(percentile float64) float64 {
		return milliseconds(time.Duration(h.ValueAtPercentile(percentile)) * time.Microsecond)
	}
	return latencyReport{P50: at(50), P90: at(90), P99: at(99), P999: at(99.9), Max: at(100)}
}

// milliseconds returns a duration to the microsecond.
func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// round drops digits that nobody needs.
func round(x float64) float64 { return math.Round(x*1000) / 1000 }

// WriteJSON writes the report for machines.
func (r Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(r)
}

// WriteText writes the report for people: the rates side by side, then what became of the
// orders.
func (r Report) WriteText(w io.Writer) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s, %d connections, %.1f s", r.URL, r.Connections, r.LoadMs/1000)
	if r.Interrupted {
		b.WriteString(" (interrupted)")
	}
	b.WriteString("\n\n")
	r.writeRates(&b)
	b.WriteString("\n")
	fmt.Fprintf(&b, "accepted  %d\n", r.Accepted)
	for _, status := range order.Statuses() {
		if n := r.Ends[status]; n > 0 {
			fmt.Fprintf(&b, "%-9s %d", status, n)
			if status == order.Paid {
				fmt.Fprintf(&b, ", %.0f/s", r.PaidPerSecond)
			}
			b.WriteString("\n")
		}
	}
	if r.DrainMs != nil {
		fmt.Fprintf(&b, "drained   %.2f s after the newest order\n", *r.DrainMs/1000)
	}
	for _, e := range r.Errors {
		fmt.Fprintf(&b, "error     %s, %d times: %s\n", e.Kind, e.Count, e.Example)
	}
	b.WriteString("\n")
	for _, f := range r.Failures {
		fmt.Fprintf(&b, "NOT OK    %s\n", f)
	}
	if r.OK {
		b.WriteString("ok        no request failed, and every order reached its end\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// writeRates writes a table with a line for the target, between two for the floor if it
// was measured.
func (r Report) writeRates(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	row := func(name string, rate float64, l latencyReport) {
		fmt.Fprintf(table, "%s\t%.0f/s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", name, rate, l.P50, l.P90, l.P99, l.P999, l.Max)
	}
	fmt.Fprintln(table, "\taccepted\tp50 ms\tp90\tp99\tp99.9\tmax\t")
	if r.Floor != nil {
		row("floor before", r.Floor.Before.PerSecond, r.Floor.Before.LatencyMs)
	}
	row("target", r.AcceptedPerSecond, r.LatencyMs)
	if r.Floor != nil {
		row("floor after", r.Floor.After.PerSecond, r.Floor.After.LatencyMs)
		fmt.Fprintf(table, "of the floor\t%.1f %%\t\n", 100*r.Floor.Ratio)
	}
	_ = table.Flush() // into memory
}
