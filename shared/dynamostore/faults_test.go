package dynamostore_test

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"regexp"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"paylane/shared/awscall/awstest"
	"paylane/shared/dynamostore"
	"paylane/shared/order"
)

// calls has all calls of a store.
var calls = map[string]func(context.Context, *dynamostore.Store) error{
	"create": func(ctx context.Context, s *dynamostore.Store) error { return s.Create(ctx, pending()) },
	"update": func(ctx context.Context, s *dynamostore.Store) error {
		canceled, _ := pending().Cancel(at(1))
		return s.Update(ctx, canceled)
	},
	"claim": func(ctx context.Context, s *dynamostore.Store) error {
		_, err := s.Claim(ctx, pending().Ref, claim(order.KindCharge))
		return err
	},
	"get": func(ctx context.Context, s *dynamostore.Store) error {
		_, err := s.Get(ctx, pending().Ref)
		return err
	},
	"list": func(ctx context.Context, s *dynamostore.Store) error {
		_, err := s.List(ctx, order.Query{Tenant: "tenant", Limit: 1})
		return err
	},
}

var transient = map[string]awstest.Answer{
	"throughput exceeded":     refuses(http.StatusBadRequest, "ProvisionedThroughputExceededException"),
	"throttled":               refuses(http.StatusBadRequest, "ThrottlingException"),
	"account limit":           refuses(http.StatusBadRequest, "RequestLimitExceeded"),
	"regions conflict":        refuses(http.StatusBadRequest, "ReplicatedWriteConflictException"),
	"too many requests":       awstest.Says(http.StatusTooManyRequests, struct{}{}),
	"a fault of the service":  refuses(http.StatusInternalServerError, "InternalServerError"),
	"the service is gone":     awstest.Says(http.StatusServiceUnavailable, "<html>"),
	"the connection breaks":   awstest.Breaks,
	"the answer is truncated": awstest.Truncated,
}

// TestUnavailable: after a transient error a call is retried a few times, with pauses, and
// then fails with ErrUnavailable, which callers turn into "try again later".
func TestUnavailable(t *testing.T) {
	for fault, answer := range transient {
		for name, call := range calls {
			t.Run(fault+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, f := open(t, answer)
					start := time.Now()
					if err := call(t.Context(), store); !errors.Is(err, order.ErrUnavailable) {
						t.Errorf("the error is %v, want order.ErrUnavailable", err)
					}
					if n := len(f.Requests()); name != "list" && n != 3 {
						t.Errorf("%d requests, want 3", n)
					}
					if took := time.Since(start); took == 0 || took > 150*time.Millisecond {
						t.Errorf("it took %v, want pauses of up to 150 ms together", took)
					}
				})
			})
		}
	}
}

// TestTriedAgain: a caller does not see two faults in a row.
func TestTriedAgain(t *testing.T) {
	item := itemOf(t, pending())
	good := awstest.OK(map[string]any{"Attributes": item, "Item": item})
	for fault, answer := range transient {
		for name, call := range calls {
			if name == "list" {
				continue // its requests are concurrent
			}
			t.Run(fault+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, _ := open(t, answer, answer, good)
					if err := call(t.Context(), store); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// TestRefused: a refusal is not retried, and is not ErrUnavailable.
func TestRefused(t *testing.T) {
	for _, code := range []string{"ValidationException", "ResourceNotFoundException", "AccessDeniedException"} {
		for name, call := range calls {
			synctest.Test(t, func(t *testing.T) {
				store, f := open(t, refuses(http.StatusBadRequest, code))
				if err := call(t.Context(), store); err == nil || errors.Is(err, order.ErrUnavailable) {
					t.Errorf("%s, %s: the error is %v, want one that is not order.ErrUnavailable", code, name, err)
				}
				if n := len(f.Requests()); name != "list" && n != 1 {
					t.Errorf("%s, %s: %d requests, want 1", code, name, n)
				}
			})
		}
	}
}

// TestStalled: a call over a silent connection is retried over another after 2 s.
func TestStalled(t *testing.T) {
	item := itemOf(t, pending())
	good := awstest.OK(map[string]any{"Attributes": item, "Item": item})
	for fault, answer := range map[string]awstest.Answer{"no answer": awstest.Stalls, "no body": awstest.StallsMidway} {
		for name, call := range calls {
			t.Run(fault+", "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, _ := open(t, answer)
					start := time.Now()
					if err := call(t.Context(), store); !errors.Is(err, order.ErrUnavailable) || errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("the error is %v, want order.ErrUnavailable and not a context's", err)
					}
					if took := time.Since(start); took < 6*time.Second || took > 6500*time.Millisecond {
						t.Errorf("it took %v, want three tries of 2 s", took)
					}
				})
			})
			if name == "list" {
				continue
			}
			t.Run(fault+" once, "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					store, _ := open(t, answer, good)
					if err := call(t.Context(), store); err != nil {
						t.Error(err)
					}
				})
			})
		}
	}
}

// TestDeadline: the caller's deadline ends a try at once, and there is no pause before a try
// that would come too late.
func TestDeadline(t *testing.T) {
	for name, call := range calls {
		t.Run("stalled, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				store, _ := open(t, awstest.Stalls)
				start := time.Now()
				if err := call(ctx, store); !errors.Is(err, context.DeadlineExceeded) || errors.Is(err, order.ErrUnavailable) {
					t.Errorf("the error is %v, want the context's alone", err)
				}
				if took := time.Since(start); took != time.Second {
					t.Errorf("it took %v, want the second that the caller had", took)
				}
			})
		})
		t.Run("throttled, "+name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				defer cancel()
				store, _ := open(t, transient["throttled"])
				start := time.Now()
				if err := call(ctx, store); !errors.Is(err, order.ErrUnavailable) {
					t.Errorf("the error is %v, want order.ErrUnavailable", err)
				}
				if took := time.Since(start); took != 0 {
					t.Errorf("it took %v, want an answer while there is time", took)
				}
			})
		})
	}
}

// TestPausesAreSpread: callers that were throttled together do not come back together.
func TestPausesAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 50
		pauses := make(map[time.Duration]bool)
		for range callers {
			store, _ := open(t, transient["throttled"])
			start := time.Now()
			if err := store.Create(t.Context(), pending()); err == nil {
				t.Fatal("no error")
			}
			pauses[time.Since(start).Round(time.Millisecond)] = true
		}
		if len(pauses) < callers/3 {
			t.Errorf("%d callers came back at %d different times", callers, len(pauses))
		}
	})
}

// tokenOf returns the token of a write.
func tokenOf(t *testing.T, r awstest.Request) map[string]any {
	t.Helper()
	if item, ok := r.Body["Item"].(map[string]any); ok {
		return item["w0"].(map[string]any)
	}
	m := regexp.MustCompile(`#w = (:\d+)`).FindStringSubmatch(r.Body["UpdateExpression"].(string))
	if m == nil {
		t.Fatalf("no token in %v", r.Body)
	}
	return r.Body["ExpressionAttributeValues"].(map[string]any)[m[1]].(map[string]any)
}

// TestLostAnswer: a write succeeded, only its answer was lost, and the SDK's second try
// finds what the first wrote. That is not a conflict, not even if another writer has
// changed the order that the first try created.
func TestLostAnswer(t *testing.T) {
	var (
		o       = pending()
		claimed = must[order.Order](t)(o.Claimed(claim(order.KindCharge)))
		paid    = must[order.Order](t)(claimed.PaidWith("PAY-1", true, at(2)))
		inPlace = o.InPlaceOf(order.NewVoid(o.Ref, at(0)))
		late    = must[order.Order](t)(inPlace.Claimed(claim(order.KindCharge)))
		other   = map[string]any{"S": "AAAABBBBCCCCDDDD"}
	)
	create := func(ctx context.Context, s *dynamostore.Store) (order.Order, error) { return o, s.Create(ctx, o) }
	settle := func(ctx context.Context, s *dynamostore.Store) (order.Order, error) { return paid, s.Update(ctx, paid) }
	take := func(ctx context.Context, s *dynamostore.Store) (order.Order, error) {
		return s.Claim(ctx, o.Ref, claim(order.KindCharge))
	}
	for _, test := range []struct {
		name string
		call func(context.Context, *dynamostore.Store) (order.Order, error)
		// now is what the second try finds; mine and others name the attributes with
		// the call's token and with another writer's.
		now          order.Order
		mine, others string
		want         order.Order
		conflict     bool
	}{
		{name: "create", call: create, now: o, mine: "w0", want: o},
		{name: "create, and claimed since", call: create, now: claimed, mine: "w0", others: "w", want: o},
		{name: "create of another", call: create, now: o, others: "w0", conflict: true},
		{name: "update", call: settle, now: paid, mine: "w", others: "w0", want: paid},
		{name: "update by another", call: settle, now: paid, others: "w", conflict: true},
		{name: "an order in a tombstone's place, and claimed since", call: func(ctx context.Context, s *dynamostore.Store) (order.Order, error) {
			return inPlace, s.Update(ctx, inPlace)
		}, now: late, mine: "w0", others: "w", want: inPlace},
		{name: "claim", call: take, now: claimed, mine: "w", others: "w0", want: claimed},
		{name: "claim by another", call: take, now: claimed, others: "w", conflict: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			item := itemOf(t, test.now)
			synctest.Test(t, func(t *testing.T) {
				store, f := serve(t, func(n int, r awstest.Request) awstest.Answer {
					if n == 0 {
						return awstest.Breaks
					}
					found := maps.Clone(item)
					if test.others != "" {
						found[test.others] = other
					}
					if test.mine != "" {
						found[test.mine] = tokenOf(t, r)
					}
					return conflicts(found)
				})
				got, err := test.call(t.Context(), store)
				var conflict *order.ConflictError
				if test.conflict {
					if !errors.As(err, &conflict) {
						t.Fatalf("the error is %v, want a conflict", err)
					}
					if diff := cmp.Diff(test.now, conflict.Current); diff != "" {
						t.Errorf("the conflict's Current (-want +got):\n%s", diff)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(test.want, got); diff != "" {
					t.Errorf("the order (-want +got):\n%s", diff)
				}
				requests := f.Requests()
				if first, second := tokenOf(t, requests[0]), tokenOf(t, requests[1]); !cmp.Equal(first, second) {
					t.Errorf("the tries carry %v and %v, want the same", first, second)
				}
			})
		})
	}
}

// TestTokensDiffer: two calls never share a token, or the second call would be taken for a
// retry of the first.
func TestTokensDiffer(t *testing.T) {
	store, f := open(t, awstest.OK(struct{}{}))
	seen := make(map[string]bool)
	for range 100 {
		if err := store.Create(t.Context(), pending()); err != nil {
			t.Fatal(err)
		}
		requests := f.Requests()
		token := tokenOf(t, requests[len(requests)-1])["S"].(string)
		if seen[token] {
			t.Fatalf("the token %s came twice", token)
		}
		seen[token] = true
	}
}
