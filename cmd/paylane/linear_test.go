package main

import (
	"context"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"paylane/shared/e2e"
)

// TestKilledLinearizable kills the runner with SIGKILL, over and over, under clients that do at
// random what callers may, two tenants' among them. What they were answered must be what one
// request after the other would have been.
func TestKilledLinearizable(t *testing.T) {
	folder := t.TempDir()
	for name, text := range map[string][]byte{"template.yaml": hurriedTemplate(t), "simulator": nil} {
		if err := os.WriteFile(filepath.Join(folder, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	alive := served{folder: folder}
	alive.start(t)
	defer func() { alive.victim.kill(t) }()
	clients := e2e.Clients{Groups: 4, Size: 4, Orders: 3, Requests: 12, Tenant: "a", Stranger: "b", Connect: alive.connect}
	clients.Linearizable(t, 8*time.Second, func(ctx context.Context) {
		for {
			killed := time.NewTimer(200*time.Millisecond + rand.N(800*time.Millisecond))
			select {
			case <-ctx.Done():
				killed.Stop()
				return
			case <-killed.C:
				alive.again(t)
			}
		}
	})
}

// served is a folder, and the runner on it that is alive.
type served struct {
	folder string

	mu            sync.Mutex
	victim        *victim
	authorization map[string]string // by tenant
}

// again kills the runner and starts the next. Requests wait that have not been sent.
func (s *served) again(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.victim.kill(t)
	s.start(t)
}

func (s *served) start(t *testing.T) {
	t.Helper()
	s.victim, s.authorization = startVictim(t, s.folder), make(map[string]string)
	issuer, err := openIssuer(filepath.Join(s.folder, "data"), strings.TrimPrefix(s.victim.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	for _, tenant := range []string{"a", "b"} {
		token, err := issuer.token(tenant, everything, nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		s.authorization[tenant] = "Bearer " + token
	}
}

// connect is how clients reach the runner.
func (s *served) connect(_ context.Context, tenant string) (url, authorization string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.victim.url, s.authorization[tenant], nil
}
