package dynamostore_test

import (
	"errors"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/document"
	"paylane/shared/dynamostore"
)

// TestDocumentRequests shows what each call puts on the wire.
func TestDocumentRequests(t *testing.T) {
	k := document.Key{Tenant: "a/b", Name: "webhooks"}
	first := document.Document{Key: k, Version: 1, Body: "[]"}
	third := document.Document{Key: k, Version: 3, Body: "[1]", ExpiresAt: at(3600)}
	for _, test := range []struct {
		name string
		call func(*dynamostore.Store) error
		want string
	}{
		{"put the first", func(s *dynamostore.Store) error { return s.PutDocument(t.Context(), first) },
			"PutItem\nConditionExpression: attribute_not_exists(pk)\n" +
				"Item: {a=0 c= d=[] n=1 pk=a/b/webhooks s=VOID v=1 w=TOKEN}\nReturnValuesOnConditionCheckFailure: ALL_OLD"},
		{"put a later one", func(s *dynamostore.Store) error { return s.PutDocument(t.Context(), third) },
			"PutItem\nConditionExpression: n = 2\n" +
				"Item: {a=0 c= d=[1] n=3 pk=a/b/webhooks s=VOID v=1 w=TOKEN x=1773484013}\nReturnValuesOnConditionCheckFailure: ALL_OLD"},
		{"get", func(s *dynamostore.Store) error { _, err := s.Document(t.Context(), k); return err },
			"GetItem\nConsistentRead: true\nKey: {pk=a/b/webhooks}"},
		{"delete", func(s *dynamostore.Store) error { return s.DeleteDocument(t.Context(), k) },
			"DeleteItem\nKey: {pk=a/b/webhooks}"},
	} {
		store, f := open(t, awstest.OK(struct{}{}))
		if err := test.call(store); err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		if diff := cmp.Diff([]string{test.want}, f.lines()); diff != "" {
			t.Errorf("%s: requests (-want +got):\n%s", test.name, diff)
		}
	}
}

// TestDocumentConflict: a put whose condition fails lost to another, unless what is there is its own,
// by a try whose answer was lost.
func TestDocumentConflict(t *testing.T) {
	d := document.Document{Key: document.Key{Tenant: "t", Name: "n"}, Version: 2, Body: "2"}
	for name, own := range map[string]bool{"another's": false, "its own": true} {
		store, _ := serve(t, func(_ int, r awstest.Request) awstest.Answer {
			item := r.Body["Item"].(map[string]any)
			if !own {
				item["w"] = map[string]any{"S": "ANOTHER"}
			}
			return conflicts(item)
		})
		if err := store.PutDocument(t.Context(), d); own && err != nil || !own && !errors.Is(err, document.ErrConflict) {
			t.Errorf("%s: %v", name, err)
		}
	}
	store, _ := open(t, dynamoDBErrors.Refuses(http.StatusBadRequest, "ConditionalCheckFailedException", nil))
	if err := store.PutDocument(t.Context(), d); !errors.Is(err, document.ErrConflict) {
		t.Errorf("deleted meanwhile: %v", err)
	}
}

// TestDocumentRead: what was put is read, and what is not there is a document of version 0.
func TestDocumentRead(t *testing.T) {
	d := document.Document{Key: document.Key{Tenant: "t", Name: "n"}, Version: 7, Body: "{}", ExpiresAt: at(60).Truncate(1e9)}
	store, f := open(t, awstest.OK(struct{}{}))
	if err := store.PutDocument(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		answer any
		want   document.Document
	}{
		"there":     {map[string]any{"Item": f.Requests()[0].Body["Item"]}, d},
		"not there": {struct{}{}, document.Document{Key: d.Key}},
	} {
		store, _ := open(t, awstest.OK(tt.answer))
		got, err := store.Document(t.Context(), d.Key)
		if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
			t.Errorf("%s: %v (-want +got):\n%s", name, err, diff)
		}
	}
}
