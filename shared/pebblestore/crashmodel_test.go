package pebblestore_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/cockroachdb/pebble/v2/vfs"
	gocmp "github.com/google/go-cmp/cmp"

	"paylane/shared/document"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/queue"
)

// ledger is the reference model of a database with one caller. Its writes are in the log one
// after the other, so what a crash leaves is what some number of the first of them left: at
// least those that were promised to be durable, at most those that were begun.
type ledger struct {
	mu sync.Mutex
	// steps has what the first 0, 1, 2, … writes leave.
	steps []facts
	// durable is how many of them are promised.
	durable int
	// now is what the clock shows, or showed since, if time is virtual and passes by itself.
	now, since time.Time
	virtual    bool
	// position is how far the caller has read the feed.
	position uint64
}

// facts is all that a database holds.
type facts struct {
	orders   map[order.Ref]order.Order
	docs     map[document.Key]document.Document
	messages map[string]held // by body, which no two share
	feed     []*change
}

type held struct {
	queue               string
	id                  string // empty if it is unknown
	sent, first, hidden time.Time
	count               int
	source              string
	handle              string // of the last receive
	step                int    // that brought it to the queue
}

type change struct {
	text   string
	number uint64 // 0 until it was read
}

func (f facts) clone() facts {
	return facts{maps.Clone(f.orders), maps.Clone(f.docs), maps.Clone(f.messages), slices.Clone(f.feed)}
}

func newLedger(virtual bool) *ledger {
	first := facts{map[order.Ref]order.Order{}, map[document.Key]document.Document{}, map[string]held{}, nil}
	return &ledger{steps: []facts{first}, now: time.Date(2026, 3, 14, 9, 0, 0, 0, time.UTC), virtual: virtual}
}

// clock is the database's.
func (l *ledger) clock() time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.virtual {
		return l.now.Add(time.Since(l.since))
	}
	return l.now
}

// pass lets time pass, in which everything becomes durable and what has expired is removed.
func (l *ledger) pass(d time.Duration) {
	if l.virtual {
		time.Sleep(d)
		synctest.Wait()
		l.promise()
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.now = l.now.Add(d)
}

// current returns a copy of what all writes so far leave, and the number of the next.
func (l *ledger) current() (f facts, next int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.steps[len(l.steps)-1].clone(), len(l.steps)
}

// begin says that a write is about to be made.
func (l *ledger) begin(f facts) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps = append(l.steps, f)
}

// promise says that all writes so far are durable.
func (l *ledger) promise() { l.promiseUpTo(len(l.steps) - 1) }

func (l *ledger) promiseUpTo(step int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable = max(l.durable, step)
}

// bounds returns how many writes must be there after a crash now, and how many may be.
func (l *ledger) bounds() (least, most int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.durable, len(l.steps) - 1
}

func (l *ledger) readUpTo() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.position
}

// match compares what a database holds with what it may hold, and returns how many writes are
// in it; ok is false if it is not what any number of the first writes left.
func (l *ledger) match(got facts, now time.Time, least, most int) (step int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for step := most; step >= least; step-- {
		if l.steps[step].diff(got, now) == "" {
			return step, true
		}
	}
	return 0, false
}

// explain says how what a database holds differs from the nearest that it may hold.
func (l *ledger) explain(got facts, now time.Time, least, most int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	best := ""
	for step := least; step <= most; step++ {
		if diff := l.steps[step].diff(got, now); best == "" || len(diff) < len(best) {
			best = diff
		}
	}
	return best
}

// restart goes on from what a crash left.
func (l *ledger) restart(step int, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.steps, l.durable, l.now, l.since = l.steps[:step+1], step, now, time.Now()
}

// diff compares what is seen at a time; what has expired may be there or not.
func (f facts) diff(got facts, now time.Time) string {
	want := facts{maps.Clone(f.orders), maps.Clone(f.docs), make(map[string]held), nil}
	maps.DeleteFunc(want.orders, func(_ order.Ref, o order.Order) bool {
		return !o.ExpiresAt.IsZero() && !o.ExpiresAt.After(now)
	})
	maps.DeleteFunc(want.docs, func(_ document.Key, d document.Document) bool { return expiredDocument(d, now) })
	for body, m := range f.messages {
		expires := m.sent.Add(crashRetention)
		if _, ok := got.messages[body]; expires.After(now) && (ok || expires.After(now.Add(time.Second))) {
			m.handle, m.step = "", 0
			if !m.hidden.After(now) {
				m.hidden = time.Time{}
			}
			if m.id == "" {
				m.id = got.messages[body].id
			}
			want.messages[body] = m
		}
	}
	if diff := gocmp.Diff(want.orders, got.orders); diff != "" {
		return "orders (-want +got):\n" + diff
	}
	if diff := gocmp.Diff(want.docs, got.docs); diff != "" {
		return "documents (-want +got):\n" + diff
	}
	if diff := gocmp.Diff(want.messages, got.messages, gocmp.AllowUnexported(held{})); diff != "" {
		return "messages (-want +got):\n" + diff
	}
	known := slices.Clone(got.feed)
	for i, c := range f.feed {
		if i < len(known) && c.number == 0 {
			known[i] = &change{text: known[i].text}
		}
	}
	if diff := gocmp.Diff(append([]*change{}, f.feed...), append([]*change{}, known...), gocmp.AllowUnexported(change{})); diff != "" {
		return "changes in the feed (-want +got):\n" + diff
	}
	return ""
}

func expiredDocument(d document.Document, now time.Time) bool {
	return !d.ExpiresAt.IsZero() && !d.ExpiresAt.After(now)
}

const (
	crashRetention = 10 * time.Minute
	crashReceives  = 3
	// crashBacklog is how many messages there are at most, so that one receive can have all.
	crashBacklog = 8
)

func crashRefs() (refs []order.Ref) {
	for i := range 10 {
		refs = append(refs, order.Ref{Tenant: fmt.Sprint("t", i%2), ID: fmt.Sprint("id-", i)})
	}
	return refs
}

func crashDocuments() []document.Key {
	return []document.Key{{Tenant: "t0", Name: "hooks"}, {Tenant: "t0", Name: "memo"}, {Tenant: "t1", Name: "hooks"}}
}

func crashCustomers() []string { return []string{"", "ann", "bob"} }

// crashedDB is a database that is about to crash.
type crashedDB struct {
	*pebblestore.DB
	payments, dead *pebblestore.Queue
	failed         chan error
}

func (l *ledger) open(fs vfs.FS) (*crashedDB, error) {
	db := &crashedDB{failed: make(chan error, 10)}
	var err error
	db.DB, err = pebblestore.Open(pebblestore.Options{
		Dir: "data", FS: fs, Now: l.clock, Logger: silent(), Feed: everyChange, Count: true, Fatal: func(err error) { db.failed <- err },
	})
	if err != nil {
		return nil, err
	}
	if err := db.openQueues(); err != nil {
		return db, err
	}
	return db, nil
}

func (db *crashedDB) openQueues() (err error) {
	c := queueConfig("dead")
	c.Retention = crashRetention
	if db.dead, err = db.Queue(c); err != nil {
		return err
	}
	c = queueConfig("payments")
	c.Retention, c.DeadLetterQueue, c.MaxReceiveCount = crashRetention, "dead", crashReceives
	db.payments, err = db.Queue(c)
	return err
}

// observe reads all that a database holds, by every way of reading it. The error says how
// these contradict each other.
func (db *crashedDB) observe(ctx context.Context, now time.Time) (f facts, err error) {
	f = facts{map[order.Ref]order.Order{}, map[document.Key]document.Document{}, map[string]held{}, nil}
	for _, ref := range crashRefs() {
		o, err := db.Store().Get(ctx, ref)
		switch {
		case err == nil:
			f.orders[ref] = o
		case !errors.Is(err, order.ErrNotFound):
			return f, err
		}
	}
	if err := db.observeIndexes(ctx, f.orders); err != nil {
		return f, err
	}
	for _, key := range crashDocuments() {
		d, err := db.Store().Document(ctx, key)
		if err != nil {
			return f, err
		}
		if d.Version > 0 && !expiredDocument(d, now) {
			f.docs[key] = d
		}
	}
	for name, q := range map[string]*pebblestore.Queue{"payments": db.payments, "dead": db.dead} {
		for m, err := range q.Peek(ctx, 0) {
			if err != nil {
				return f, err
			}
			if _, ok := f.messages[m.Body]; ok {
				return f, fmt.Errorf("the message %.10s is there twice", m.Body)
			}
			f.messages[m.Body] = held{
				queue: name, id: m.MessageID, sent: m.SentAt, first: m.FirstReceivedAt, hidden: m.HiddenUntil, count: m.ReceiveCount, source: m.DeadLetterSourceARN,
			}
		}
	}
	f.feed, err = db.observeFeed(ctx)
	return f, err
}

func (db *crashedDB) observeIndexes(ctx context.Context, orders map[order.Ref]order.Order) error {
	counts := map[order.Status]int{}
	for _, status := range order.Statuses() {
		counts[status] = 0
	}
	var all []order.Order
	for _, o := range orders {
		if o.Status != order.Void {
			all = append(all, o)
			counts[o.Status]++
		}
	}
	slices.SortFunc(all, func(a, b order.Order) int { // newest first
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(b.ID, a.ID))
	})
	for _, tenant := range []string{"t0", "t1"} {
		for _, status := range append(order.Statuses(), "") {
			for _, customer := range crashCustomers() {
				var want []string
				for _, o := range all {
					if o.Tenant == tenant && (status == "" || o.Status == status) && (customer == "" || o.CustomerID == customer) {
						want = append(want, fmt.Sprint(o.ID, " at ", o.Version))
					}
				}
				page, err := db.Store().List(ctx, order.Query{Tenant: tenant, Status: status, CustomerID: customer, Limit: 100})
				if err != nil {
					return err
				}
				var got []string
				for _, o := range page.Orders {
					got = append(got, fmt.Sprint(o.ID, " at ", o.Version))
				}
				if !slices.Equal(want, got) {
					return fmt.Errorf("the list of %q, status %q, customer %q is %v, and the orders are %v", tenant, status, customer, got, want)
				}
			}
		}
	}
	scan, err := db.Store().Scan(ctx, order.ScanQuery{Segments: 1, Limit: 1000})
	if err != nil {
		return err
	}
	if len(scan.Orders) != len(all) {
		return fmt.Errorf("a scan has %d orders, want %d", len(scan.Orders), len(all))
	}
	for { // they are counted in the background
		if got := db.Counts(); got != nil {
			if !maps.Equal(got, counts) {
				return fmt.Errorf("the counts are %v, and the orders %v", got, counts)
			}
			return nil
		}
		select {
		case err := <-db.failed:
			return err
		case <-time.After(time.Millisecond):
		}
	}
}

// observeFeed reads the feed as a whole, and again from a place in it.
func (db *crashedDB) observeFeed(ctx context.Context) (feed []*change, err error) {
	read := func(after uint64) (read []*change, err error) {
		changes, err := db.Feed().Read(ctx, after, 1000, 0)
		for _, c := range changes {
			read = append(read, &change{changeText(c.Before, c.After), c.Number})
			if c.Number <= after {
				return nil, fmt.Errorf("change %d comes after %d", c.Number, after)
			}
			after = c.Number
		}
		return read, err
	}
	if feed, err = read(0); err != nil || len(feed) == 0 {
		return feed, err
	}
	at := len(feed) / 2
	rest, err := read(feed[at].number)
	if err == nil && !gocmp.Equal(feed[at+1:], rest, gocmp.AllowUnexported(change{})) && len(rest)+at+1 != len(feed) {
		err = fmt.Errorf("after change %d of %d, the feed has %d more", at, len(feed), len(rest))
	}
	return feed, err
}

func changeText(before, after *order.Order) string {
	text := "none"
	if before != nil {
		text = fmt.Sprint(before.Status, before.Version)
	}
	return fmt.Sprint(after.Tenant, "/", after.ID, ": ", text, " to ", after.Status, after.Version, " of ", after.CustomerID)
}

// crashClient is the one caller of a database.
type crashClient struct {
	*ledger
	db      *crashedDB
	rng     *rand.Rand
	bodies  *int // how many messages were sent so far
	padding int  // of orders and messages
}

// step does something random. The error is the database's, or says how its answer was wrong.
func (c *crashClient) step(ctx context.Context) error {
	if c.virtual {
		synctest.Wait() // nothing is on its way to the disk but what waits for time to pass
	}
	switch c.rng.IntN(16) {
	case 0, 1, 2, 3:
		return c.writeOrder(ctx)
	case 4:
		return c.claim(ctx)
	case 5:
		return c.erase(ctx)
	case 6:
		return c.writeDocument(ctx)
	case 7, 8:
		return c.send(ctx, 1)
	case 9:
		return c.send(ctx, 1+c.rng.IntN(3))
	case 10:
		return c.receive(ctx, "payments")
	case 11:
		return c.receive(ctx, []string{"payments", "dead"}[c.rng.IntN(2)])
	case 12:
		return c.finish(ctx)
	case 13:
		return c.moveBack(ctx)
	case 14:
		return c.readFeed(ctx)
	default:
		waits := []time.Duration{time.Second, 31 * time.Second, 61 * time.Second, 11 * time.Minute}
		if c.rng.IntN(20) == 0 {
			waits = []time.Duration{order.VoidFor + time.Minute}
		}
		c.pass(waits[c.rng.IntN(len(waits))])
		return nil
	}
}

func (c *crashClient) now() time.Time { return c.clock().Truncate(time.Millisecond) }

func (c *crashClient) pad() string { return strings.Repeat("x", c.rng.IntN(1+c.padding)) }

// put makes a write of an order, whose outcome is known before.
func (c *crashClient) put(next order.Order, write func() error) error {
	f, _ := c.current()
	before, ok := f.orders[next.Ref]
	f.orders[next.Ref] = next
	if next.Status != order.Void {
		shown := &before
		if !ok || before.Status == order.Void {
			shown = nil
		}
		f.feed = append(f.feed, &change{text: changeText(shown, &next)})
	}
	c.begin(f)
	if err := write(); err != nil {
		return fmt.Errorf("store version %d of order %s: %w", next.Version, next.ID, err)
	}
	c.promise()
	return nil
}

func (c *crashClient) writeOrder(ctx context.Context) error {
	f, _ := c.current()
	refs := crashRefs()
	ref, now := refs[c.rng.IntN(len(refs))], c.now()
	o, ok := f.orders[ref]
	if ok && !o.ExpiresAt.IsZero() && !o.ExpiresAt.After(now) {
		delete(f.orders, ref) // a tombstone that counts as absent
		ok = false
	}
	next := order.New(ref, order.Request{Amount: 1, Currency: "KRW", CustomerID: crashCustomers()[c.rng.IntN(3)], Metadata: map[string]string{"pad": c.pad()}}, "", now)
	switch {
	case !ok:
		if c.rng.IntN(4) == 0 {
			next = order.NewVoid(ref, now)
		}
		return c.put(next, func() error { return c.db.Store().Create(ctx, next) })
	case o.Status == order.Void:
		next = next.InPlaceOf(o)
	default:
		next.Version, next.FirstVersion, next.CreatedAt = o.Version+1, o.FirstVersion, o.CreatedAt
		if next.Status = order.Statuses()[c.rng.IntN(len(order.Statuses()))]; len(next.Refunds) == 0 {
			next = next.WithWholeRefund("REF") // as there is one in such a status
		}
	}
	return c.put(next, func() error { return c.db.Store().Update(ctx, next) })
}

// pick returns an order that a change applies to, and the order after it.
func (c *crashClient) pick(change func(order.Order) (order.Order, error)) (next order.Order, ok bool) {
	f, _ := c.current()
	for _, i := range c.rng.Perm(len(crashRefs())) {
		o, ok := f.orders[crashRefs()[i]]
		if !ok || o.Status == order.Void {
			continue
		}
		if next, err := change(o); err == nil && next.Version > o.Version {
			return next, true
		}
	}
	return order.Order{}, false
}

func (c *crashClient) claim(ctx context.Context) error {
	now := c.now()
	claim := order.Claim{Kind: order.KindCharge, Round: 1, Now: now, Until: now.Add(time.Minute), Limits: order.Limits{Attempts: 3}}
	next, ok := c.pick(func(o order.Order) (order.Order, error) { return o.Claimed(claim) })
	if !ok {
		return c.writeOrder(ctx)
	}
	return c.put(next, func() error {
		claimed, err := c.db.Store().Claim(ctx, next.Ref, claim)
		if err == nil && !gocmp.Equal(claimed, next) {
			return fmt.Errorf("the claim returned %+v, want %+v", claimed, next)
		}
		return err
	})
}

func (c *crashClient) erase(ctx context.Context) error {
	next, ok := c.pick(func(o order.Order) (order.Order, error) { return o.Erased(c.now()) })
	if !ok {
		return c.writeOrder(ctx)
	}
	return c.put(next, func() error { return c.db.Store().Update(ctx, next) })
}

func (c *crashClient) writeDocument(ctx context.Context) error {
	f, _ := c.current()
	key := crashDocuments()[c.rng.IntN(len(crashDocuments()))]
	now, stored := c.now(), f.docs[key]
	if expiredDocument(stored, now.Add(-time.Second)) { // it may have been removed, or not
		key, stored = document.Key{Tenant: "t0", Name: "memo"}, f.docs[document.Key{Tenant: "t0", Name: "memo"}]
	}
	write := func() error { return c.db.Store().DeleteDocument(ctx, key) }
	if stored.Version > 0 && c.rng.IntN(3) == 0 {
		delete(f.docs, key)
	} else {
		d := document.Document{Key: key, Version: stored.Version + 1, Body: fmt.Sprint(c.rng.Uint64(), c.pad())}
		if key.Name != "memo" && c.rng.IntN(2) == 0 {
			d.ExpiresAt = now.Truncate(time.Second).Add(90 * time.Second)
		}
		f.docs[key] = d
		write = func() error { return c.db.Store().PutDocument(ctx, d) }
	}
	c.begin(f)
	if err := write(); err != nil {
		return fmt.Errorf("write the document %s: %w", key.Name, err)
	}
	c.promise()
	return nil
}

func (c *crashClient) send(ctx context.Context, n int) error {
	f, next := c.current()
	now := c.now()
	maps.DeleteFunc(f.messages, func(_ string, m held) bool { return !m.sent.Add(crashRetention).After(now) })
	if len(f.messages)+n > crashBacklog {
		return c.finish(ctx)
	}
	var entries []queue.SendEntry
	for range n {
		*c.bodies++
		body, delay := fmt.Sprint("m", *c.bodies, " ", c.pad()), time.Duration(c.rng.IntN(2)*c.rng.IntN(60))*time.Second
		entries = append(entries, queue.SendEntry{ID: fmt.Sprint("e", *c.bodies), Body: body, Delay: delay})
		f.messages[body] = held{queue: "payments", sent: now, hidden: now.Add(delay), step: next}
	}
	c.begin(f)
	if n == 1 {
		id, err := c.db.payments.Send(ctx, entries[0].Body, entries[0].Delay)
		if err != nil {
			return err
		}
		c.learn(next, entries[0].Body, id)
		return nil
	}
	sent, err := c.db.payments.SendBatch(ctx, entries)
	if err != nil {
		return err
	}
	for _, e := range entries {
		c.learn(next, e.Body, sent.MessageIDs[e.ID])
	}
	return nil
}

// learn notes the id that a message was given by a step.
func (l *ledger) learn(step int, body, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.steps[step].clone() // others may be reading that one
	m := f.messages[body]
	m.id = id
	f.messages[body] = m
	l.steps[step] = f
}

func (c *crashClient) queueOf(name string) *pebblestore.Queue {
	if name == "dead" {
		return c.db.dead
	}
	return c.db.payments
}

// receive takes all messages that must be there: those whose sends are durable. One that was
// received often enough moves to the dead-letter queue instead.
func (c *crashClient) receive(ctx context.Context, name string) error {
	if !c.virtual { // what is durable by now is unknown
		if err := c.writeDocument(ctx); err != nil {
			return err
		}
	}
	f, next := c.current()
	least, _ := c.bounds()
	now, visibility := c.now(), time.Duration(1+c.rng.IntN(60))*time.Second
	due, changed := map[string]int{}, false
	for body, m := range f.messages {
		if m.queue != name || m.hidden.After(now) || m.step > least || !m.sent.Add(crashRetention).After(now) {
			continue
		}
		changed = true
		if name == "payments" && m.count >= crashReceives {
			m.queue, m.source, m.handle, m.hidden, m.step = "dead", queueConfig("payments").ARN, "", now, next
		} else {
			m.count++
			m.hidden, m.handle = now.Add(visibility), ""
			if m.first.IsZero() {
				m.first = now
			}
			due[body] = m.count
		}
		f.messages[body] = m
	}
	if changed {
		c.begin(f)
	}
	got, err := c.queueOf(name).Receive(ctx, queue.ReceiveRequest{Max: 10, Visibility: visibility})
	if err != nil {
		return err
	}
	came, handles := map[string]int{}, map[string]string{}
	for _, m := range got {
		came[m.Body], handles[m.Body] = m.ReceiveCount(), m.ReceiptHandle
	}
	if !maps.Equal(due, came) {
		return fmt.Errorf("a receive from %s brought %d messages, want the %d that are durable and due: %s", name, len(came), len(due), gocmp.Diff(due, came))
	}
	if !changed {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	f = c.steps[next].clone()
	for body, handle := range handles {
		m := f.messages[body]
		m.handle = handle
		f.messages[body] = m
	}
	c.steps[next] = f
	return nil
}

// finish deletes a message that was received, or makes it visible again.
func (c *crashClient) finish(ctx context.Context) error {
	f, _ := c.current()
	now := c.now()
	for _, body := range slices.Sorted(maps.Keys(f.messages)) {
		m := f.messages[body]
		if m.handle == "" || !m.sent.Add(crashRetention).After(now) || c.rng.IntN(2) == 0 {
			continue
		}
		q := c.queueOf(m.queue)
		if c.rng.IntN(5) == 0 {
			delete(f.messages, body)
			c.begin(f)
			_, err := q.Delete(ctx, []string{m.handle})
			return err
		}
		if m.hidden = now; c.rng.IntN(4) == 0 {
			m.hidden = now.Add(time.Minute)
		}
		f.messages[body] = m
		c.begin(f)
		return q.ChangeVisibility(ctx, m.handle, m.hidden.Sub(now))
	}
	return c.receive(ctx, "payments")
}

// moveBack moves the messages of the dead-letter queue back, one or all.
func (c *crashClient) moveBack(ctx context.Context) error {
	if err := c.writeDocument(ctx); err != nil { // so that all of them are durable
		return err
	}
	f, next := c.current()
	now, moved, peeked := c.now(), 0, map[string]pebblestore.PeekedMessage{}
	for m, err := range c.db.dead.Peek(ctx, 0) {
		if err != nil {
			return err
		}
		peeked[m.Body] = m
	}
	all := c.rng.IntN(2) == 0
	var number uint64
	for _, body := range slices.Sorted(maps.Keys(f.messages)) {
		m := f.messages[body]
		if m.queue != "dead" || m.hidden.After(now) || !m.sent.Add(crashRetention).After(now) || moved == 1 && !all {
			continue
		}
		moved, number = moved+1, peeked[body].Number
		f.messages[body] = held{queue: "payments", sent: now, hidden: now, step: next}
	}
	if moved == 0 {
		return nil
	}
	c.begin(f)
	if !all {
		return c.db.dead.MoveMessage(ctx, number)
	}
	if _, err := c.db.dead.StartMoveTask(ctx); err != nil {
		return err
	}
	for { // it ends by itself
		task, _ := c.db.dead.MoveTask()
		switch task.Status {
		case pebblestore.MoveCompleted:
			return nil
		case pebblestore.MoveFailed:
			return fmt.Errorf("move messages: %s: %w", task.Failure, order.ErrUnavailable)
		case pebblestore.MoveRunning:
		}
		if c.virtual {
			synctest.Wait()
			continue
		}
		time.Sleep(time.Millisecond)
	}
}

// readFeed reads on in the feed, and may forget what it has read.
func (c *crashClient) readFeed(ctx context.Context) error {
	f, _ := c.current()
	var due []*change
	for _, change := range f.feed {
		if change.number == 0 || change.number > c.position {
			due = append(due, change)
		}
	}
	limit := 1 + c.rng.IntN(4)
	changes, err := c.db.Feed().Read(ctx, c.position, limit, 0)
	if err != nil {
		return err
	}
	if want := min(limit, len(due)); len(changes) != want {
		return fmt.Errorf("the feed has %d changes after %d, want %d", len(changes), c.position, want)
	}
	c.mu.Lock()
	for i, got := range changes {
		if text := changeText(got.Before, got.After); text != due[i].text {
			c.mu.Unlock()
			return fmt.Errorf("the feed has the change %s, want %s", text, due[i].text)
		}
		due[i].number, c.position = got.Number, got.Number
	}
	c.mu.Unlock()
	kept := slices.DeleteFunc(f.feed, func(change *change) bool { return change.number != 0 && change.number <= c.position })
	if before, _ := c.current(); c.rng.IntN(3) > 0 || len(kept) == len(before.feed) {
		return nil
	}
	f.feed = kept
	c.begin(f)
	return c.db.Feed().Forget(ctx, c.position)
}

// observeCrash opens what a crash left, and reads all of it.
func observeCrash(t *testing.T, fs vfs.FS, at time.Time) (facts, error) {
	t.Helper()
	still := &ledger{now: at}
	db, err := still.open(fs)
	if err != nil {
		return facts{}, err
	}
	found, err := db.observe(t.Context(), at)
	return found, errors.Join(err, db.Close())
}

// check compares what a crash left with what it may be.
func (l *ledger) check(found facts, at time.Time, least, most int) error {
	if _, ok := l.match(found, at, least, most); !ok {
		return fmt.Errorf("there is not what the first %d to %d writes left; the nearest differs in %s", least, most, l.explain(found, at, least, most))
	}
	return nil
}
