package pebblestore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	"github.com/google/go-cmp/cmp"

	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// oldFolders has a folder of each layout so far, all with the same content: oldOrders, two
// messages and a tombstone. folder-1, of commit fb12641, has no lists of customers.
func oldFolders() []string { return []string{"testdata/folder-1"} }

// oldOrder is an order of an old folder. The nth one was created n seconds after oldTime(0)
// with the idempotency key key-n.
type oldOrder struct {
	tenant, customer string
	status           order.Status
	version          int64
	round            int
	charges, refunds []order.Outcome
	failure          string
}

func oldOrders() []oldOrder {
	approved := []order.Outcome{order.OutcomeApproved}
	return []oldOrder{
		{tenant: "shop", customer: "alice", status: order.Pending, version: 1, round: 1},
		{tenant: "shop", customer: "alice", status: order.Processing, version: 2, round: 1, charges: []order.Outcome{order.OutcomePending}},
		{tenant: "shop", customer: "alice", status: order.Paid, version: 3, round: 1, charges: approved},
		{tenant: "shop", status: order.Paid, version: 3, round: 1, charges: approved},
		{tenant: "shop", customer: "alice", status: order.Refunding, version: 4, round: 1, charges: approved},
		{tenant: "shop", customer: "bob", status: order.Refunded, version: 6, round: 1, charges: approved, refunds: approved},
		{
			tenant: "shop", customer: "alice", status: order.Failed, version: 3, round: 1,
			charges: []order.Outcome{order.OutcomeDeclined}, failure: "card_declined",
		},
		{tenant: "shop", customer: "bob", status: order.Canceled, version: 2, round: 1},
		{tenant: "shop", customer: "alice", status: order.Pending, version: 8, round: 2, charges: slices.Repeat([]order.Outcome{order.OutcomeUnavailable}, 3)},
		{tenant: "other/shop", customer: "alice", status: order.Pending, version: 1, round: 1},
		{tenant: "shop", customer: "고객/#1", status: order.Pending, version: 1, round: 1},
	}
}

func oldTime(seconds int) time.Time {
	return time.Date(2026, 3, 14, 9, 26, 53, 589e6, time.UTC).Add(time.Duration(seconds) * time.Second)
}

func oldID(tenant string, n int) string { return order.KeyedID(tenant, fmt.Sprint("key-", n)) }

// copyFolder returns a file system with a copy of a folder in "data", all of it synced.
func copyFolder(t *testing.T, folder string) *vfs.MemFS {
	t.Helper()
	fs := vfs.NewCrashableMem()
	_, err := vfs.Clone(vfs.Default, fs, folder, "data", vfs.CloneSync)
	if err != nil {
		t.Fatal(err)
	}
	root, err := fs.OpenDir("")
	if err == nil {
		err = errors.Join(root.Sync(), root.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return fs
}

// customersOf lists the orders of every customer of the old folders, by the orders' numbers.
func customersOf(t *testing.T, s order.Store) map[order.Query][]int {
	t.Helper()
	lists, numbers := map[order.Query][]int{}, []int{}
	for n := range oldOrders() {
		numbers = append(numbers, n+1)
	}
	for _, o := range oldOrders() {
		q := order.Query{Tenant: o.tenant, CustomerID: o.customer, Limit: 100}
		if _, known := lists[q]; known || o.customer == "" {
			continue
		}
		page, err := s.List(t.Context(), q)
		if err != nil {
			t.Fatalf("list by %+v: %v", q, err)
		}
		lists[q] = nil
		for _, listed := range page.Orders {
			n := slices.IndexFunc(numbers, func(n int) bool { return listed.ID == oldID(q.Tenant, n) })
			lists[q] = append(lists[q], n+1)
		}
	}
	return lists
}

func wantCustomers() map[order.Query][]int {
	return map[order.Query][]int{
		{Tenant: "shop", CustomerID: "alice", Limit: 100}:       {9, 7, 5, 3, 2, 1},
		{Tenant: "shop", CustomerID: "bob", Limit: 100}:         {8, 6},
		{Tenant: "shop", CustomerID: "고객/#1", Limit: 100}:       {11},
		{Tenant: "other/shop", CustomerID: "alice", Limit: 100}: {10},
	}
}

// TestOldFolders: the folder of a build before this one opens, everything in it is read, it
// is in the lists that came later, and work on it goes on.
func TestOldFolders(t *testing.T) {
	for _, folder := range oldFolders() {
		t.Run(folder, func(t *testing.T) {
			db := openFor(t, copyFolder(t, folder))
			s := db.Store()
			for n, want := range oldOrders() {
				got, err := s.Get(t.Context(), order.Ref{Tenant: want.tenant, ID: oldID(want.tenant, n+1)})
				if err != nil {
					t.Errorf("order %d: %v", n+1, err)
					continue
				}
				checkOldOrder(t, n+1, want, got)
			}
			if diff := cmp.Diff(wantCustomers(), customersOf(t, s)); diff != "" {
				t.Errorf("the lists of customers (-want +got):\n%s", diff)
			}
			void, err := s.Get(t.Context(), order.Ref{Tenant: "shop", ID: order.KeyedID("shop", "void")})
			if err != nil || void.Status != order.Void {
				t.Errorf("the tombstone is %+v, %v", void, err)
			}
			for status, want := range map[order.Status]int{"": 10, order.Pending: 3, order.Failed: 1, order.Refunding: 1} {
				page, err := s.List(t.Context(), order.Query{Tenant: "shop", Status: status, Limit: 100})
				if err != nil || len(page.Orders) != want {
					t.Errorf("the list of %q has %d orders, want %d (%v)", status, len(page.Orders), want, err)
				}
			}

			claimed, err := s.Claim(t.Context(), order.Ref{Tenant: "shop", ID: oldID("shop", 9)},
				order.Claim{Kind: order.KindCharge, Round: 2, Now: oldTime(400), Until: oldTime(410), Limits: order.Limits{Attempts: 3}})
			if err == nil {
				var paid order.Order
				if paid, err = claimed.PaidWith("PAY-1", true, oldTime(401)); err == nil {
					err = s.Update(t.Context(), paid)
				}
			}
			if err != nil {
				t.Errorf("charge an old order: %v", err)
			}
			checkOldMessages(t, db)
		})
	}
}

func checkOldOrder(t *testing.T, n int, want oldOrder, got order.Order) {
	t.Helper()
	outcomes := func(l order.Leg) (outcomes []order.Outcome) {
		for _, a := range l.Attempts {
			outcomes = append(outcomes, a.Outcome)
		}
		return outcomes
	}
	is := oldOrder{
		tenant: got.Tenant, customer: got.CustomerID, status: got.Status, version: got.Version, round: got.Round,
		charges: outcomes(got.Charge), refunds: outcomes(got.Refund),
	}
	if got.Failure != nil {
		is.failure = got.Failure.Code
	}
	if diff := cmp.Diff(want, is, cmp.AllowUnexported(oldOrder{})); diff != "" {
		t.Errorf("order %d (-want +got):\n%s", n, diff)
	}
	rest := []any{got.Total, got.Items, got.Metadata, got.CreatedAt}
	if diff := cmp.Diff([]any{
		order.Money{Amount: 1200, Currency: "USD"}, []order.Item{{SKU: "TEA-1", Quantity: 2, UnitPrice: 600}},
		map[string]string{"cart": fmt.Sprint(n)}, oldTime(n),
	}, rest); diff != "" {
		t.Errorf("order %d (-want +got):\n%s", n, diff)
	}
	if paid := len(want.charges) > 0 && want.charges[0] == order.OutcomeApproved; paid != (got.PaymentRef == "PAY-0A1B2C3D") {
		t.Errorf("order %d has the payment reference %q", n, got.PaymentRef)
	}
	// Its refunds were of everything.
	if (want.status == order.Refunded || want.status == order.Refunding) != (got.LastRefund().Amount == 1200 && got.LastRefund().All) ||
		(want.status == order.Refunded) != (got.LastRefund().Ref == "REF-0A1B2C3D") {
		t.Errorf("order %d has the refunds %+v", n, got.Refunds)
	}
}

func checkOldMessages(t *testing.T, db *pebblestore.DB) {
	t.Helper()
	got, err := openQueue(t, db, queueConfig("payments")).Receive(context.Background(), queue.ReceiveRequest{Max: 10})
	var bodies []string
	for _, m := range got {
		bodies = append(bodies, m.Body)
	}
	slices.Sort(bodies)
	if diff := cmp.Diff([]string{"one", "two"}, bodies); diff != "" || err != nil {
		t.Errorf("the messages, %v (-want +got):\n%s", err, diff)
	}
}

// TestACrashWhileAnOldFolderIsOpened: whenever the power fails while an old folder is opened
// for the first time, the next Open completes what this one began.
func TestACrashWhileAnOldFolderIsOpened(t *testing.T) {
	for _, folder := range oldFolders() {
		for _, unsynced := range []int{0, 100} {
			fs := copyFolder(t, folder)
			rng := rand.New(rand.NewPCG(1, 1)) // 0 and 100 leave it nothing to choose
			crashes := whileOpening(t, fs, func(op errorfs.Op) *vfs.MemFS {
				if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
					return nil
				}
				return fs.CrashClone(vfs.CrashCloneCfg{UnsyncedDataPercent: unsynced, RNG: rng})
			})
			if len(crashes) < 10 {
				t.Fatalf("only %d moments were seen", len(crashes))
			}
			for n, crashed := range crashes {
				db, err := pebblestore.Open(pebblestore.Options{Dir: "data", FS: crashed, Logger: silent()})
				if err != nil {
					t.Errorf("%s after write %d: %v", folder, n, err)
					continue
				}
				if diff := cmp.Diff(wantCustomers(), customersOf(t, db.Store())); diff != "" {
					t.Errorf("%s after write %d: the lists of customers (-want +got):\n%s", folder, n, diff)
				}
				if err := db.Close(); err != nil {
					t.Error(err)
				}
			}
		}
	}
}

// oldBuild changes a database as if a build before the lists of customers had opened it last: it
// counts its openings, and writes no such lists.
func oldBuild(t *testing.T, fs vfs.FS, openings uint64) {
	t.Helper()
	raw, err := pebble.Open("data", &pebble.Options{FS: fs, FormatMajorVersion: pebble.FormatValueSeparation, Logger: nolog{}})
	if err != nil {
		t.Fatal(err)
	}
	err = errors.Join(
		raw.DeleteRange([]byte("c"), []byte("d"), pebble.Sync),
		raw.Set([]byte("n"), binary.BigEndian.AppendUint64(nil, openings), pebble.Sync),
		raw.Close(),
	)
	if err != nil {
		t.Fatal(err)
	}
}

// TestAKillWhileAFolderIsIndexed: of lists that take more than one write to the log, any part may
// be left. They are complete after the next opening.
func TestAKillWhileAFolderIsIndexed(t *testing.T) {
	const orders = 1000
	fs := vfs.NewCrashableMem()
	db := openFor(t, fs)
	var created sync.WaitGroup
	for i := range orders {
		created.Go(func() {
			o := newOrder("t", fmt.Sprint(i))
			o.CustomerID = strings.Repeat("c", 64)
			if err := db.Store().Create(t.Context(), o); err != nil {
				t.Error(err)
			}
		})
	}
	created.Wait()
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	oldBuild(t, fs, 2)
	kills := whileOpening(t, fs, func(op errorfs.Op) *vfs.MemFS {
		if op.Kind != errorfs.OpFileWrite || !isLog(op.Path) {
			return nil
		}
		return copied(fs)
	})
	if len(kills) < 3 {
		t.Fatalf("the log took only %d writes", len(kills))
	}
	for n, killed := range append(kills, fs) {
		db := openFor(t, killed)
		page, err := db.Store().List(t.Context(), order.Query{Tenant: "t", CustomerID: strings.Repeat("c", 64), Limit: 2 * orders})
		if err != nil || len(page.Orders) != orders {
			t.Errorf("killed at write %d: the list of the customer has %d orders, want %d (%v)", n, len(page.Orders), orders, err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestAnOldBuildInBetween: a folder that an older build opened after this one lacks entries
// of what that build wrote, and gets them.
func TestAnOldBuildInBetween(t *testing.T) {
	fs := copyFolder(t, oldFolders()[0])
	if err := openFor(t, fs).Close(); err != nil {
		t.Fatal(err)
	}
	oldBuild(t, fs, 3)
	db := openFor(t, fs)
	if diff := cmp.Diff(wantCustomers(), customersOf(t, db.Store())); diff != "" {
		t.Errorf("the lists of customers (-want +got):\n%s", diff)
	}
}
