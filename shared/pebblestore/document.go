package pebblestore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"

	"paylane/shared/document"
	"paylane/shared/order"
)

var _ document.Store = (*Store)(nil)

// Documents share the stripes of orders: in them a document's ref is its tenant and its name,
// which no order has as its id.

func documentRef(k document.Key) order.Ref { return order.Ref{Tenant: k.Tenant, ID: k.Name} }

func documentKey(key []byte, ref order.Ref) []byte {
	return append(appendText(append(key, kindDocument), ref.Tenant), ref.ID...)
}

// documentExpiryKey returns the key by which a document is found once it has expired.
func documentExpiryKey(key []byte, expires stamp, ref order.Ref) []byte {
	return expiryKey(append(key, kindDocumentExpiry), expires, ref)
}

// A document's record: its version, when it expires, its body.
const documentHeader = 8 + 8

func appendDocument(record []byte, d document.Document) []byte {
	record = binary.BigEndian.AppendUint64(record, uint64(d.Version))
	record = binary.BigEndian.AppendUint64(record, uint64(stampOf(d.ExpiresAt)))
	return append(record, d.Body...)
}

func decodeDocument(k document.Key, record []byte) (document.Document, error) {
	if len(record) < documentHeader {
		return document.Document{}, fmt.Errorf("%w: the document %s: %w", ErrDamaged, k.Name, errRecord)
	}
	return document.Document{
		Key: k, Version: int64(binary.BigEndian.Uint64(record)),
		ExpiresAt: stamp(binary.BigEndian.Uint64(record[8:])).time(), Body: string(record[documentHeader:]),
	}, nil
}

// readDocument returns what pebble's readers see, which may not be durable yet.
func (s *Store) readDocument(k document.Key) (document.Document, error) {
	var buf [128]byte
	record, closer, err := s.db.pebble.Get(documentKey(buf[:0], documentRef(k)))
	switch {
	case errors.Is(err, pebble.ErrNotFound):
		return document.Document{Key: k}, nil
	case err != nil:
		return document.Document{}, damaged(err)
	}
	d, err := decodeDocument(k, record)
	return d, errors.Join(err, closer.Close())
}

// Document implements [document.Store].
func (s *Store) Document(ctx context.Context, k document.Key) (document.Document, error) {
	const doing = "get a document"
	if err := s.db.begin(ctx); err != nil {
		return document.Document{}, fmt.Errorf("%s: %w", doing, err)
	}
	defer s.db.ops.Done()
	d, err := s.readDocument(k)
	if err != nil {
		return document.Document{}, unavailable(doing, err)
	}
	ref := documentRef(k)
	if c := s.stripe(ref).pending(ref); c != nil {
		if err := c.wait(ctx); err != nil {
			return document.Document{}, fmt.Errorf("%s: %w", doing, err)
		}
	}
	return d, nil
}

// PutDocument implements [document.Store].
func (s *Store) PutDocument(ctx context.Context, d document.Document) error {
	return s.changeDocument(ctx, "put a document", d.Key, func(stored document.Document) (next document.Document, err error) {
		if stored.Version != d.Version-1 {
			return document.Document{}, document.ErrConflict
		}
		return d, nil
	})
}

// DeleteDocument implements [document.Store].
func (s *Store) DeleteDocument(ctx context.Context, k document.Key) error {
	return s.changeDocument(ctx, "delete a document", k, func(document.Document) (document.Document, error) {
		return document.Document{Key: k}, nil
	})
}

// changeDocument is for documents what [Store.change] is for orders. A next version of 0
// deletes the document.
func (s *Store) changeDocument(ctx context.Context, doing string, k document.Key,
	decide func(document.Document) (document.Document, error),
) error {
	if err := k.Check(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	if err := s.db.begin(ctx); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	defer s.db.ops.Done()
	ref := documentRef(k)
	st := s.stripe(ref)
	st.writing.Lock()
	c, err := s.applyDocument(st, k, decide)
	st.writing.Unlock()
	if c != nil {
		if err := c.wait(ctx); err != nil {
			return fmt.Errorf("%s: %w", doing, err)
		}
	}
	if err == nil || errors.Is(err, document.ErrConflict) {
		return err
	}
	return unavailable(doing, err)
}

// applyDocument is the part of changeDocument under the document's lock. The commit is the one
// to wait for: this write's, or the one that made what decide saw.
func (s *Store) applyDocument(st *stripe, k document.Key, decide func(document.Document) (document.Document, error)) (*commit, error) {
	ref := documentRef(k)
	stored, err := s.readDocument(k)
	if err != nil {
		return nil, err
	}
	next, err := decide(stored)
	if err != nil {
		return st.pending(ref), err
	}
	b := s.db.pebble.NewBatch()
	if was := stampOf(stored.ExpiresAt); was != 0 {
		err = b.Delete(documentExpiryKey(nil, was, ref), nil)
	}
	if next.Version == 0 {
		err = errors.Join(err, b.Delete(documentKey(nil, ref), nil))
	} else {
		err = errors.Join(err, b.Set(documentKey(nil, ref), appendDocument(nil, next), nil))
		if expires := stampOf(next.ExpiresAt); expires != 0 {
			err = errors.Join(err, b.Set(documentExpiryKey(nil, expires, ref), nil, nil))
		}
	}
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	c := newCommit(b, ref, s.settle)
	s.write(st, c)
	return c, nil
}

// sweepDocuments removes the documents that have expired.
func (s *Store) sweepDocuments() error {
	expired, err := s.expiredRefs(kindDocumentExpiry)
	if err != nil {
		return fmt.Errorf("find expired documents: %w", err)
	}
	for _, ref := range expired {
		if err := s.forgetDocument(ref); err != nil {
			return fmt.Errorf("remove an expired document: %w", err)
		}
	}
	return nil
}

// forgetDocument removes a document if it still exists and has expired.
func (s *Store) forgetDocument(ref order.Ref) error {
	st := s.stripe(ref)
	st.writing.Lock()
	defer st.writing.Unlock()
	d, err := s.readDocument(document.Key{Tenant: ref.Tenant, Name: ref.ID})
	expires := stampOf(d.ExpiresAt)
	if err != nil || expires == 0 || expires > stampOf(s.db.now()) {
		return err
	}
	b := s.db.pebble.NewBatch()
	if err := errors.Join(b.Delete(documentKey(nil, ref), nil), b.Delete(documentExpiryKey(nil, expires, ref), nil)); err != nil {
		return errors.Join(err, b.Close())
	}
	_, err = s.db.wal.writeLazily(b)
	return err
}
