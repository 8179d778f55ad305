package pebblestore

import (
	"container/heap"
	"slices"
)

// maxHotBytes bounds the message bodies that a queue's index keeps, so that a receive that
// soon follows its send needs no read. Others are read from pebble.
const maxHotBytes = 16 << 20

// index holds the place of each of a queue's messages, in memory. It is small, so that a
// backlog of a million messages takes about 100 MB. The queue's lock guards it.
type index struct {
	entries map[uint64]*entry
	// unsynced messages were sent, and can be received once they are durable.
	unsynced []unsynced
	// ready messages can be received, in the order in which they became so.
	ready list
	// hidden messages wait for their deadlines, nearest first.
	hidden deadlines

	numDelayed int // of the hidden messages; the others were received
	hotBytes   int
	// oldest is no later than when any message was sent.
	oldest stamp
	// arrived has the entries in the order in which they came here, among others that are gone.
	arrived []*entry
}

// entry is one message, in 64 bytes.
type entry struct {
	number     uint64
	visible    stamp // see state
	sent       stamp
	hot        *message // nil if it must be read from pebble
	prev, next *entry   // in index.ready
	count      uint32
	heapAt     int32 // in index.hidden
	place      place
}

// place is the part of the index that an entry is in.
type place uint8

const (
	placeUnsynced place = iota
	placeReady
	placeHidden
	// placeTaken is for an entry that a call is writing about, without holding the lock.
	placeTaken
	placeGone
)

type unsynced struct {
	entry *entry
	end   uint64 // of its send, in the log
}

func (x *index) add(e *entry) {
	if x.entries == nil {
		x.entries = make(map[uint64]*entry)
	}
	x.entries[e.number] = e
	x.arrived = append(x.arrived, e)
	if x.oldest == 0 || e.sent < x.oldest {
		x.oldest = e.sent
	}
	if e.hot == nil {
		return
	}
	if size := len(e.hot.body); x.hotBytes+size <= maxHotBytes {
		x.hotBytes += size
	} else {
		e.hot = nil
	}
}

// addUnsynced adds a message that was just written; end is its end in the log.
func (x *index) addUnsynced(e *entry, end uint64) {
	x.add(e)
	e.place = placeUnsynced
	x.unsynced = append(x.unsynced, unsynced{e, end})
}

// synced makes the messages receivable that are durable now. Concurrent sends may be in the
// list slightly out of order; then one waits for the next fsync.
func (x *index) synced(durable uint64, now stamp) {
	n := 0
	for n < len(x.unsynced) && x.unsynced[n].end <= durable {
		x.settle(x.unsynced[n].entry, now)
		n++
	}
	x.unsynced = slices.Delete(x.unsynced, 0, n)
}

// settle puts a taken or new entry into the part that its deadline calls for.
func (x *index) settle(e *entry, now stamp) {
	if e.visible <= now {
		e.place = placeReady
		x.ready.push(e)
		return
	}
	e.place = placeHidden
	heap.Push(&x.hidden, e)
	if e.count == 0 {
		x.numDelayed++
	}
}

// surface makes the hidden messages ready whose deadlines have passed.
func (x *index) surface(now stamp) {
	for len(x.hidden) > 0 && x.hidden[0].visible <= now {
		e := x.hidden[0]
		x.take(e)
		x.settle(e, now)
	}
}

// take takes an entry out of its part. It must be settled again, or removed.
func (x *index) take(e *entry) {
	switch e.place {
	case placeReady:
		x.ready.remove(e)
	case placeHidden:
		heap.Remove(&x.hidden, int(e.heapAt))
		if e.count == 0 {
			x.numDelayed--
		}
	case placeUnsynced, placeTaken, placeGone:
	}
	e.place = placeTaken
}

// takeReady takes the message that has been ready longest, or returns nil.
func (x *index) takeReady() *entry {
	e := x.ready.first
	if e != nil {
		x.take(e)
	}
	return e
}

// remove forgets a message.
func (x *index) remove(e *entry) {
	if e.place == placeGone {
		return
	}
	x.take(e)
	e.place = placeGone
	delete(x.entries, e.number)
	if len(x.entries) == 0 {
		x.entries, x.oldest, x.arrived = nil, 0, nil // a map keeps the size it once had
	} else if len(x.arrived) > 2*len(x.entries)+arrivedSlack {
		x.arrived = slices.DeleteFunc(x.arrived, (*entry).gone)
	}
	if e.hot != nil {
		x.hotBytes -= len(e.hot.body)
		e.hot = nil
	}
}

// arrivedSlack is how many entries that are gone are always let be, so that a queue of few messages
// is not tidied all the time.
const arrivedSlack = 64

func (e *entry) gone() bool { return e.place == placeGone }

// first returns the entry that has been here longest; nil if there is none.
func (x *index) first() *entry {
	n := slices.IndexFunc(x.arrived, func(e *entry) bool { return !e.gone() })
	if n < 0 {
		return nil
	}
	x.arrived = x.arrived[n:]
	return x.arrived[0]
}

// takeSentBefore takes up to limit messages that were sent before a time. It looks through
// all entries only if there may be one.
func (x *index) takeSentBefore(t stamp, limit int) (old []*entry) {
	if len(x.entries) == 0 || x.oldest >= t {
		return nil
	}
	oldest := ^stamp(0)
	for _, e := range x.entries {
		if e.sent >= t || e.place == placeTaken || e.place == placeUnsynced {
			oldest = min(oldest, e.sent)
			continue
		}
		x.take(e)
		if old = append(old, e); len(old) == limit {
			return old
		}
	}
	x.oldest = oldest
	return old
}

// deadlines is a heap of hidden messages for container/heap.
type deadlines []*entry

func (h deadlines) Len() int           { return len(h) }
func (h deadlines) Less(i, j int) bool { return h[i].visible < h[j].visible }

func (h deadlines) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapAt, h[j].heapAt = int32(i), int32(j)
}

func (h *deadlines) Push(x any) {
	e := x.(*entry)
	e.heapAt = int32(len(*h))
	*h = append(*h, e)
}

func (h *deadlines) Pop() any {
	last := len(*h) - 1
	e := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	return e
}

// list is a list of entries, linked through them so that removing one takes constant time.
type list struct {
	first, last *entry
	len         int
}

func (l *list) push(e *entry) {
	e.prev, e.next = l.last, nil
	if l.last == nil {
		l.first = e
	} else {
		l.last.next = e
	}
	l.last = e
	l.len++
}

func (l *list) remove(e *entry) {
	if e.prev == nil {
		l.first = e.next
	} else {
		e.prev.next = e.next
	}
	if e.next == nil {
		l.last = e.prev
	} else {
		e.next.prev = e.prev
	}
	e.prev, e.next = nil, nil
	l.len--
}
