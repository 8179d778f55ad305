package model_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/contract"
	"paylane/shared/document"
	"paylane/shared/dynamostore"
	"paylane/shared/feed"
	"paylane/shared/order"
	"paylane/shared/sim/model"
)

func TestEarlierOrders(t *testing.T) {
	contract.RunEarlier(t, func(t *testing.T, _ string, o order.Order) order.Store {
		table := model.NewTable(time.Now)
		if err := table.Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
		return table
	})
}

func TestFeed(t *testing.T) {
	contract.RunFeed(t, func(*testing.T) contract.FeedWorld {
		table := model.NewTable(time.Now)
		return contract.FeedWorld{Stream: table.Stream(), Store: table, Order: dynamostore.FromImage}
	})
}

// records reads all records that the stream has.
func records(t *testing.T, table *model.Table) []feed.Record {
	t.Helper()
	r, err := table.Stream().Open(t.Context(), "shardId-00000000000000000000-00000001", feed.Horizon)
	if err != nil {
		t.Fatal(err)
	}
	got, _, err := r.Read(t.Context(), feed.MaxRead, 0)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestExpiry: a tombstone is gone once it has expired, and a document once that was looked for. The
// stream says that the service removed them, and a day later it has forgotten that.
func TestExpiry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table := model.NewTable(time.Now)
		ref := order.Ref{Tenant: "t", ID: order.KeyedID("t", "k")}
		expires := time.Now().Add(order.VoidFor)
		key := document.Key{Tenant: "t", Name: "sent"}
		ok(t, table.Create(t.Context(), order.NewVoid(ref, time.Now())))
		ok(t, table.PutDocument(t.Context(), document.Document{Key: key, Version: 1, Body: "x", ExpiresAt: expires}))
		for _, tt := range []struct {
			after time.Duration
			there bool
		}{{order.VoidFor - time.Second, true}, {time.Second, false}} {
			time.Sleep(tt.after)
			table.Sweep()
			_, err := table.Get(t.Context(), ref)
			if there := err == nil; there != tt.there || !there && !errors.Is(err, order.ErrNotFound) {
				t.Errorf("the tombstone, %v before it expires: %v", time.Until(expires), err)
			}
			d, err := table.Document(t.Context(), key)
			if there := d.Version != 0; there != tt.there || err != nil {
				t.Errorf("the document, %v before it expires: %+v, %v", time.Until(expires), d, err)
			}
		}
		var got []string
		for _, r := range records(t, table) {
			by := "a caller"
			if r.UserIdentity != nil {
				by = r.UserIdentity.PrincipalID
			}
			got = append(got, r.EventName+" "+r.Change.Keys["pk"].String()+" by "+by)
		}
		want := []string{
			"INSERT t/" + ref.ID + " by a caller", "INSERT t/sent by a caller",
			"REMOVE t/sent by dynamodb.amazonaws.com", "REMOVE t/" + ref.ID + " by dynamodb.amazonaws.com",
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("the records (-want +got):\n%s", diff)
		}
		ok(t, table.PutDocument(t.Context(), document.Document{Key: key, Version: 1, Body: "new"}))
		time.Sleep(model.KeptRecords + time.Second)
		ok(t, table.DeleteDocument(t.Context(), key))
		if kept := records(t, table); len(kept) != 1 || kept[0].EventName != feed.Remove || kept[0].UserIdentity != nil {
			t.Errorf("after more than a day the stream has %+v, want only the newest", kept)
		}
	})
}

// TestDocumentRecord: a document's record is that of a tombstone, which every reader of orders
// passes over.
func TestDocumentRecord(t *testing.T) {
	table := model.NewTable(time.Now)
	ok(t, table.PutDocument(t.Context(), document.Document{Key: document.Key{Tenant: "t", Name: "settings"}, Version: 1, Body: "x"}))
	got := records(t, table)
	if len(got) != 1 {
		t.Fatalf("%d records", len(got))
	}
	if o, err := dynamostore.FromImage(got[0].Change.NewImage); err != nil || o.Status != order.Void {
		t.Errorf("it reads as %v, %v", o, err)
	}
}

// TestSnapshot: later changes of either table are not in the other, and everything is listed by
// tenant and name.
func TestSnapshot(t *testing.T) {
	table := model.NewTable(time.Now)
	put := func(into *model.Table, tenant, name string) {
		o := order.New(order.Ref{Tenant: tenant, ID: name}, order.Request{Amount: 1}, "", time.Now())
		ok(t, into.Create(t.Context(), o))
		ok(t, into.PutDocument(t.Context(), document.Document{Key: document.Key{Tenant: tenant, Name: "s" + name}, Version: 1}))
	}
	names := func(of *model.Table) (names []string) {
		for _, o := range of.Orders() {
			names = append(names, o.Tenant+"/"+o.ID)
		}
		for _, d := range of.Documents() {
			names = append(names, d.Tenant+"/"+d.Name)
		}
		return names
	}
	wantNames := func(of *model.Table, want ...string) {
		t.Helper()
		if diff := cmp.Diff(want, names(of)); diff != "" {
			t.Errorf("the table (-want +got):\n%s", diff)
		}
	}
	put(table, "b", "2")
	put(table, "a", "3")
	put(table, "b", "1")
	snapshot := table.Snapshot()
	put(table, "c", "4")
	put(snapshot, "d", "5")
	wantNames(table, "a/3", "b/1", "b/2", "c/4", "a/s3", "b/s1", "b/s2", "c/s4")
	table.Restore(snapshot)
	put(snapshot, "e", "6")
	wantNames(table, "a/3", "b/1", "b/2", "d/5", "a/s3", "b/s1", "b/s2", "d/s5")
	page, err := table.List(context.Background(), order.Query{Tenant: "c", Limit: 10})
	if err != nil || len(page.Orders) != 0 {
		t.Errorf("the list has what was restored away: %v, %v", page.Orders, err)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestPlace: an order that takes the place of a tombstone is listed by when it was created itself.
func TestPlace(t *testing.T) {
	now := time.Now()
	table := model.NewTable(time.Now)
	late := order.Ref{Tenant: "t", ID: "late"}
	void := order.NewVoid(late, now)
	ok(t, table.Create(t.Context(), void))
	ok(t, table.Create(t.Context(), order.New(order.Ref{Tenant: "t", ID: "between"}, order.Request{Amount: 1}, "", now.Add(time.Second))))
	o := order.New(late, order.Request{Amount: 1}, "", now.Add(time.Minute))
	ok(t, table.Update(t.Context(), o.InPlaceOf(void)))
	page, err := table.List(t.Context(), order.Query{Tenant: "t", Limit: 10})
	ok(t, err)
	var ids []string
	for _, o := range page.Orders {
		ids = append(ids, o.ID)
	}
	if diff := cmp.Diff([]string{"late", "between"}, ids); diff != "" {
		t.Errorf("the list (-want +got):\n%s", diff)
	}
}
