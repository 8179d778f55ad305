package eventsource_test

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"testing"

	"paylane/shared/emulator"
	"paylane/shared/emulator/eventsource"
	"paylane/shared/emulator/template"
)

// answerOnce is an invoker that answers with bytes and ends the poller.
type answerOnce struct {
	payload []byte
	stop    context.CancelFunc
}

func (a answerOnce) Invoke(context.Context, emulator.Invocation) (emulator.Result, error) {
	a.stop()
	return emulator.PayloadResult(a.payload), nil
}

// FuzzBatchResponse compares what is deleted after any response with the rules.
func FuzzBatchResponse(f *testing.F) {
	for _, seed := range []string{
		"", "null", "{}", `{"batchItemFailures":null}`, `{"batchItemFailures":[{"itemIdentifier":"id-1"}]}`,
		`{"batchItemFailures":[{"itemIdentifier":"id-1"},{"itemIdentifier":"id-0"},{"itemIdentifier":"id-1"}]}`,
		`{"batchItemFailures":[{"itemIdentifier":""}]}`, `{"batchItemFailures":{}}`, `[]`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		ctx, cancel := context.WithCancel(t.Context())
		sent := &source{records: records(3)}
		poller, err := eventsource.New(eventsource.Config{
			Mapping: template.Mapping{Enabled: true, BatchSize: 10, ReportBatchItemFailures: true},
			Source:  sent, Invoker: answerOnce{payload, cancel},
		})
		if err != nil {
			t.Fatal(err)
		}
		poller.Run(ctx)
		diff(t, "deleted", deletedByRules(payload), sent.deleted)
	})
}

// deletedByRules states the rules a second time.
func deletedByRules(payload []byte) []string {
	all := []string{"handle-id-0", "handle-id-1", "handle-id-2"}
	if payload = bytes.TrimSpace(payload); len(payload) == 0 {
		return all
	}
	var response any
	if err := json.Unmarshal(payload, &response); err != nil {
		return nil
	}
	if response == nil {
		return all
	}
	object, ok := response.(map[string]any)
	if !ok {
		return nil
	}
	if object["batchItemFailures"] == nil {
		return all
	}
	list, ok := object["batchItemFailures"].([]any)
	if !ok {
		return nil
	}
	for _, item := range list {
		failed, _ := item.(map[string]any)
		id, _ := failed["itemIdentifier"].(string)
		if id != "id-0" && id != "id-1" && id != "id-2" {
			return nil
		}
		all = slices.DeleteFunc(all, func(handle string) bool { return handle == "handle-"+id })
	}
	if len(all) == 0 {
		return nil
	}
	return all
}
