package contract

import (
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/feed"
	"paylane/shared/order"
)

// FeedWorld is a table of orders and its stream.
type FeedWorld struct {
	Stream feed.Stream
	// Store writes the orders, each to the stream too.
	Store order.Store
	// Order reads the order of an image.
	Order func(image map[string]events.DynamoDBAttributeValue) (order.Order, error)
	// Remove deletes an order; nil if the table's orders are never deleted.
	Remove func(t *testing.T, ref order.Ref)
}

// RunFeed checks the stream of a table of orders. Open makes a new one for each case.
func RunFeed(t *testing.T, open func(t *testing.T) FeedWorld) {
	for name, test := range map[string]func(*testing.T, FeedWorld){
		"each change is a record":                 testFeedRecords,
		"the horizon and the newest":              testFeedEnds,
		"right after a sequence number":           testFeedPositions,
		"the same position reads the same":        testFeedAgain,
		"what is done with may go, nothing else":  testFeedCheckpoint,
		"a read returns at most the limit":        testFeedLimit,
		"a read waits, and wakes":                 testFeedWaits,
		"a read ends with its context":            testFeedContext,
		"a shard or a position that there is not": testFeedUnknown,
		"writers and a reader at the same time":   testFeedConcurrency,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

// shardReader is a reader of a shard.
type shardReader struct {
	feed.Reader
	shard string
	ended bool
}

// openFeed opens all shards of a stream at a position.
func openFeed(t *testing.T, s feed.Stream, from feed.Position) (readers []*shardReader) {
	t.Helper()
	for _, shard := range must[[]feed.Shard](t)(s.Shards(t.Context())) {
		readers = append(readers, &shardReader{Reader: must[feed.Reader](t)(s.Open(t.Context(), shard.ID, from)), shard: shard.ID})
	}
	if len(readers) == 0 {
		t.Fatal("the stream has no shards")
	}
	return readers
}

// feedRecord is a record and its shard.
type feedRecord struct {
	feed.Record
	shard string
}

func (r feedRecord) position() feed.Position { return feed.Position(r.Change.SequenceNumber) }

// readFeed reads so many records, or fails after the lag.
func readFeed(t *testing.T, readers []*shardReader, want int) (records []feedRecord) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), lag)
	defer cancel()
	for len(records) < want {
		for _, r := range readers {
			if r.ended {
				continue
			}
			got, ended, err := r.Read(ctx, feed.MaxRead, lag/50)
			if err != nil {
				t.Fatalf("read, after %d of %d records: %v", len(records), want, err)
			}
			for _, record := range got {
				records = append(records, feedRecord{record, r.shard})
			}
			r.ended = ended
		}
	}
	if len(records) > want {
		t.Fatalf("there are %d records, want %d", len(records), want)
	}
	return records
}

// wantNoMore fails if there is another record.
func wantNoMore(t *testing.T, readers []*shardReader) {
	t.Helper()
	for _, r := range readers {
		if got, _, err := r.Read(t.Context(), feed.MaxRead, lag/50); err != nil || len(got) > 0 {
			t.Errorf("%d more records were read, and the error %v", len(got), err)
		}
	}
}

// change is what a record says.
type change struct {
	Name          string
	Key           string
	Before, After order.Order // the zero order if there was none
}

func (w FeedWorld) change(t *testing.T, r feedRecord) change {
	t.Helper()
	c := change{Name: r.EventName}
	if key, ok := r.Change.Keys["pk"]; ok && len(r.Change.Keys) == 1 {
		c.Key = key.String()
	}
	for image, o := range map[*map[string]events.DynamoDBAttributeValue]*order.Order{
		&r.Change.OldImage: &c.Before, &r.Change.NewImage: &c.After,
	} {
		if len(*image) > 0 {
			*o = must[order.Order](t)(w.Order(*image))
		}
	}
	return c
}

func (w FeedWorld) wantChanges(t *testing.T, records []feedRecord, want ...change) {
	t.Helper()
	got := make([]change, len(records))
	for i, r := range records {
		got[i] = w.change(t, r)
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the records (-want +got):\n%s", diff)
	}
}

// changed returns the record of a change from one version of an order to another.
func changed(name string, before, after order.Order) change {
	ref := cmp.Or(after.Ref, before.Ref)
	return change{Name: name, Key: ref.Tenant + "/" + ref.ID, Before: before, After: after}
}

// place creates an order and claims it.
func (w FeedWorld) place(t *testing.T) (created, claimed order.Order) {
	t.Helper()
	created = pendingOrder(newTenant(), 0)
	mustCreate(t, w.Store, created)
	return created, must[order.Order](t)(w.Store.Claim(t.Context(), created.Ref, claimAt(20)))
}

func testFeedRecords(t *testing.T, w FeedWorld) {
	readers := openFeed(t, w.Stream, feed.Horizon)
	created, claimed := w.place(t)
	paid := mustUpdate(t, w.Store)(claimed.PaidWith("PAY-1", true, at(30)))
	wantOne := []change{
		changed(feed.Insert, order.Order{}, created), changed(feed.Modify, created, claimed), changed(feed.Modify, claimed, paid),
	}
	if w.Remove != nil {
		w.Remove(t, paid.Ref)
		wantOne = append(wantOne, changed(feed.Remove, paid, order.Order{}))
	}
	full := fullOrder(pendingOrder(newTenant(), 0).Ref)
	mustCreate(t, w.Store, full)

	records := readFeed(t, readers, len(wantOne)+1)
	ids := map[string]bool{}
	for _, r := range records {
		ids[r.EventID] = true
		if r.Change.StreamViewType != "NEW_AND_OLD_IMAGES" || r.UserIdentity != nil {
			t.Errorf("a record has the view type %q and the user %v", r.Change.StreamViewType, r.UserIdentity)
		}
		if age := time.Since(r.Change.ApproximateCreationDateTime.Time).Abs(); age > time.Minute {
			t.Errorf("a record of just now is from %v", r.Change.ApproximateCreationDateTime)
		}
	}
	if len(ids) != len(records) || ids[""] {
		t.Errorf("the ids of %d records are %v", len(records), ids)
	}
	// Only the order's own records have an order among each other, since there may be shards.
	var one, other []feedRecord
	for _, r := range records {
		if r.Change.Keys["pk"].String() == full.Tenant+"/"+full.ID {
			other = append(other, r)
		} else {
			one = append(one, r)
		}
	}
	w.wantChanges(t, one, wantOne...)
	w.wantChanges(t, other, changed(feed.Insert, order.Order{}, full))
	wantNoMore(t, readers)
}

func testFeedEnds(t *testing.T, w FeedWorld) {
	created, claimed := w.place(t)
	readFeed(t, openFeed(t, w.Stream, feed.Horizon), 2) // so that they are in the stream
	newest := openFeed(t, w.Stream, feed.Latest)
	paid := mustUpdate(t, w.Store)(claimed.PaidWith("PAY-1", true, at(30)))
	w.wantChanges(t, readFeed(t, newest, 1), changed(feed.Modify, claimed, paid))
	w.wantChanges(t, readFeed(t, openFeed(t, w.Stream, feed.Horizon), 3),
		changed(feed.Insert, order.Order{}, created), changed(feed.Modify, created, claimed), changed(feed.Modify, claimed, paid))
}

// writeVersions creates an order and updates it up to a version.
func (w FeedWorld) writeVersions(t *testing.T, newest int64) {
	t.Helper()
	o := pendingOrder(newTenant(), 0)
	mustCreate(t, w.Store, o)
	for o.Version < newest {
		o = mustUpdate(t, w.Store)(inStatus(o, order.Pending), nil)
	}
}

// versions returns the versions that the records lead to.
func (w FeedWorld) versions(t *testing.T, records []feedRecord) (versions []int64) {
	t.Helper()
	for _, r := range records {
		versions = append(versions, w.change(t, r).After.Version)
	}
	return versions
}

func upTo(first, last int64) (versions []int64) {
	for version := first; version <= last; version++ {
		versions = append(versions, version)
	}
	return versions
}

func testFeedPositions(t *testing.T, w FeedWorld) {
	const newest = 5
	w.writeVersions(t, newest)
	records := readFeed(t, openFeed(t, w.Stream, feed.Horizon), newest)
	for i, r := range records {
		reader := &shardReader{Reader: must[feed.Reader](t)(w.Stream.Open(t.Context(), r.shard, r.position())), shard: r.shard}
		rest := readFeed(t, []*shardReader{reader}, newest-1-i)
		if diff := gocmp.Diff(upTo(int64(i)+2, newest), w.versions(t, rest)); diff != "" {
			t.Errorf("the versions after the one of record %d (-want +got):\n%s", i, diff)
		}
		wantNoMore(t, []*shardReader{reader})
		if i > 0 && !follows(records[i-1].Change.SequenceNumber, r.Change.SequenceNumber) {
			t.Errorf("the sequence number %s is after %s", r.Change.SequenceNumber, records[i-1].Change.SequenceNumber)
		}
	}
}

// follows reports whether a sequence number is greater than another.
func follows(before, after string) bool {
	before, after = strings.TrimLeft(before, "0"), strings.TrimLeft(after, "0")
	return cmp.Or(cmp.Compare(len(before), len(after)), strings.Compare(before, after)) < 0
}

func testFeedAgain(t *testing.T, w FeedWorld) {
	const newest = 4
	w.writeVersions(t, newest)
	first := readFeed(t, openFeed(t, w.Stream, feed.Horizon), newest)
	again := readFeed(t, openFeed(t, w.Stream, feed.Horizon), newest)
	for i := range first {
		a, b := first[i], again[i]
		if a.EventID != b.EventID || a.Change.SequenceNumber != b.Change.SequenceNumber || a.shard != b.shard {
			t.Errorf("record %d was %s, %s and is %s, %s", i, a.EventID, a.Change.SequenceNumber, b.EventID, b.Change.SequenceNumber)
		}
		if diff := gocmp.Diff(w.change(t, a), w.change(t, b)); diff != "" {
			t.Errorf("record %d (-first +again):\n%s", i, diff)
		}
	}
}

func testFeedCheckpoint(t *testing.T, w FeedWorld) {
	const newest = 5
	w.writeVersions(t, newest)
	readers := openFeed(t, w.Stream, feed.Horizon)
	records := readFeed(t, readers, newest)
	for _, done := range []feedRecord{records[1], records[1], records[0]} { // once more, and late
		if err := w.Stream.Checkpoint(t.Context(), done.shard, done.Change.SequenceNumber); err != nil {
			t.Fatal(err)
		}
	}
	rest := &shardReader{Reader: must[feed.Reader](t)(w.Stream.Open(t.Context(), records[1].shard, records[1].position()))}
	if diff := gocmp.Diff(upTo(3, newest), w.versions(t, readFeed(t, []*shardReader{rest}, newest-2))); diff != "" {
		t.Errorf("the versions after what is done with (-want +got):\n%s", diff)
	}
}

func testFeedLimit(t *testing.T, w FeedWorld) {
	const newest = 5
	w.writeVersions(t, newest)
	readFeed(t, openFeed(t, w.Stream, feed.Horizon), newest) // so that they are in the stream
	var records []feedRecord
	for _, r := range openFeed(t, w.Stream, feed.Horizon) {
		for {
			got, _, err := r.Read(t.Context(), 2, lag/10)
			if err != nil || len(got) > 2 {
				t.Fatalf("%d records were read, want at most 2 (%v)", len(got), err)
			}
			if len(got) == 0 {
				break
			}
			for _, record := range got {
				records = append(records, feedRecord{record, r.shard})
			}
		}
	}
	if diff := gocmp.Diff(upTo(1, newest), w.versions(t, records)); diff != "" {
		t.Errorf("the versions (-want +got):\n%s", diff)
	}
}

func testFeedWaits(t *testing.T, w FeedWorld) {
	const briefly = 600 * time.Millisecond
	readers := openFeed(t, w.Stream, feed.Latest)
	begun := time.Now()
	if got, _, err := readers[0].Read(t.Context(), 1, briefly); len(got) > 0 || err != nil || time.Since(begun) < briefly {
		t.Errorf("a read of nothing returned %d records after %v, want none after %v (%v)", len(got), time.Since(begun), briefly, err)
	}
	// Whichever shard the order is in, a read returns long before it has to.
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	woken := make(chan error, len(readers))
	for _, r := range readers {
		go func() {
			got, _, err := r.Read(ctx, feed.MaxRead, time.Hour)
			if err == nil && len(got) == 0 {
				err = errors.New("it returned no record")
			}
			woken <- err
		}()
	}
	w.writeVersions(t, 1)
	select {
	case err := <-woken:
		if err != nil {
			t.Errorf("the read that was woken: %v", err)
		}
	case <-time.After(lag):
		t.Errorf("no read was woken within %v", lag)
	}
	cancel()
	for range len(readers) - 1 {
		if err := <-woken; err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("another read: %v", err)
		}
	}
}

func testFeedContext(t *testing.T, w FeedWorld) {
	for _, r := range openFeed(t, w.Stream, feed.Latest) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_, _, err := r.Read(ctx, 1, time.Hour)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a read past its deadline: the error is %v, want the context's", err)
		}
		cancel()
	}
	// The readers still read, also what was there before; see Reader.
	readers := openFeed(t, w.Stream, feed.Horizon)
	w.writeVersions(t, 2)
	canceled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, r := range readers {
		if _, _, err := r.Read(canceled, 1, 0); !errors.Is(err, context.Canceled) {
			t.Errorf("a read that was canceled: the error is %v, want the context's", err)
		}
	}
	w.writeVersions(t, 2)
	readFeed(t, readers, 4)
}

func testFeedUnknown(t *testing.T, w FeedWorld) {
	if _, err := w.Stream.Open(t.Context(), "shardId-00000000000000000000-ffffffff", feed.Horizon); err == nil || errors.Is(err, order.ErrUnavailable) {
		t.Errorf("open a shard that there is not: the error is %v, want one that calling again can't help", err)
	}
	shards := must[[]feed.Shard](t)(w.Stream.Shards(t.Context()))
	if _, err := w.Stream.Open(t.Context(), shards[0].ID, "nowhere"); err == nil || errors.Is(err, order.ErrUnavailable) {
		t.Errorf("open a position that there is not: the error is %v, want one that calling again can't help", err)
	}
}

// testFeedConcurrency: while writers write, a reader sees every version of every order once, in
// order, and each shard's sequence numbers rise.
func testFeedConcurrency(t *testing.T, w FeedWorld) {
	const writers, newest = 4, 10
	readers := openFeed(t, w.Stream, feed.Horizon)
	written := make(chan error, writers)
	want := map[string][]int64{}
	for range writers {
		o := pendingOrder(newTenant(), 0)
		want[o.Tenant] = upTo(1, newest)
		go func() {
			err := w.Store.Create(t.Context(), o)
			for err == nil && o.Version < newest {
				o = inStatus(o, order.Pending)
				err = w.Store.Update(t.Context(), o)
			}
			written <- err
		}()
	}
	got, last := map[string][]int64{}, map[string]string{}
	for _, r := range readFeed(t, readers, writers*newest) {
		o := w.change(t, r).After
		got[o.Tenant] = append(got[o.Tenant], o.Version)
		if number := r.Change.SequenceNumber; !follows(last[r.shard], number) {
			t.Errorf("the sequence number %s comes after %s", number, last[r.shard])
		}
		last[r.shard] = r.Change.SequenceNumber
	}
	for range writers {
		if err := <-written; err != nil {
			t.Error(err)
		}
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("the versions (-want +got):\n%s", diff)
	}
}
