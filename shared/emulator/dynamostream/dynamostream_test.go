package dynamostream_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodbstreams"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/emulator/dynamostream"
	"paylane/shared/feed"
	"paylane/shared/order"
)

const (
	arn   = "arn:aws:dynamodb:us-east-1:000000000001:table/orders/stream/2026-03-14T09:26:53.589"
	shard = "shardId-00000001773480413589-5a3c0001"
)

// streamErrors is the namespace of the service's errors.
const streamErrors = awstest.Namespace("com.amazonaws.dynamodb.v20120810")

func refuses(code string) awstest.Answer {
	return streamErrors.Refuses(http.StatusBadRequest, code, nil)
}

// fake plays a stream: its answers come in turn, the last one for all further requests.
type fake struct {
	*awstest.Fake
	log bytes.Buffer
}

func serve(t *testing.T, answers ...awstest.Answer) (*dynamostream.Stream, *fake) {
	t.Helper()
	f := &fake{Fake: awstest.NewFake(t, awstest.InTurn(answers...))}
	log := slog.New(slog.NewTextHandler(&f.log, nil))
	client := dynamodbstreams.NewFromConfig(f.Config(), func(o *dynamodbstreams.Options) { o.Retryer = aws.NopRetryer{} })
	return dynamostream.New(client, arn, rand.IntN, log), f
}

// asked returns the requests so far, a line for each.
func (f *fake) asked() (lines []string) {
	for _, r := range f.Requests() {
		line := r.Operation
		for _, name := range []string{"ExclusiveStartShardId", "ShardIteratorType", "SequenceNumber", "ShardIterator", "Limit"} {
			if value, ok := r.Body[name]; ok {
				line += fmt.Sprint(" ", value)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

func wantAsked(t *testing.T, f *fake, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, f.asked()); diff != "" {
		t.Errorf("the requests (-want +got):\n%s", diff)
	}
}

func iterator(name string) awstest.Answer {
	return awstest.OK(map[string]any{"ShardIterator": name})
}

// page is one of records with these sequence numbers; the shard has ended if there is no next.
func page(next string, numbers ...string) awstest.Answer {
	records := []any{}
	for _, number := range numbers {
		records = append(records, map[string]any{"eventID": "e" + number, "eventName": "MODIFY", "dynamodb": map[string]any{"SequenceNumber": number}})
	}
	body := map[string]any{"Records": records}
	if next != "" {
		body["NextShardIterator"] = next
	}
	return awstest.OK(body)
}

func opened(t *testing.T, s *dynamostream.Stream, from feed.Position) feed.Reader {
	t.Helper()
	r, err := s.Open(t.Context(), shard, from)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// wantRead reads at most 10 records, and wants these.
func wantRead(t *testing.T, r feed.Reader, wantEnded bool, want ...string) {
	t.Helper()
	records, ended, err := r.Read(t.Context(), 10, 0)
	if err != nil || ended != wantEnded {
		t.Errorf("read: ended is %v, want %v (%v)", ended, wantEnded, err)
	}
	var numbers []string
	for _, record := range records {
		numbers = append(numbers, record.Change.SequenceNumber)
	}
	if diff := cmp.Diff(want, numbers); diff != "" {
		t.Errorf("the records (-want +got):\n%s", diff)
	}
}

func TestShards(t *testing.T) {
	description := func(more map[string]any) awstest.Answer {
		return awstest.OK(map[string]any{"StreamDescription": more})
	}
	s, f := serve(t,
		description(map[string]any{"Shards": []any{map[string]any{"ShardId": "one"}}, "LastEvaluatedShardId": "one"}),
		description(map[string]any{"LastEvaluatedShardId": "two"}), // a page may be empty
		description(map[string]any{"Shards": []any{map[string]any{"ShardId": "three", "ParentShardId": "one"}}}),
	)
	shards, err := s.Shards(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]feed.Shard{{ID: "one"}, {ID: "three", ParentID: "one"}}, shards); diff != "" {
		t.Errorf("the shards (-want +got):\n%s", diff)
	}
	wantAsked(t, f, "DescribeStream", "DescribeStream one", "DescribeStream two")
}

// TestAShardEnds: with its last records or after them, and is then not asked again.
func TestAShardEnds(t *testing.T) {
	for name, pages := range map[string][]awstest.Answer{
		"with records":  {iterator("i1"), page("i2", "1"), page("", "2", "3")},
		"without other": {iterator("i1"), page("i2", "1"), page("i3", "2", "3"), page("")},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := serve(t, pages...)
			r := opened(t, s, feed.Horizon)
			wantRead(t, r, false, "1")
			wantRead(t, r, len(pages) == 3, "2", "3")
			wantRead(t, r, true)
			wantRead(t, r, true)
			if len(f.asked()) != len(pages) {
				t.Errorf("the requests are %q", f.asked())
			}
		})
	}
}

// TestEmptyPages: a read asks four times a second until there is a record, or its time is over.
func TestEmptyPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, f := serve(t, iterator("i1"), page("i2"), page("i3"), page("i4", "1"), page("i5"))
		r := opened(t, s, feed.Latest)
		begun := time.Now()
		records, ended, err := r.Read(t.Context(), 10, time.Minute)
		if len(records) != 1 || ended || err != nil || time.Since(begun) != 500*time.Millisecond {
			t.Errorf("after %v: %d records, %v, %v", time.Since(begun), len(records), ended, err)
		}
		wantAsked(t, f, "GetShardIterator LATEST", "GetRecords i1 10", "GetRecords i2 10", "GetRecords i3 10")
		begun, before := time.Now(), len(f.asked())
		records, ended, err = r.Read(t.Context(), 10, 1100*time.Millisecond)
		if len(records) > 0 || ended || err != nil || time.Since(begun) != 1100*time.Millisecond {
			t.Errorf("after %v: %d records, %v, %v", time.Since(begun), len(records), ended, err)
		}
		if asked := len(f.asked()) - before; asked != 5 {
			t.Errorf("a read of 1.1 s asked %d times, want 5", asked)
		}
	})
}

// TestAnIteratorExpires: reading goes on right after what was read.
func TestAnIteratorExpires(t *testing.T) {
	expired := refuses("ExpiredIteratorException")
	s, f := serve(t, iterator("i1"), expired, iterator("i2"), page("i3", "7"), expired, iterator("i4"), page("i5", "8"))
	r := opened(t, s, feed.Horizon)
	wantRead(t, r, false, "7")
	wantRead(t, r, false, "8")
	wantAsked(t, f, "GetShardIterator TRIM_HORIZON", "GetRecords i1 10",
		"GetShardIterator TRIM_HORIZON", "GetRecords i2 10", "GetRecords i3 10",
		"GetShardIterator AFTER_SEQUENCE_NUMBER 7", "GetRecords i4 10")
	if f.log.Len() > 0 {
		t.Errorf("nothing was lost, and it logged %s", &f.log)
	}
}

// TestRecordsAreTrimmed: reading goes on with the oldest record there is, and says so once.
func TestRecordsAreTrimmed(t *testing.T) {
	trimmed := refuses("TrimmedDataAccessException")
	for name, answers := range map[string][]awstest.Answer{
		"at once":        {trimmed, iterator("i1"), page("i2", "9"), page("i3", "10")},
		"while it reads": {iterator("i0"), trimmed, iterator("i1"), page("i2", "9"), page("i3", "10")},
		"after an iterator expired": {
			iterator("i0"), refuses("ExpiredIteratorException"), trimmed, iterator("i1"), page("i2", "9"), page("i3", "10"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, f := serve(t, answers...)
			r := opened(t, s, "5")
			wantRead(t, r, false, "9")
			wantRead(t, r, false, "10")
			if asked := strings.Join(f.asked(), "\n"); !strings.HasPrefix(asked, "GetShardIterator AFTER_SEQUENCE_NUMBER 5\n") ||
				!strings.HasSuffix(asked, "GetShardIterator TRIM_HORIZON\nGetRecords i1 10\nGetRecords i2 10") {
				t.Errorf("the requests are\n%s", asked)
			}
			if lines := strings.Count(f.log.String(), "\n"); lines != 1 || !strings.Contains(f.log.String(), "after=5") {
				t.Errorf("it logged %d lines: %s", lines, &f.log)
			}
		})
	}
}

// TestFaults: a call that fails for now is tried three times, and the same read may then be
// made again.
func TestFaults(t *testing.T) {
	for name, fault := range map[string]awstest.Answer{
		"throttled":     refuses("LimitExceededException"),
		"a fault of it": streamErrors.Refuses(http.StatusInternalServerError, "InternalServerError", nil),
		"broken":        awstest.Breaks,
		"no answer":     awstest.Stalls,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s, f := serve(t, fault, fault, iterator("i1"), fault, page("i2", "1"), fault, fault, fault, page("i3", "2"))
				r := opened(t, s, feed.Horizon)
				wantRead(t, r, false, "1")
				if _, _, err := r.Read(t.Context(), 10, 0); !errors.Is(err, order.ErrUnavailable) {
					t.Errorf("after three tries: the error is %v, want order.ErrUnavailable", err)
				}
				wantRead(t, r, false, "2")
				if asked := f.asked(); asked[len(asked)-1] != "GetRecords i2 10" {
					t.Errorf("the requests are %q", asked)
				}
			})
		})
	}
}

// TestRefusals: what calling again can't help is not [order.ErrUnavailable], and not tried again.
func TestRefusals(t *testing.T) {
	s, f := serve(t, refuses("ResourceNotFoundException"))
	_, shardsErr := s.Shards(t.Context())
	_, openErr := s.Open(t.Context(), shard, feed.Horizon)
	for _, err := range []error{shardsErr, openErr} {
		if err == nil || errors.Is(err, order.ErrUnavailable) || !strings.Contains(err.Error(), "ResourceNotFoundException") {
			t.Errorf("the error is %v", err)
		}
	}
	wantAsked(t, f, "DescribeStream", "GetShardIterator TRIM_HORIZON")
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Shards(ended); !errors.Is(err, context.Canceled) {
		t.Errorf("once its context has ended the error is %v", err)
	}
}

// TestRecords: a record is as Lambda's event has it, whatever the types of its attributes.
func TestRecords(t *testing.T) {
	const record = `{
		"eventID": "c4ca4238a0b923820dcc509a6f75849b", "eventName": "REMOVE",
		"userIdentity": {"type": "Service", "principalId": "dynamodb.amazonaws.com"},
		"dynamodb": {
			"ApproximateCreationDateTime": 1773480413, "SequenceNumber": "111100000000000000001", "SizeBytes": 59,
			"StreamViewType": "NEW_AND_OLD_IMAGES", "Keys": {"pk": {"S": "t/1"}},
			"OldImage": {
				"pk": {"S": "t/1"}, "n": {"N": "1.5"}, "b": {"B": "AP8="}, "yes": {"BOOL": true}, "null": {"NULL": true},
				"ss": {"SS": ["a", "b"]}, "ns": {"NS": ["1", "2"]}, "bs": {"BS": ["AA=="]},
				"l": {"L": [{"S": "x"}, {"M": {"deep": {"N": "2"}}}]}, "m": {"M": {"a": {"L": []}}}
			}
		}
	}`
	var wire map[string]any
	var want events.DynamoDBEventRecord
	if err := errors.Join(json.Unmarshal([]byte(record), &wire), json.Unmarshal([]byte(record), &want)); err != nil {
		t.Fatal(err)
	}
	// The API has other names for these two than the event (Identity in the API reference).
	wire["userIdentity"] = map[string]any{"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}
	s, _ := serve(t, iterator("i1"), awstest.OK(map[string]any{"Records": []any{wire}, "NextShardIterator": "i2"}))
	records, _, err := opened(t, s, feed.Horizon).Read(t.Context(), 10, 0)
	if err != nil || len(records) != 1 {
		t.Fatalf("%d records were read, %v", len(records), err)
	}
	shown := func(r events.DynamoDBEventRecord) string {
		data, err := json.MarshalIndent(r, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	if diff := cmp.Diff(shown(want), shown(records[0])); diff != "" {
		t.Errorf("the record (-want +got):\n%s", diff)
	}
	if records[0].Change.NewImage != nil {
		t.Errorf("there is a new image: %v", records[0].Change.NewImage)
	}
}

// TestCheckpoints cost nothing: DynamoDB keeps records for 24 hours.
func TestCheckpoints(t *testing.T) {
	s, f := serve(t, refuses("ValidationException"))
	if err := s.Checkpoint(t.Context(), shard, "1"); err != nil {
		t.Error(err)
	}
	wantAsked(t, f)
}
