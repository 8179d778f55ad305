package functions_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"paylane/shared/telemetry"
)

var update = flag.Bool("update", false, "rewrite the table in docs/cost.md")

// prices holds AWS's list prices.
type prices struct {
	PerMillion, Each map[string]float64
}

// usage is what an order uses. TestCost in package localstack counts its calls and units.
type usage struct {
	Calls                                 map[string]float64
	WriteUnits, ReadUnits                 float64
	CustomerWriteUnits                    float64 // more, for an order with a customerId
	APIMilliseconds, PaymentMilliseconds  float64
	MemoryMB                              float64
	LogBytesPerInvocation, AccessLogBytes float64
	TracedShare, ItemBytes                float64
}

// watched counts the metrics that the template's alarms watch, by which CloudWatch bills them.
func watched(t *testing.T) (metrics float64) {
	t.Helper()
	var root map[string]any
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	walk(root["Resources"], func(m map[string]any) {
		if m["MetricName"] != nil {
			metrics++
		}
	})
	return metrics
}

func load(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile("../docs/" + name)
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// month is the orders of a month.
type month struct {
	orders float64
	batch  float64 // orders per batch of the payment function
}

type item struct {
	name string
	cost float64
}

// items returns the parts of a month's bill.
func (m month) items(p prices, u usage, watched float64) []item {
	million := m.orders / 1e6
	gigabyteSeconds := u.MemoryMB / 1024 * (u.APIMilliseconds + u.PaymentMilliseconds/m.batch) / 1000
	invocations := 1 + 1/m.batch
	// A batch takes a receive and a delete. While the queue is empty five pollers ask every
	// 20 s, which comes to this much at most.
	idle := 5 * 3 * 60 * 24 * 30.0
	requests := m.orders*(u.Calls["SendMessage"]+2/m.batch) + idle
	logged := m.orders * (u.LogBytesPerInvocation*invocations + u.AccessLogBytes) / 1e9
	return []item{
		{"API Gateway", million * p.PerMillion["apigateway.http.request"]},
		{"Lambda", million*invocations*p.PerMillion["lambda.request"] + m.orders*gigabyteSeconds*p.Each["lambda.arm64.gbSecond"]},
		{"SQS", requests / 1e6 * p.PerMillion["sqs.request"]},
		{"DynamoDB writes", million * u.WriteUnits * p.PerMillion["dynamodb.write"]},
		{"DynamoDB reads", million * u.ReadUnits * p.PerMillion["dynamodb.read"]},
		{"storage and backup, first month", m.orders * u.ItemBytes / 1e9 * (p.Each["dynamodb.storage.gbMonth"] + p.Each["dynamodb.pitr.gbMonth"])},
		{"logs", logged * p.Each["logs.ingest.gb"]},
		{"X-Ray", million * invocations * u.TracedShare * p.Each["xray.trace.million"]},
		{"metrics, alarms, dashboard", float64(len(telemetry.Metrics()))*p.Each["cloudwatch.metric.month"] + watched*p.Each["cloudwatch.alarm.month"] + p.Each["cloudwatch.dashboard.month"]},
	}
}

// work sums the part of the bill for taking, keeping and paying the orders alone.
func work(items []item) (sum float64) {
	for _, i := range items[:5] {
		sum += i.cost
	}
	return sum
}

// TestCostPage computes the table of docs/cost.md from the prices and the usage.
func TestCostPage(t *testing.T) {
	var p prices
	var u usage
	load(t, "prices.json", &p)
	load(t, "usage.json", &u)
	months := []month{{1e4, 1}, {1e6, 2}, {1e8, 10}}
	var table strings.Builder
	table.WriteString("| US$ a month | 10 thousand orders | 1 million | 100 million |\n|---|---|---|---|\n")
	watched := watched(t)
	var columns [][]item
	for _, m := range months {
		columns = append(columns, m.items(p, u, watched))
	}
	row := func(name string, cell func(n int) float64) {
		fmt.Fprintf(&table, "| %s |", name)
		for n := range months {
			fmt.Fprintf(&table, " %.2f |", cell(n))
		}
		table.WriteString("\n")
	}
	for i, first := range columns[0] {
		row(first.name, func(n int) float64 { return columns[n][i].cost })
	}
	total := func(n int) (sum float64) {
		for _, i := range columns[n] {
			sum += i.cost
		}
		return sum
	}
	row("**all**", total)
	row("**all, per million orders**", func(n int) float64 { return total(n) / months[n].orders * 1e6 })
	row("**the work alone, per million orders**", func(n int) float64 { return work(columns[n]) / months[n].orders * 1e6 })
	row("more, if every order has a `customerId`", func(n int) float64 {
		return months[n].orders / 1e6 * u.CustomerWriteUnits * p.PerMillion["dynamodb.write"]
	})

	const begin, end = "<!-- computed -->\n", "<!-- end -->\n"
	page, err := os.ReadFile("../docs/cost.md")
	if err != nil {
		t.Fatal(err)
	}
	before, rest, ok := strings.Cut(string(page), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatal("docs/cost.md has lost its markers")
	}
	want := before + begin + table.String() + end + after
	switch {
	case want == string(page):
	case *update:
		if err := os.WriteFile("../docs/cost.md", []byte(want), 0o600); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("docs/cost.md is stale: run go test ./functions -run TestCostPage -update")
	}
	if goal := 4.50; work(columns[2])/months[2].orders*1e6 > goal {
		t.Errorf("the work costs more than $%.2f per million orders", goal)
	}
}
