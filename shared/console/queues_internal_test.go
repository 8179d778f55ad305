package console

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// tenantsQueues notes for whom it was asked.
type tenantsQueues struct{ tenants []string }

func (q *tenantsQueues) List(context.Context) ([]QueueInfo, error) {
	return []QueueInfo{{Name: "DLQ", Visible: 7771, Redrives: true, DeadLettersOf: []string{"Q"}, Moving: &MoveTask{Running: true, ToMove: 7772}}}, nil
}

func (q *tenantsQueues) Messages(_ context.Context, _, tenant, _ string) (MessagePage, error) {
	q.tenants = append(q.tenants, tenant)
	return MessagePage{Messages: []QueueMessage{{Name: "1", Tenant: tenant, Kind: ChargeMessage, Body: "{}"}}}, nil
}

func (q *tenantsQueues) RedriveAll(context.Context, string) error {
	q.tenants = append(q.tenants, "all")
	return nil
}

func (q *tenantsQueues) Redrive(_ context.Context, _, tenant, _ string) error {
	q.tenants = append(q.tenants, tenant)
	return nil
}

// TestQueuesWithAccounts: a tenant sees how full no queue is, and its own messages; an operator over
// all sees everything.
func TestQueuesWithAccounts(t *testing.T) {
	for tenant, all := range map[string]bool{"shop": false, "": false, AllTenants: true} {
		q := &tenantsQueues{}
		s := &console{Config: Config{
			API: http.NotFoundHandler(), SignIn: &SignIn{}, Local: Local{Queues: q}, Now: time.Now, Log: slog.New(slog.DiscardHandler),
		}}
		var err error
		if s.assets, err = loadAssets(); err == nil {
			s.pages, err = s.parsePages()
		}
		if err != nil {
			t.Fatal(err)
		}
		do := func(serve sessionHandler) (int, string) {
			r := httptest.NewRequestWithContext(sessionContext(t.Context(), Session{Tenant: tenant, Read: true, Operate: true}), http.MethodGet, "/", nil)
			r.SetPathValue("name", "DLQ")
			r.SetPathValue("message", "1")
			w := httptest.NewRecorder()
			serve(w, r)
			return w.Code, w.Body.String()
		}
		status, page := do(s.listQueues)
		if (status == http.StatusOK) != all || !all && status != http.StatusForbidden || strings.Contains(page, "777") != all {
			t.Errorf("%q sees of all queues %d\n%s", tenant, status, page)
		}
		if status, page = do(s.showQueue); status != http.StatusOK || strings.Contains(page, "777") != all || strings.Contains(page, "redrive-all") != all || strings.Contains(page, "hx-get") != all {
			t.Errorf("%q sees of a queue %d\n%s", tenant, status, page)
		}
		if !strings.Contains(page, `data-dialog="one-1"`) {
			t.Errorf("%q can't move a message of its own\n%s", tenant, page)
		}
		if _, page = do(s.redriveOne); strings.Contains(page, "777") != all {
			t.Errorf("%q sees after an action\n%s", tenant, page)
		}
		for _, asked := range q.tenants {
			if asked != tenant {
				t.Errorf("for %q the port was asked for %q", tenant, asked)
			}
		}
		q.tenants = nil
		if status, _ = do(s.redriveAll); (status == http.StatusOK) != all || !all && (status != http.StatusForbidden || len(q.tenants) > 0) {
			t.Errorf("%q moves all: %d, %q", tenant, status, q.tenants)
		}
	}
}
