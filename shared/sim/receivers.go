package sim

import (
	"context"

	"paylane/shared/webhook"
)

// receivers are the endpoints of webhooks.
type receivers struct{ *world }

func (w *world) receivers() webhook.Poster { return receivers{w} }

func (r receivers) Post(ctx context.Context, url string, header map[string]string, body []byte) (webhook.Answer, error) {
	return webhook.Answer{Status: 200}, nil
}
