package main

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"paylane/shared/console"
	"paylane/shared/emulator/template"
	"paylane/shared/order"
	"paylane/shared/pebblestore"
	"paylane/shared/pipeline"
	"paylane/shared/queue"
	"paylane/shared/webhook"
)

const (
	// messagesOnPage is how many messages a page of the console has, and messagesRead how many it
	// looks through for those of one tenant.
	messagesOnPage = 25
	messagesRead   = 10_000
	// bodyShown is how much the console has of a message's body, in bytes.
	bodyShown = 4 << 10
)

// consoleQueues are a template's queues as the console sees them. It implements [console.Queues].
type consoleQueues struct {
	template *template.Template
	opened   map[string]*pebblestore.Queue // by URL
}

func (c consoleQueues) List(context.Context) ([]console.QueueInfo, error) {
	all := make([]console.QueueInfo, 0, len(c.template.Queues))
	for _, t := range c.template.Queues {
		q := c.opened[t.URL]
		stats := q.Stats()
		info := console.QueueInfo{
			Name: t.Name, Visible: stats.Visible, InFlight: stats.InFlight, Delayed: stats.Delayed, Oldest: stats.Oldest,
			VisibilityTimeout: t.VisibilityTimeout, Retention: t.Retention, Delay: t.Delay,
			DeadLettersOf: c.sources(t), MaxReceives: t.MaxReceiveCount,
		}
		info.Redrives = len(info.DeadLettersOf) > 0
		for _, m := range c.template.StreamMappings {
			if m.OnFailure == t.LogicalID {
				info.DeadLettersOf = append(info.DeadLettersOf, m.Function)
			}
		}
		if dead, ok := c.template.Queue(t.DeadLetterQueue); ok {
			info.DeadLetterQueue = dead.Name
		}
		if task, ok := q.MoveTask(); ok {
			info.Moving = &console.MoveTask{
				Running: task.Status == pebblestore.MoveRunning, StartedAt: task.StartedAt,
				ToMove: task.ToMove, Moved: task.Moved, Failure: task.Failure,
			}
		}
		all = append(all, info)
	}
	return all, nil
}

// sources returns the names of the queues that have a queue for their dead-letter queue.
func (c consoleQueues) sources(dead template.Queue) (names []string) {
	for _, t := range c.template.Queues {
		if t.DeadLetterQueue == dead.LogicalID {
			names = append(names, t.Name)
		}
	}
	return names
}

func (c consoleQueues) Messages(ctx context.Context, name, tenant, after string) (console.MessagePage, error) {
	q, err := c.queue(name)
	if err != nil {
		return console.MessagePage{}, err
	}
	number := uint64(0)
	if after != "" {
		if number, err = strconv.ParseUint(after, 10, 64); err != nil {
			return console.MessagePage{}, &console.Refusal{Text: "The place in the queue is not one that a page linked to."}
		}
	}
	var page console.MessagePage
	read := 0
	for m, err := range q.Peek(ctx, number) {
		if err != nil {
			return console.MessagePage{}, err
		}
		if len(page.Messages) == messagesOnPage || read == messagesRead {
			page.Next = strconv.FormatUint(number, 10)
			break
		}
		read, number = read+1, m.Number
		if seen := c.seen(m); mayTouch(tenant, seen) {
			page.Messages = append(page.Messages, seen)
		}
	}
	return page, nil
}

func (c consoleQueues) RedriveAll(ctx context.Context, name string) error {
	q, err := c.queue(name)
	if err != nil {
		return err
	}
	_, err = q.StartMoveTask(ctx)
	return refusal(err)
}

func (c consoleQueues) Redrive(ctx context.Context, name, tenant, message string) error {
	q, err := c.queue(name)
	if err != nil {
		return err
	}
	gone := &console.Refusal{Text: "The message is no longer in the queue."}
	number, err := strconv.ParseUint(message, 10, 64)
	if err != nil {
		return gone
	}
	for m, err := range q.Peek(ctx, number-1) { // a number is never used again, so it can't become another's
		if err != nil {
			return err
		}
		if m.Number != number || !mayTouch(tenant, c.seen(m)) {
			return gone
		}
		return refusal(q.MoveMessage(ctx, number))
	}
	return gone
}

// queue returns the queue of a name.
func (c consoleQueues) queue(name string) (*pebblestore.Queue, error) {
	i := slices.IndexFunc(c.template.Queues, func(t template.Queue) bool { return t.Name == name })
	if i < 0 {
		return nil, &console.Refusal{Text: "There is no queue of this name."}
	}
	return c.opened[c.template.Queues[i].URL], nil
}

// refusal returns a queue's refusal as the console's.
func refusal(err error) error {
	refused := new(queue.RequestError)
	if errors.As(err, &refused) {
		return &console.Refusal{Text: refused.Message}
	}
	return err
}

// mayTouch reports whether a tenant may see and move a message. One that is nobody's is for those
// over all only.
func mayTouch(tenant string, m console.QueueMessage) bool {
	return tenant == console.AllTenants || tenant != "" && tenant == m.Tenant
}

// seen returns a message as the console shows it.
func (c consoleQueues) seen(m pebblestore.PeekedMessage) console.QueueMessage {
	seen := console.QueueMessage{
		Name: strconv.FormatUint(m.Number, 10), ID: m.MessageID, SentAt: m.SentAt, FirstReceivedAt: m.FirstReceivedAt,
		HiddenUntil: m.HiddenUntil, Receives: m.ReceiveCount, From: m.DeadLetterSourceARN,
		Body: beginning(m.Body, bodyShown), Size: len(m.Body),
	}
	for _, t := range c.template.Queues {
		if t.ARN == m.DeadLetterSourceARN {
			seen.From = t.Name
		}
	}
	understand(m.Body, &seen)
	return seen
}

// understand fills in what a body says. Another program's says nothing.
func understand(body string, m *console.QueueMessage) {
	if about, err := order.ParseMessage(body); err == nil {
		m.Kind = console.ChargeMessage
		if about.Kind == order.KindRefund {
			m.Kind = console.RefundMessage
		}
		m.Tenant, m.OrderID = about.Ref.Tenant, about.Ref.ID
		return
	}
	if about, err := webhook.ParseMessage(body); err == nil {
		m.Kind, m.Tenant, m.OrderID = console.WebhookMessage, about.Tenant, about.OrderID
		m.Event = console.MessageEvent{Webhook: about.EndpointID, ID: about.Event.ID, Type: string(about.Event.Type)}
		return
	}
	if _, err := pipeline.ParseReconcileState(body); err == nil {
		m.Kind = console.ReconciliationMessage // of everybody's orders
	}
}

// beginning returns at most limit bytes of a text, and no part of a character.
func beginning(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	end := limit
	for end > limit-utf8.UTFMax && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end]
}
