package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestBoard: the live board counts what the program does, and holds up neither it nor its end.
func TestBoard(t *testing.T) {
	const orders = 30
	url, stop := runRunner(t, testConfig(t))
	response, err := http.Get(url + "/console/live")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("the live board is %d", response.StatusCode)
	}
	for i := range orders {
		token := "tok_ok"
		if i%3 == 0 {
			token = "tok_declined"
		}
		body := fmt.Sprintf(`{"amount": 100, "currency": "KRW", "paymentToken": %q}`, token)
		if got := (target{url: url}).do(t, http.MethodPost, "/orders", "", body); got.status != http.StatusCreated {
			t.Fatalf("%d %s", got.status, got.body)
		}
	}
	events := bufio.NewScanner(response.Body)
	accepted, paid, declined := 0., 0., 0.
	for declined < orders/3 || paid < orders*2/3 {
		if !events.Scan() {
			t.Fatalf("the stream ended: %v", events.Err())
		}
		data, ok := strings.CutPrefix(events.Text(), "data: ")
		if !ok {
			continue
		}
		var event struct {
			Rows [][]float64
			Show map[string]string
		}
		if err := json.Unmarshal([]byte(data), &event); err != nil {
			t.Fatal(err)
		}
		for _, row := range event.Rows {
			accepted, paid, declined = accepted+row[1], paid+row[2], declined+row[7]
		}
		if paid == orders*2/3 && declined == orders/3 {
			got := [...]string{event.Show["PAID"], event.Show["FAILED"], event.Show["PENDING"], event.Show["PaymentQueue.visible"], event.Show["dead"]}
			if got != [...]string{"20", "10", "0", "0", "0"} {
				t.Errorf("at the end %v are PAID, FAILED, PENDING, wait and dead", got)
			}
		}
	}
	if accepted != orders || paid != orders*2/3 || declined != orders/3 {
		t.Errorf("%v accepted, %v PAID, %v declined", accepted, paid, declined)
	}
	stop()
	for events.Scan() { // what came before the end
	}
	if err := events.Err(); err != nil {
		t.Errorf("the stream ended with %v", err)
	}
}
