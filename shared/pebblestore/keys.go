package pebblestore

import (
	"encoding/binary"
	"strconv"
	"time"

	"paylane/shared/order"
)

// The first byte of every key. A text within a key is preceded by its length, so that no
// tenant or queue can have a name that begins another's range of keys.
const (
	kindOrder    byte = 'o' // tenant, id -> the order
	kindList     byte = 'l' // tenant, creation, id -> nothing
	kindOutcome  byte = 's' // tenant, status, creation, id -> nothing; some statuses only
	kindCustomer byte = 'c' // tenant, customer, creation, id -> nothing; orders with a customer
	kindVoid     byte = 'v' // expiry, tenant, id -> nothing; tombstones only
	kindMessage  byte = 'q' // queue, number, part -> a message or its receive state
	kindOpenings byte = 'n' // how often the database was opened
	kindIndexed  byte = 'i' // the newest opening by a build that writes all of these indexes
	kindFeed     byte = 'f' // number -> a change of an order

	kindDocument       byte = 'd' // tenant, name -> a document
	kindDocumentExpiry byte = 'e' // expiry, tenant, name -> nothing; documents that expire only
)

// The parts of a message: its content, written once, and its receive state, written by each
// receive. They are neighbors, so that one scan reads both.
const (
	partSent  byte = 0
	partState byte = 1
)

func appendText(key []byte, text string) []byte {
	return append(binary.AppendUvarint(key, uint64(len(text))), text...)
}

// cutText is the inverse of appendText.
func cutText(key []byte) (text string, rest []byte, ok bool) {
	n, used := binary.Uvarint(key)
	if used <= 0 || uint64(len(key)-used) < n {
		return "", nil, false
	}
	return string(key[used : used+int(n)]), key[used+int(n):], true
}

func orderKey(key []byte, ref order.Ref) []byte {
	return append(appendText(append(key, kindOrder), ref.Tenant), ref.ID...)
}

// listPrefix returns the prefix of a tenant's list, or of that of one status.
func listPrefix(key []byte, tenant string, status order.Status) []byte {
	if status == "" {
		return appendText(append(key, kindList), tenant)
	}
	return append(appendText(append(key, kindOutcome), tenant), statusCode(status))
}

// customerPrefix returns the prefix of the list of one customer.
func customerPrefix(key []byte, tenant, customer string) []byte {
	return appendText(appendText(append(key, kindCustomer), tenant), customer)
}

// placeKey appends an order's place to a list's prefix. Keys sort by creation, then by id; a
// list is read backwards.
func placeKey(prefix []byte, created stamp, id string) []byte {
	return append(binary.BigEndian.AppendUint64(prefix, uint64(created)), id...)
}

// parsePlaceKey reads a key that begins with a list's prefix.
func parsePlaceKey(key, prefix []byte) (created stamp, id string) {
	place := key[len(prefix):]
	return stamp(binary.BigEndian.Uint64(place)), string(place[8:])
}

func voidKey(key []byte, expires stamp, ref order.Ref) []byte {
	return expiryKey(append(key, kindVoid), expires, ref)
}

// expiryKey completes a key of a kind that lists what expires, by when.
func expiryKey(kind []byte, expires stamp, ref order.Ref) []byte {
	key := binary.BigEndian.AppendUint64(kind, uint64(expires))
	return append(appendText(key, ref.Tenant), ref.ID...)
}

// parseExpiryKey is the inverse of expiryKey.
func parseExpiryKey(key []byte) (ref order.Ref, ok bool) {
	if len(key) < 9 {
		return order.Ref{}, false
	}
	tenant, id, ok := cutText(key[9:])
	return order.Ref{Tenant: tenant, ID: string(id)}, ok
}

func messagePrefix(key []byte, queue string) []byte {
	return appendText(append(key, kindMessage), queue)
}

func messageKey(key []byte, queue string, number uint64, part byte) []byte {
	return append(binary.BigEndian.AppendUint64(messagePrefix(key, queue), number), part)
}

// parseMessageKey reads a key that begins with a queue's prefix.
func parseMessageKey(key, prefix []byte) (number uint64, part byte, ok bool) {
	rest := key[len(prefix):]
	if len(rest) != 9 || rest[8] > partState {
		return 0, 0, false
	}
	return binary.BigEndian.Uint64(rest), rest[8], true
}

func feedKey(number uint64) []byte {
	return binary.BigEndian.AppendUint64([]byte{kindFeed}, number)
}

// parseFeedKey is the inverse of feedKey.
func parseFeedKey(key []byte) (number uint64, ok bool) {
	if len(key) != 9 {
		return 0, false
	}
	return binary.BigEndian.Uint64(key[1:]), true
}

// prefixEnd returns the first key after all that begin with prefix. The prefix begins with
// one of the letters above, so there always is one.
func prefixEnd(prefix []byte) []byte {
	end := append([]byte(nil), prefix...)
	for i := len(end) - 1; ; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
}

// stamp is a time as it is stored: milliseconds since 1970, shifted so that unsigned
// comparison is the order of time, or 0 for the zero time.
type stamp uint64

const stampEpoch = 1 << 63

func stampOf(t time.Time) stamp {
	if t.IsZero() {
		return 0
	}
	return stamp(t.UnixMilli()) ^ stampEpoch
}

// unixMilli returns the milliseconds since 1970 as text.
func (s stamp) unixMilli() string { return strconv.FormatInt(int64(s^stampEpoch), 10) }

func (s stamp) time() time.Time {
	if s == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(s ^ stampEpoch)).UTC()
}
