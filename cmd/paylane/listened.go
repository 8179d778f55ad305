package main

import (
	"context"
	"sync"

	"paylane/shared/document"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/webhook"
)

// listened is the embedded store, and knows the tenants that have, or once had, a webhook. Only of
// their orders changes are kept: nobody else pays for a stream that tells nobody anything.
type listened struct {
	*pebblestore.Store
	tenants *sync.Map // string -> bool
}

// PutDocument implements document.Store.
func (l listened) PutDocument(ctx context.Context, d document.Document) error {
	if d.Key == webhook.RegistryKey(d.Tenant) {
		l.tenants.Store(d.Tenant, true) // before any change that the webhook must hear of
	}
	return l.Store.PutDocument(ctx, d)
}

// keeps reports whether a change may be an event that somebody waits for.
func (l listened) keeps(ctx context.Context, tenant string, before, after order.Status) bool {
	if !webhook.Matters(before, after) {
		return false
	}
	known, ok := l.tenants.Load(tenant)
	if !ok {
		d, err := l.Document(ctx, webhook.RegistryKey(tenant))
		if err != nil {
			return true
		}
		known, _ = l.tenants.LoadOrStore(tenant, d.Version > 0)
	}
	heard, _ := known.(bool)
	return heard
}
