package sim

import (
	"time"

	"paylane/shared/gateway"
	"paylane/shared/sim/model"
)

// newGateway returns the run's gateway, which does as the token says unless a fault comes.
func (w *world) newGateway() *model.Gateway {
	g := model.NewGateway(time.Now)
	g.Decide = func(gateway.Request, model.Call, int) model.Effect {
		d := w.dice()
		acts := d.IntN(2) == 0
		switch {
		case w.faults.hits(d, unavailable):
			return model.Unavailable
		case w.faults.hits(d, storedError) && acts:
			return model.StoredErrorActed
		case w.faults.hits(d, storedError):
			return model.StoredError
		case w.faults.hits(d, noAnswer) && acts:
			return model.NoAnswerActed
		case w.faults.hits(d, noAnswer):
			return model.NoAnswer
		}
		return model.ByToken
	}
	g.Silent = func(gateway.Request) bool { return w.faults.hits(w.dice(), silent) }
	return g
}
