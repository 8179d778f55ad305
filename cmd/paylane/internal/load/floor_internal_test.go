package load

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"

	"github.com/google/uuid"

	"paylane/shared/gateway/simulator"
	"paylane/shared/httpapi"
	"paylane/shared/order"
	"paylane/shared/pipeline"
	"paylane/shared/queue"
)

// TestMain lets the test binary be the floor server, as the real program is.
func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == FloorCommand {
		if err := ServeFloor(context.Background(), os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestFloorServer(t *testing.T) {
	t.Parallel()
	server, err := startFloor(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	// Ctrl-C reaches all processes of a terminal.
	if err := server.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	body, err := orderRequest("tok_ok")
	if err != nil {
		t.Fatal(err)
	}
	var o orderView
	a, err := askFor(t.Context(), server.target, http.StatusCreated, &o, http.MethodPost, "/orders", body)
	if err != nil {
		t.Fatal(err)
	}
	if location := a.Header.Get("Location"); location != "/orders/"+o.ID.String() || string(a.Body) != floorAnswer {
		t.Errorf("Location is %s, the body %s", location, a.Body)
	}
	server.stop()
	if state := server.cmd.ProcessState; !state.Success() {
		t.Errorf("its process ended so: %s", state)
	}
}

// However the driver ends, the floor server must not stay behind.
func TestFloorServerEndsWithItsParent(t *testing.T) {
	t.Parallel()
	// A parent that is gone has closed its end of stdin.
	if err := ServeFloor(t.Context(), bytes.NewReader(nil), io.Discard); err != nil {
		t.Error(err)
	}
}

func TestFloorServerThatIsNone(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := startFloor(ctx, 1); err == nil {
		t.Error("a floor server was started after the end")
	}
}

// The floor is a fair comparison only if its answer is as long as the real one.
func TestFloorAnswersAsMuchAsTheAPI(t *testing.T) {
	t.Parallel()
	api := httpapi.New(httpapi.Config{
		Checkout: pipeline.NewCheckout(pipeline.CheckoutConfig{
			Store: deafStore{}, Queue: deafQueue{}, Tokens: simulator.New(time.Now), Now: time.Now,
			NewID: func() (string, error) { return uuid.NewString(), nil },
		}),
		Tenant:   func(context.Context) (string, bool) { return "local", true },
		Operator: func(context.Context) bool { return false },
		Log:      slog.New(slog.DiscardHandler),
	})
	body, err := orderRequest("tok_ok")
	if err != nil {
		t.Fatal(err)
	}
	recorder := httptest.NewRecorder()
	api.ServeHTTP(recorder, httptest.NewRequest(http.MethodPost, "/orders", bytes.NewReader(body)))
	if recorder.Code != http.StatusCreated {
		t.Fatalf("the API answers %d: %s", recorder.Code, recorder.Body)
	}
	if got, want := len(floorAnswer), recorder.Body.Len(); got != want {
		t.Errorf("the floor answers %d bytes, the API %d: %s", got, want, recorder.Body)
	}
	if !json.Valid([]byte(floorAnswer)) {
		t.Error("the floor's answer is not JSON")
	}
}

// deafStore and deafQueue take everything and keep nothing.
type deafStore struct{ order.Store }

func (deafStore) Create(context.Context, order.Order) error { return nil }

type deafQueue struct{ queue.Queue }

func (deafQueue) Send(context.Context, string, time.Duration) (string, error) { return "1", nil }
