package apigateway

import (
	"context"
	"net/http"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/payload"
)

// respond writes a function's result as the response.
func (g *Gateway) respond(ctx context.Context, w http.ResponseWriter, result emulator.Result) {
	answer, err := g.rules.Reply(result)
	if err != nil {
		g.options.Logger.ErrorContext(ctx, "the function's result is no HTTP response", "error", err)
		fail(w, http.StatusInternalServerError)
		return
	}
	g.rules.SetHeaders(w.Header(), answer)
	payload.WriteBody(w, answer.Status, answer.Body)
}
