package functions_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"paylane/shared/document"
	"paylane/shared/dynamostore"
	"paylane/shared/handlers"
	"paylane/shared/handlers/handlerstest"
	"paylane/shared/order"
	"paylane/shared/pebblestore/pebbletest"
	"paylane/shared/queue"
	"paylane/shared/telemetry"
	"paylane/shared/webhook"
)

var update = flag.Bool("update", false, "rewrite the table in docs/cost.md")

// prices holds AWS's list prices. Unchecked names those that could not be looked up when the
// others were.
type prices struct {
	PerMillion, Each map[string]float64
	Unchecked        []string
}

// usage is what an order uses. TestCost in package localstack counts its calls and units,
// TestUsage here its bytes.
type usage struct {
	Calls                                map[string]float64
	WriteUnits, ReadUnits                float64
	CustomerWriteUnits                   float64 // more, for an order with a customerId
	APIMilliseconds, PaymentMilliseconds float64
	MemoryMB                             float64
	// Bytes of log events as CloudWatch bills them: of an invocation of api, of one of payment
	// without its records, of a record, and of a request in the access log.
	APILogBytes, PaymentLogBytes, RecordLogBytes, AccessLogBytes float64
	ResponseBytes, ItemBytes                                     float64
	// Webhook is what an order uses besides for each webhook that hears of it.
	Webhook                webhookUsage
	Clients, TokensPerHour float64 // with a token each
}

// webhookUsage is what one event and its delivery use. TestWebhookUsage counts all but the times,
// and the writes of the endpoint's health, of which there is one in ten seconds at most.
type webhookUsage struct {
	Sends, Reads, Writes, HealthWrites float64
	FanoutMilliseconds, Milliseconds   float64
	// Bytes of log events of an invocation of each function, with one event.
	FanoutLogBytes, LogBytes float64
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

const (
	days    = 30.0 // of a month
	seconds = days * 24 * 3600
	// pollers ask a queue that has a cap on concurrency, each for up to 20 s ("Configuring
	// scaling behavior for SQS event source mappings").
	pollers, longPoll = 5.0, 20.0
	// keyCached is how long DynamoDB uses a table's key without asking KMS, on each connection
	// ("Encryption at rest: How it works").
	keyCached = 300.0
	goal      = 4.50 // for the work of a million orders
	// healthEvery is how often an endpoint's health is written while all goes well.
	healthEvery = 10.0
)

// month is the orders of a month.
type month struct {
	title  string
	orders float64
	// batch is how many orders the payment function gets at a time, and receives how many
	// calls fetch them.
	batch, receives float64
	// The nightly reconciliation's settings.
	reconcileDays, reconcileRate float64
}

// months returns the table's columns. With batches as a queue without a window makes them:
// while five pollers wait, a message is fetched as it comes, and of 39 a second some meet. With
// a window each poller gathers its fifth of what comes in a second, by as many calls.
func months() []month {
	const many = 1e8
	window := many / seconds / pollers
	return []month{
		{"10 thousand orders", 1e4, 1, 1, 35, 50},
		{"1 million", 1e6, 1, 1, 35, 50},
		{"100 million, batches of 1", many, 1, 1, 1, 80},
		{"100 million, batches of 2", many, 2, 1, 1, 80},
		{"100 million, a window of 1 s", many, window, window, 1, 80},
	}
}

type item struct {
	name string
	cost float64
}

// items returns the parts of a month's bill.
func (m month) items(p prices, u usage, watched float64) []item {
	million, rate := m.orders/1e6, m.orders/seconds
	invocations := 1 + 1/m.batch
	gigabyteSeconds := u.MemoryMB / 1024 * (u.APIMilliseconds + u.PaymentMilliseconds/m.batch) / 1000
	// At most, for the payment queue is not always empty.
	idle := 3 * pollers * seconds / longPoll
	requests := m.orders*(u.Calls["SendMessage"]+(m.receives+1)/m.batch) + idle
	logged := m.orders * (u.APILogBytes + u.AccessLogBytes + u.PaymentLogBytes/m.batch + u.RecordLogBytes) / 1e9
	connections := 2 + rate*(u.APIMilliseconds+u.PaymentMilliseconds/m.batch)/1000
	return []item{
		{"API Gateway", million * p.PerMillion["apigateway.http.request"]},
		{"Lambda", million*invocations*p.PerMillion["lambda.request"] + m.orders*gigabyteSeconds*p.Each["lambda.arm64.gbSecond"]},
		{"SQS", requests / 1e6 * p.PerMillion["sqs.request"]},
		{"DynamoDB writes", million * u.WriteUnits * p.PerMillion["dynamodb.write"]},
		{"DynamoDB reads", million * u.ReadUnits * p.PerMillion["dynamodb.read"]},
		{"storage and backup, first month", m.orders * u.ItemBytes / 1e9 * (p.Each["dynamodb.storage.gbMonth"] + p.Each["dynamodb.pitr.gbMonth"])},
		{"reconciling", days * m.night(p, u)},
		{"logs", logged * p.Each["logs.ingest.gb"]},
		{"metrics, alarms, dashboard", float64(len(telemetry.Metrics()))*p.Each["cloudwatch.metric.month"] + watched*p.Each["cloudwatch.alarm.month"] + p.Each["cloudwatch.dashboard.month"]},
		{"access tokens", u.Clients * client(p, u)},
		{"data transfer", m.orders * u.ResponseBytes / 1e9 * p.Each["transfer.out.gb"]},
		{"KMS", connections * seconds / keyCached / 1e6 * p.PerMillion["kms.request"]},
	}
}

// webhook returns what a webhook costs that hears of every order once, in batches of one.
func (m month) webhook(p prices, u usage) float64 {
	w, million := u.Webhook, m.orders/1e6
	gigabyteSeconds := u.MemoryMB / 1024 * (w.FanoutMilliseconds + w.Milliseconds) / 1000
	health := min(m.orders, seconds/healthEvery)
	return million*(2*p.PerMillion["lambda.request"]+(w.Sends+2)*p.PerMillion["sqs.request"]+
		w.Reads*p.PerMillion["dynamodb.read"]+w.Writes*p.PerMillion["dynamodb.write"]) +
		m.orders*gigabyteSeconds*p.Each["lambda.arm64.gbSecond"] + m.orders*(w.FanoutLogBytes+w.LogBytes)/1e9*p.Each["logs.ingest.gb"] +
		health*w.HealthWrites/1e6*p.PerMillion["dynamodb.write"] + pollers*seconds/longPoll/1e6*p.PerMillion["sqs.request"]
}

// scan returns the cost of reading a month's orders once, at half a unit for 4 KB.
func (m month) scan(p prices, u usage) float64 {
	return m.orders * u.ItemBytes / 4000 / 2 / 1e6 * p.PerMillion["dynamodb.read"]
}

// night returns the cost of one night's reconciliation, at the end of the first month: a scan,
// and an environment that asks about the orders of the last days.
func (m month) night(p prices, u usage) float64 {
	asking := m.orders * m.reconcileDays / days / m.reconcileRate
	return m.scan(p, u) + asking*u.MemoryMB/1024*p.Each["lambda.arm64.gbSecond"]
}

// client returns what a client costs a month, with its tokens.
func client(p prices, u usage) float64 {
	return p.Each["cognito.client.month"] + u.TokensPerHour*24*days/1000*p.Each["cognito.token.thousand"]
}

// work sums the part of the bill for taking, keeping and paying the orders alone, per million.
func (m month) work(items []item) (sum float64) {
	for _, i := range items[:5] {
		sum += i.cost
	}
	return sum / m.orders * 1e6
}

// provisioned returns the work's cost per million orders with provisioned writes, of which a
// share is used.
func (m month) provisioned(p prices, u usage, items []item, used float64) float64 {
	hours := u.WriteUnits * 1e6 / 3600 / used
	return m.work(items) - u.WriteUnits*p.PerMillion["dynamodb.write"] + hours*p.Each["dynamodb.provisioned.writeHour"]
}

// TestCostPage computes the table of docs/cost.md from the prices and the usage, and finds
// every other figure of the page among what it computes.
func TestCostPage(t *testing.T) {
	var p prices
	var u usage
	load(t, "prices.json", &p)
	load(t, "usage.json", &u)
	months, watched := months(), watched(t)
	columns := make([][]item, len(months))
	for n, m := range months {
		columns[n] = m.items(p, u, watched)
	}
	var table strings.Builder
	var known []float64
	row := func(name string, cell func(n int) float64) {
		fmt.Fprintf(&table, "| %s |", name)
		for n := range months {
			fmt.Fprintf(&table, " %.2f |", cell(n))
			known = append(known, cell(n))
		}
		table.WriteString("\n")
	}
	table.WriteString("| US$ a month |")
	for _, m := range months {
		fmt.Fprintf(&table, " %s |", m.title)
	}
	table.WriteString("\n|---|" + strings.Repeat("---|", len(months)) + "\n")
	for i, first := range columns[0] {
		row(first.name, func(n int) float64 { return columns[n][i].cost })
	}
	total := func(n int) (sum float64) {
		for _, i := range columns[n] {
			sum += i.cost
		}
		return sum
	}
	work := func(n int) float64 { return months[n].work(columns[n]) }
	row("**all**", total)
	row("**all, per million orders**", func(n int) float64 { return total(n) / months[n].orders * 1e6 })
	row("**the work alone, per million orders**", work)
	row("**of that, above the goal of $4.50**", func(n int) float64 { return work(n) - goal })
	row("the work, with provisioned writes, 70 % of them used", func(n int) float64 { return months[n].provisioned(p, u, columns[n], 0.7) })
	row("more, if every order has a `customerId`", func(n int) float64 {
		return months[n].orders / 1e6 * u.CustomerWriteUnits * p.PerMillion["dynamodb.write"]
	})
	row("more, for a webhook that hears of every order", func(n int) float64 { return months[n].webhook(p, u) })
	row("the same, per million orders", func(n int) float64 { return months[n].webhook(p, u) / months[n].orders * 1e6 })

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

	known = slices.AppendSeq(known, maps.Values(p.PerMillion))
	known = slices.AppendSeq(known, maps.Values(p.Each))
	second := 1e6 * u.MemoryMB / 1024 * p.Each["lambda.arm64.gbSecond"] // of a million environments
	fewer := months[4]
	fewer.receives = 1
	known = append(
		known, goal, client(p, u), 1000*p.Each["cognito.token.thousand"], p.PerMillion["kms.request"]/100,
		fewer.work(fewer.items(p, u, watched)),
		second, second/months[1].reconcileRate, months[1].scan(p, u), months[2].scan(p, u),
		order.MaxFiltered*p.PerMillion["dynamodb.read"], 2*p.PerMillion["dynamodb.write"],
		12*columns[2][5].cost, 0.25*p.Each["dynamodb.storage.gbMonth"],
	)
	shares := []float64{70}
	for _, figure := range regexp.MustCompile(`(\$?)([0-9][0-9,]*(?:\.[0-9]+)?)( %)?`).FindAllStringSubmatch(before+after, -1) {
		among := known
		switch {
		case figure[3] != "":
			among = shares
		case figure[1] == "":
			continue
		}
		value, err := strconv.ParseFloat(strings.ReplaceAll(figure[2], ",", ""), 64)
		if err != nil {
			t.Fatal(err)
		}
		_, decimals, _ := strings.Cut(figure[2], ".")
		half := math.Pow(0.1, float64(len(decimals))) / 2
		if !slices.ContainsFunc(among, func(k float64) bool { return math.Abs(k-value) <= half+1e-9 }) {
			t.Errorf("docs/cost.md says %s, which is neither a price nor computed", figure[0])
		}
	}
	for _, name := range p.Unchecked {
		_, each := p.Each[name]
		if _, million := p.PerMillion[name]; !each && !million {
			t.Errorf("docs/prices.json says that %s is unchecked, and has no such price", name)
		}
	}
}

// The lines that Lambda adds to an invocation's (the text format, "Sending Lambda function logs
// to CloudWatch Logs").
const platformLines = `START RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95 Version: 12
END RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95
REPORT RequestId: 8f507cfc-xmpl-4697-b07a-ac58fc914c95	Duration: 19.82 ms	Billed Duration: 20 ms	Memory Size: 256 MB	Max Memory Used: 41 MB	
`

// billed returns the bytes of log lines, of which CloudWatch counts 26 more each ("PutLogEvents",
// CloudWatch Logs API reference).
func billed(lines string) float64 { return float64(len(lines) + 25*strings.Count(lines, "\n")) }

// TestUsage: what docs/usage.json says of bytes is what an order writes.
func TestUsage(t *testing.T) {
	var u usage
	load(t, "usage.json", &u)
	store, queued := pebbletest.Open(t, time.Minute)
	var out bytes.Buffer
	services := handlerstest.Services(store, queued)
	services.Log = slog.New(telemetry.Handler(slog.NewJSONHandler(&out, nil)))
	services.Telemetry = telemetry.NewRecorder(&out, "paylane-prod", time.Now)
	//nolint:staticcheck // the key is aws-lambda-go's
	ctx := context.WithValue(t.Context(), "x-amzn-trace-id",
		"Root=1-5e34a614-10bd0a1bf1fb44f07bc535a1;Parent=07f50a1b2d1f6f85;Sampled=0;Lineage=1:2d1f6f85:0")
	ctx = lambdacontext.NewContext(ctx, &lambdacontext.LambdaContext{AwsRequestID: "8f507cfc-xmpl-4697-b07a-ac58fc914c95"})
	// lines returns the bytes of log that an invocation leaves, once the environment is warm.
	lines := func(invoke func()) float64 {
		out.Reset()
		invoke()
		return billed(out.String())
	}

	api := handlerstest.Must[handlers.HTTPHandler](t)(handlers.API(handlerstest.Environment(), services))
	text, err := os.ReadFile("../events/api-create-order.json")
	if err != nil {
		t.Fatal(err)
	}
	var event events.APIGatewayV2HTTPRequest
	if err := json.Unmarshal(text, &event); err != nil {
		t.Fatal(err)
	}
	var response events.APIGatewayV2HTTPResponse
	create := func() {
		event.Headers["idempotency-key"] += "1" // another order
		if response, err = api(ctx, event); err != nil || response.StatusCode != http.StatusCreated {
			t.Fatalf("%d %s, %v", response.StatusCode, response.Body, err)
		}
	}
	create()
	placing := lines(create)
	create()
	payment := handlerstest.Must[handlers.SQSHandler](t)(handlers.Payment(handlerstest.Environment(), services))
	got, err := queued.Receive(ctx, queue.ReceiveRequest{Max: queue.MaxBatch, Wait: time.Second})
	if err != nil || len(got) != 3 {
		t.Fatalf("%d messages, %v", len(got), err)
	}
	pay := func(messages ...queue.Message) func() {
		var event events.SQSEvent
		for _, d := range messages {
			event.Records = append(event.Records, events.SQSMessage{MessageId: d.MessageID, ReceiptHandle: d.ReceiptHandle, Body: d.Body})
		}
		return func() {
			if r, err := payment(ctx, event); err != nil || len(r.BatchItemFailures) > 0 {
				t.Fatalf("%v, %v", r, err)
			}
		}
	}
	nothing := lines(pay())
	record := lines(pay(got[0])) - nothing
	// API Gateway adds four headers.
	answer := response.Body + "date: Fri, 10 Jul 2026 19:19:05 GMT\r\ncontent-length: 1024\r\n" +
		"connection: keep-alive\r\napigw-requestid: ATfSmjLgPHcESJw=\r\nHTTP/1.1 201 Created\r\n\r\n"
	for name, value := range response.Headers {
		answer += name + ": " + value + "\r\n"
	}
	for _, test := range []struct {
		name      string
		got, want float64
	}{
		{"apiLogBytes", u.APILogBytes, placing + billed(platformLines)},
		{"paymentLogBytes", u.PaymentLogBytes, nothing + billed(platformLines)},
		{"recordLogBytes", u.RecordLogBytes, record},
		{"accessLogBytes", u.AccessLogBytes, billed(accessLine(t))},
		{"responseBytes", u.ResponseBytes, float64(len(answer))},
	} {
		if math.Abs(test.got-test.want) > test.want/20 {
			t.Errorf("%s is %v; an order has %v", test.name, test.got, test.want)
		}
	}
}

// counting counts the calls for documents, and their sizes.
type counting struct {
	handlers.Store
	reads, writes float64
	largest       int
}

func (c *counting) Document(ctx context.Context, k document.Key) (document.Document, error) {
	c.reads++ // a unit for 4 KB, consistently
	return c.Store.Document(ctx, k)
}

func (c *counting) PutDocument(ctx context.Context, d document.Document) error {
	c.writes++
	c.largest = max(c.largest, len(d.Body))
	return c.Store.PutDocument(ctx, d)
}

// taking is a server of webhooks that takes everything.
type taking struct{}

func (taking) Post(context.Context, string, map[string]string, []byte) (webhook.Answer, error) {
	return webhook.Answer{Status: http.StatusOK}, nil
}

// TestWebhookUsage: what docs/usage.json says of a webhook is what an event and its delivery use.
func TestWebhookUsage(t *testing.T) {
	var u usage
	load(t, "usage.json", &u)
	store, queued := pebbletest.Open(t, time.Minute)
	counted := &counting{Store: store}
	var out bytes.Buffer
	now := time.Now()
	services := handlerstest.Services(counted, queued)
	services.Webhooks, services.Image, services.Now = taking{}, dynamostore.FromImage, func() time.Time { return now }
	services.Log = slog.New(telemetry.Handler(slog.NewJSONHandler(&out, nil)))
	services.Telemetry = telemetry.NewRecorder(&out, "paylane-prod", time.Now)
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "8f507cfc-xmpl-4697-b07a-ac58fc914c95"})
	endpoints := webhook.NewEndpoints(webhook.EndpointsConfig{
		Documents: store, Queue: queued, CheckURL: services.CheckWebhook, Now: services.Now, NewID: func() (string, error) { return uuid.NewString(), nil },
	})
	const tenant = "1example23456789abcdefghij"
	if _, err := endpoints.Create(ctx, tenant, "https://shop.example/webhooks/paylane", nil); err != nil {
		t.Fatal(err)
	}
	fanout := handlerstest.Must[handlers.TableStreamHandler](t)(handlers.Fanout(handlerstest.Environment(), services))
	deliver := handlerstest.Must[handlers.SQSHandler](t)(handlers.Webhook(handlerstest.Environment(), services))
	var got webhookUsage
	// The log of successes is full after ten; from then on the health is as long as it gets.
	for range 15 {
		now = now.Add(time.Minute)
		o := order.New(order.Ref{Tenant: tenant, ID: uuid.NewString()}, order.Request{Amount: 12000, Currency: "KRW", PaymentToken: "tok_ok"}, "", now)
		claimed, err := o.Claimed(order.Claim{Kind: order.KindCharge, Round: 1, Now: now, Until: now.Add(time.Second), Limits: order.Limits{Attempts: 3}})
		if err != nil {
			t.Fatal(err)
		}
		paid, err := claimed.PaidWith("PAY-5F0C21AB", false, now)
		if err != nil {
			t.Fatal(err)
		}
		got, *counted = webhookUsage{}, counting{Store: store}
		out.Reset()
		change := events.DynamoDBStreamRecord{SequenceNumber: "1", OldImage: dynamostore.Image(claimed), NewImage: dynamostore.Image(paid)}
		if r, err := fanout(ctx, events.DynamoDBEvent{Records: []events.DynamoDBEventRecord{{EventName: "MODIFY", Change: change}}}); err != nil || len(r.BatchItemFailures) > 0 {
			t.Fatalf("%v, %v", r, err)
		}
		got.FanoutLogBytes = billed(out.String() + platformLines)
		messages, err := queued.Receive(ctx, queue.ReceiveRequest{Max: queue.MaxBatch, Wait: time.Second})
		if err != nil {
			t.Fatal(err)
		}
		got.Sends = float64(len(messages))
		out.Reset()
		var batch events.SQSEvent
		for _, m := range messages {
			batch.Records = append(batch.Records, events.SQSMessage{MessageId: m.MessageID, ReceiptHandle: m.ReceiptHandle, Body: m.Body, Attributes: m.Attributes})
		}
		if r, err := deliver(ctx, batch); err != nil || len(r.BatchItemFailures) > 0 {
			t.Fatalf("%v, %v\n%s", r, err, &out)
		}
		got.LogBytes = billed(out.String() + platformLines)
	}
	got.Reads, got.HealthWrites = counted.reads, math.Ceil(float64(counted.largest)/1024)
	got.Writes = counted.writes - 1 // the health's
	got.FanoutMilliseconds, got.Milliseconds = u.Webhook.FanoutMilliseconds, u.Webhook.Milliseconds
	for _, bytes := range []struct {
		name        string
		got, stated *float64
	}{{"fanoutLogBytes", &got.FanoutLogBytes, &u.Webhook.FanoutLogBytes}, {"logBytes", &got.LogBytes, &u.Webhook.LogBytes}} {
		if math.Abs(*bytes.got-*bytes.stated) > *bytes.got/20 {
			t.Errorf("webhook.%s is %v; an event has %v", bytes.name, *bytes.stated, *bytes.got)
		}
		*bytes.got = *bytes.stated
	}
	if got != u.Webhook {
		t.Errorf("an event uses %+v; docs/usage.json has %+v", got, u.Webhook)
	}
}

// accessLine returns a line of the API's access log, in the template's format.
func accessLine(t *testing.T) string {
	t.Helper()
	var root map[string]any
	if err := yaml.Unmarshal(source(t), &root); err != nil {
		t.Fatal(err)
	}
	var format string
	walk(root["Resources"], func(m map[string]any) {
		if settings, ok := m["AccessLogSettings"].(map[string]any); ok {
			format, _ = settings["Format"].(string)
		}
	})
	values := map[string]string{
		"requestId": "ATfSmjLgPHcESJw=", "requestTimeEpoch": "1783711145123", "routeKey": "POST /orders", "status": "201",
		"responseLatency": "31", "authorizer.claims.client_id": "1example23456789abcdefghij",
	}
	return regexp.MustCompile(`\$context\.[A-Za-z_.]+`).ReplaceAllStringFunc(format, func(variable string) string {
		return cmp.Or(values[strings.TrimPrefix(variable, "$context.")], "-")
	}) + "\n"
}
