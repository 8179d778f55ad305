package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"time"

	"paylane/shared/gateway"
	"paylane/shared/order"
)

// fileLedger is a gateway whose books outlive the process that calls it, as a real
// gateway's do. It acts at most once under a key. Resolving a key that it has not acted
// under refuses that key from then on. It takes time before it acts, and after.
type fileLedger struct {
	mu   sync.Mutex
	file *os.File
	book map[string]string // by key: what happened under it
}

// The entries of the ledger.
const (
	charged  = "charged"
	refunded = "refunded"
	refused  = "refused"
)

func openLedger(path string) (*fileLedger, error) {
	book, err := readLedger(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	if book == nil {
		book = make(map[string]string)
	}
	return &fileLedger{file: file, book: book}, nil
}

// readLedger reads the books, in which a key may occur only once.
func readLedger(path string) (map[string]string, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	book := make(map[string]string)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		what, key, ok := strings.Cut(lines.Text(), " ")
		if !ok || book[key] != "" {
			return nil, fmt.Errorf("the ledger says %q, and before %q of the same key", lines.Text(), book[key])
		}
		book[key] = what
	}
	return book, nil
}

// enter writes a line before the caller learns anything about the key. A kill does not undo
// the write.
func (l *fileLedger) enter(key, what string) error {
	if _, err := fmt.Fprintf(l.file, "%s %s\n", what, key); err != nil {
		return err
	}
	l.book[key] = what
	return nil
}

func (l *fileLedger) CheckToken(order.Token) error { return nil }

func (l *fileLedger) CheckMoney(order.Money) error { return nil }

func (l *fileLedger) Livemode() bool { return false }

func (l *fileLedger) Describe() gateway.TokenDescription {
	return gateway.TokenDescription{Default: "tok_ok"}
}

func (l *fileLedger) Charge(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return l.act(ctx, r, charged)
}

func (l *fileLedger) Refund(ctx context.Context, r gateway.Request) (gateway.Receipt, error) {
	return l.act(ctx, r, refunded)
}

func (l *fileLedger) act(ctx context.Context, r gateway.Request, what string) (gateway.Receipt, error) {
	if err := think(ctx); err != nil {
		return gateway.Receipt{}, err
	}
	l.mu.Lock()
	before := l.book[r.Key]
	var err error
	if before == "" {
		err = l.enter(r.Key, what)
	}
	l.mu.Unlock()
	if err != nil {
		return gateway.Receipt{}, err
	}
	if before == refused {
		return gateway.Receipt{}, &gateway.DeclinedError{Code: "key_refused", Message: "This key was resolved as not charged."}
	}
	if err := think(ctx); err != nil {
		return gateway.Receipt{}, err
	}
	return gateway.Receipt{Ref: "PAY-" + r.Key}, nil
}

func (l *fileLedger) Resolve(ctx context.Context, r gateway.Request) (gateway.Resolution, error) {
	if err := think(ctx); err != nil {
		return gateway.Resolution{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if what := l.book[r.Key]; what == charged || what == refunded {
		return gateway.Resolution{Done: true, Receipt: gateway.Receipt{Ref: "PAY-" + r.Key}}, nil
	}
	if l.book[r.Key] == refused {
		return gateway.Resolution{}, nil
	}
	return gateway.Resolution{}, l.enter(r.Key, refused)
}

// think takes up to 10 ms.
func think(ctx context.Context) error {
	timer := time.NewTimer(rand.N(10 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
