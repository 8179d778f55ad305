// Package document is the port to small documents that are kept beside the orders, in the same
// table: what a tenant has set up, and what is remembered about it. A document is a text, of
// which the store knows nothing, with a version for optimistic concurrency.
package document

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// MaxBytes is how long a document may be, far below the 400 KB of an item of DynamoDB.
const MaxBytes = 128 << 10

// ErrConflict reports that a document has another version than the write was made for. Nothing
// was written.
var ErrConflict = errors.New("the document has changed meanwhile")

// Key names a document. Documents of different tenants never share one.
type Key struct {
	Tenant string
	// Name is made of lower-case letters, digits, dots and dashes, and begins with a letter that
	// is no hexadecimal digit, so that no order has it as its id.
	Name string
}

// Check reports what is wrong with the key.
func (k Key) Check() error {
	if k.Tenant == "" || k.Name == "" || k.Name[0] < 'g' || k.Name[0] > 'z' || len(k.Name) > 200 ||
		strings.Trim(k.Name, "abcdefghijklmnopqrstuvwxyz0123456789.-") != "" {
		return fmt.Errorf("%q of the tenant %q can't be the key of a document", k.Name, k.Tenant)
	}
	return nil
}

// Document is a version of a document.
type Document struct {
	Key
	// Version is 1 for the first, and rises by one with every write; 0 stands for a document
	// that does not exist.
	Version int64
	Body    string
	// ExpiresAt is when the document may be deleted, in whole seconds; the zero time keeps it.
	// Until it is deleted it is there.
	ExpiresAt time.Time
}

// Store keeps documents.
//
// Every method may be called concurrently. Each write is one atomic step against all others on
// the same document, and durable once it returned nil. Errors that are not named are those of
// every method of [paylane/shared/order.Store].
type Store interface {
	// Document returns the newest version. Without one it is a document with Version 0 and
	// nothing else but its key, and no error. It sees every write that returned before it was
	// called.
	Document(ctx context.Context, key Key) (Document, error)

	// PutDocument stores a document if the stored version is d.Version-1, or there is none and
	// d.Version is 1. Otherwise the error is [ErrConflict]. It is not a conflict if the store
	// repeats a call whose first try had in fact succeeded.
	PutDocument(ctx context.Context, d Document) error

	// DeleteDocument deletes a document, whatever its version. It is no error if there is none.
	DeleteDocument(ctx context.Context, key Key) error
}
