package main

import (
	"fmt"
	"path"

	"paylane/shared/emulator/template"
	"paylane/shared/handlers"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
)

// host makes the handlers of the functions that this process can run itself: those of
// paylane, known by their folders.
type host struct {
	config
	store  order.Store
	queues map[string]*pebblestore.Queue // by URL
}

// handler makes a function's handler. As on AWS, the function's environment says
// which queue is its own.
func (h host) handler(f template.Function) (any, error) {
	switch folder := path.Clean(f.CodeURI); folder {
	case "functions/api":
		queue, err := h.queue(f, "PAYMENT_QUEUE_URL")
		if err != nil {
			return nil, err
		}
		return handlers.API(handlers.APIConfig{
			Store: h.store, Payments: queue, Tokens: h.Gateway, Tenant: handlers.AnyoneIsLocal, Now: h.Now, Log: h.Log,
		}), nil
	case "functions/payment":
		worker, err := h.worker(f, "PAYMENT_QUEUE_URL")
		return handlers.Payment(worker), err
	case "functions/deadletter":
		worker, err := h.worker(f, "DEAD_LETTER_QUEUE_URL")
		return handlers.DeadLetter(worker), err
	default:
		return nil, fmt.Errorf("its code in %s is not part of this program, which runs paylane's own functions only", folder)
	}
}

func (h host) worker(f template.Function, variable string) (handlers.WorkerConfig, error) {
	queue, err := h.queue(f, variable)
	return handlers.WorkerConfig{
		Store: h.store, Queue: queue, Gateway: h.Gateway, Now: h.Now, Jitter: h.Jitter, Log: h.Log,
	}, err
}

// queue finds the queue whose URL a variable of the function's environment holds.
func (h host) queue(f template.Function, variable string) (*pebblestore.Queue, error) {
	url, ok := f.Environment[variable]
	if !ok {
		return nil, fmt.Errorf("its environment lacks %s", variable)
	}
	queue, ok := h.queues[url]
	if !ok {
		return nil, fmt.Errorf("its variable %s is %q, which is no queue of the template", variable, url)
	}
	return queue, nil
}
