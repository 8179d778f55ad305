package pebblestore

import (
	"runtime"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// A backlog of a million messages takes about 100 MB, besides the bodies that are kept,
// whatever their size.
func TestIndexMemory(t *testing.T) {
	const messages, perMessage = 200_000, 120
	var x index
	before := heapInUse()
	body := strings.Repeat("x", 1000)
	for n := range uint64(messages) {
		x.addUnsynced(&entry{number: n, sent: 1, hot: &message{body: strings.Clone(body)}}, n)
		if n%1000 == 999 {
			x.synced(n, 1)
		}
	}
	if used := heapInUse() - before - 2*maxHotBytes; used > messages*perMessage {
		t.Errorf("%d messages take %d bytes each", messages, used/messages)
	}
	for e := x.takeReady(); e != nil; e = x.takeReady() {
		x.remove(e)
	}
	if used := heapInUse() - before; used > 1<<18 {
		t.Errorf("a drained queue keeps %d bytes", used)
	}
	runtime.KeepAlive(&x)
}

// Messages that came and went are forgotten, though one that came before them is still here.
func TestIndexForgets(t *testing.T) {
	var x index
	x.addUnsynced(&entry{number: 1}, 1)
	for n := range uint64(10_000) {
		e := &entry{number: n + 2}
		x.addUnsynced(e, n+2)
		x.synced(n+2, 0)
		x.remove(e)
	}
	if len(x.arrived) > 2*arrivedSlack || x.first().number != 1 {
		t.Errorf("of one message %d entries are kept, and message %d is the first", len(x.arrived), x.first().number)
	}
}

func heapInUse() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// TestIndex compares the index with a plain list of messages over random operations.
func TestIndex(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		m := &indexModel{now: 1000, messages: map[uint64]*modelMessage{}}
		r.Repeat(map[string]func(*rapid.T){
			"":        m.check,
			"send":    m.send,
			"sync":    m.sync,
			"receive": m.receive,
			"settle":  m.settle,
			"remove":  m.remove,
			"pass":    func(r *rapid.T) { m.now += stamp(rapid.IntRange(0, 5).Draw(r, "ms")) },
			"sweep":   m.sweep,
		})
	})
}

type indexModel struct {
	x        index
	now      stamp
	durable  uint64
	messages map[uint64]*modelMessage
	last     uint64
}

type modelMessage struct {
	entry *entry
	end   uint64
	taken bool
}

func (m *indexModel) send(r *rapid.T) {
	m.last++
	delay := stamp(rapid.IntRange(0, 3).Draw(r, "delay"))
	e := &entry{number: m.last, sent: m.now, visible: m.now + delay}
	m.messages[m.last] = &modelMessage{entry: e, end: m.last}
	m.x.addUnsynced(e, m.last)
}

func (m *indexModel) sync(*rapid.T) {
	m.durable = m.last
	m.x.synced(m.durable, m.now)
}

// ready counts the messages that may be received.
func (m *indexModel) ready() (n int) {
	for _, message := range m.messages {
		if !message.taken && message.end <= m.durable && message.entry.visible <= m.now {
			n++
		}
	}
	return n
}

func (m *indexModel) receive(r *rapid.T) {
	m.x.surface(m.now)
	want := m.ready()
	e := m.x.takeReady()
	if (e != nil) != (want > 0) {
		r.Fatalf("a message came: %t, and %d are ready", e != nil, want)
	}
	if e == nil {
		return
	}
	message := m.messages[e.number]
	if message == nil || message.taken || message.end > m.durable || e.visible > m.now {
		r.Fatalf("message %d came, which is %+v", e.number, message)
	}
	message.taken = true
}

// pick chooses a message that a call may concern: taken, or received before.
func (m *indexModel) pick(r *rapid.T) *modelMessage {
	if m.last == 0 {
		r.Skip("there are none")
	}
	message := m.messages[rapid.Uint64Range(1, m.last).Draw(r, "message")]
	if message == nil || message.end > m.durable {
		r.Skip("it is gone, or not durable yet")
	}
	return message
}

func (m *indexModel) settle(r *rapid.T) {
	message := m.pick(r)
	if !message.taken {
		m.x.take(message.entry)
	}
	message.entry.count++
	message.entry.visible = m.now + stamp(rapid.IntRange(0, 5).Draw(r, "timeout"))
	m.x.settle(message.entry, m.now)
	message.taken = false
}

func (m *indexModel) remove(r *rapid.T) {
	message := m.pick(r)
	m.x.remove(message.entry)
	m.x.remove(message.entry)
	delete(m.messages, message.entry.number)
}

func (m *indexModel) sweep(r *rapid.T) {
	before := m.now - min(m.now, stamp(rapid.IntRange(0, 10).Draw(r, "age")))
	limit := rapid.IntRange(1, 3).Draw(r, "limit")
	want := 0
	for _, message := range m.messages {
		if !message.taken && message.end <= m.durable && message.entry.sent < before {
			want++
		}
	}
	old := m.x.takeSentBefore(before, limit)
	if len(old) != min(want, limit) {
		r.Fatalf("%d messages were swept, want %d of %d", len(old), min(want, limit), want)
	}
	for _, e := range old {
		if e.sent >= before {
			r.Fatalf("message %d was swept, sent at %d, not before %d", e.number, e.sent, before)
		}
		m.x.remove(e)
		delete(m.messages, e.number)
	}
}

func (m *indexModel) check(r *rapid.T) {
	m.x.surface(m.now)
	delayed, first := 0, ^uint64(0)
	for number, message := range m.messages {
		first = min(first, number)
		if !message.taken && message.end <= m.durable && message.entry.visible > m.now && message.entry.count == 0 {
			delayed++
		}
	}
	if e := m.x.first(); (e == nil) != (len(m.messages) == 0) || e != nil && e.number != first {
		r.Fatalf("the first message of %d is %+v, want %d", len(m.messages), e, first)
	}
	if m.x.ready.len != m.ready() || m.x.numDelayed != delayed || len(m.x.entries) != len(m.messages) {
		r.Fatalf("the index has %d ready, %d delayed of %d; want %d, %d of %d",
			m.x.ready.len, m.x.numDelayed, len(m.x.entries), m.ready(), delayed, len(m.messages))
	}
}
