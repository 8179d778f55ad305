package contract

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/document"
	"paylane/shared/order"
)

// Documents is a store of orders that also keeps documents.
type Documents interface {
	order.Store
	order.Scanner
	document.Store
}

// RunDocuments checks a store of documents. It calls open once for each case.
func RunDocuments(t *testing.T, open func(t *testing.T) Documents) {
	for name, test := range map[string]func(*testing.T, Documents){
		"there is none":                         testNoDocument,
		"every version replaces the one before": testDocumentVersions,
		"a document is as it was put":           testDocumentRoundTrip,
		"of concurrent puts one succeeds":       testConcurrentPuts,
		"delete":                                testDeleteDocument,
		"tenants' documents never meet":         testDocumentTenants,
		"a key that can't be one is refused":    testDocumentKey,
		"orders and documents never meet":       testDocumentsAndOrders,
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

func documentOf(tenant, name string, version int64, body string) document.Document {
	return document.Document{Key: document.Key{Tenant: tenant, Name: name}, Version: version, Body: body}
}

func mustPut(t *testing.T, s document.Store, d document.Document) {
	t.Helper()
	if err := s.PutDocument(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func wantDocument(t *testing.T, s document.Store, want document.Document) {
	t.Helper()
	got := must[document.Document](t)(s.Document(t.Context(), want.Key))
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the document (-want +got):\n%s", diff)
	}
}

func testNoDocument(t *testing.T, s Documents) {
	wantDocument(t, s, documentOf(newTenant(), "settings", 0, ""))
}

func testDocumentVersions(t *testing.T, s Documents) {
	tenant := newTenant()
	conflicts := func(version int64) {
		t.Helper()
		if err := s.PutDocument(t.Context(), documentOf(tenant, "settings", version, "other")); !errors.Is(err, document.ErrConflict) {
			t.Errorf("version %d was put: %v", version, err)
		}
	}
	conflicts(2)
	for version := range int64(3) {
		d := documentOf(tenant, "settings", version+1, strings.Repeat("x", int(version)))
		mustPut(t, s, d)
		wantDocument(t, s, d)
		conflicts(version + 1)
		conflicts(version + 3)
		wantDocument(t, s, d)
	}
	conflicts(1)
}

func testDocumentRoundTrip(t *testing.T, s Documents) {
	tenant := newTenant()
	for name, d := range map[string]document.Document{
		"settings":  {Body: "{\"a\": \"é 😀 \\u0000\"}\n"},
		"sent.a-1":  {Body: strings.Repeat("é", document.MaxBytes/2)},
		"temporary": {Body: "1", ExpiresAt: at(3_000_000_000).Truncate(time.Second)},
	} {
		d.Key, d.Version = document.Key{Tenant: tenant, Name: name}, 1
		mustPut(t, s, d)
		wantDocument(t, s, d)
		d.Version, d.ExpiresAt = 2, time.Time{}
		mustPut(t, s, d)
		wantDocument(t, s, d)
	}
}

func testConcurrentPuts(t *testing.T, s Documents) {
	tenant := newTenant()
	for version := range int64(3) {
		var won, lost atomic.Int64
		var writers sync.WaitGroup
		for range 8 {
			writers.Go(func() {
				switch err := s.PutDocument(t.Context(), documentOf(tenant, "settings", version+1, "x")); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, document.ErrConflict):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		writers.Wait()
		if won.Load() != 1 || lost.Load() != 7 {
			t.Errorf("version %d: %d puts succeeded and %d met a conflict", version+1, won.Load(), lost.Load())
		}
	}
}

func testDeleteDocument(t *testing.T, s Documents) {
	d := documentOf(newTenant(), "settings", 1, "x")
	for range 2 {
		mustPut(t, s, d)
		for range 2 { // the second has nothing to delete
			if err := s.DeleteDocument(t.Context(), d.Key); err != nil {
				t.Fatal(err)
			}
		}
		wantDocument(t, s, documentOf(d.Tenant, d.Name, 0, ""))
	}
}

func testDocumentTenants(t *testing.T, s Documents) {
	tenant := newTenant()
	tenants := []string{tenant, tenant + "/settings", tenant + "/", strings.ToUpper(tenant), tenant + "s"}
	for i, name := range tenants {
		mustPut(t, s, documentOf(name, "settings", 1, string(rune('a'+i))))
	}
	for i, name := range tenants {
		wantDocument(t, s, documentOf(name, "settings", 1, string(rune('a'+i))))
		wantDocument(t, s, documentOf(name, "setting", 0, ""))
	}
}

func testDocumentKey(t *testing.T, s Documents) {
	o := pendingOrder(newTenant(), 0)
	mustCreate(t, s, o)
	for _, k := range []document.Key{{Tenant: o.Tenant}, {Name: "settings"}, {Tenant: o.Tenant, Name: o.ID}, {Tenant: o.Tenant, Name: "s/t"}, {Tenant: o.Tenant, Name: "Settings"}} {
		if err := s.PutDocument(t.Context(), document.Document{Key: k, Version: 1, Body: "x"}); err == nil || errors.Is(err, order.ErrUnavailable) {
			t.Errorf("%+v: %v", k, err)
		}
	}
	wantStored(t, s, o)
}

// testDocumentsAndOrders: neither a list nor a scan shows documents.
func testDocumentsAndOrders(t *testing.T, s Documents) {
	tenant := newTenant()
	mustPut(t, s, documentOf(tenant, "settings", 1, "x"))
	o := pendingOrder(tenant, 0)
	mustCreate(t, s, o)
	page := must[order.Page](t)(s.List(t.Context(), order.Query{Tenant: tenant, Limit: 10}))
	for _, listed := range page.Orders { // it may lag behind
		if listed.ID != o.ID {
			t.Errorf("the list has %v", listed)
		}
	}
	for next := (order.ScanQuery{Segments: 1, Limit: 1000}); ; {
		scanned := must[order.ScanPage](t)(s.Scan(t.Context(), next))
		for _, found := range scanned.Orders {
			if found.Tenant == tenant && found.ID != o.ID {
				t.Errorf("the scan found %v", found)
			}
		}
		if next.Cursor = scanned.Next; next.Cursor == "" {
			break
		}
	}
	wantDocument(t, s, documentOf(tenant, "settings", 1, "x"))
}
