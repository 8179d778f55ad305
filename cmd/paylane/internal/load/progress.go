package load

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// progressInterval is how often the progress line changes during a load.
const progressInterval = 250 * time.Millisecond

// progress is a line of a terminal that is written again and again. Without a writer it
// shows nothing.
type progress struct{ w io.Writer }

// line replaces the line.
func (p *progress) line(format string, args ...any) {
	if p.w != nil {
		fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
	}
}

// clear removes the line.
func (p *progress) clear() { p.line("") }

// every shows the result of text, again and again until stop is called.
func (p *progress) every(text func() string) (stop func()) {
	if p.w == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		ticks := time.NewTicker(progressInterval)
		defer ticks.Stop()
		for {
			p.line("%s", text())
			select {
			case <-ticks.C:
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
	}
}
