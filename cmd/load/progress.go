package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progressInterval is how often the progress line changes during a load.
const progressInterval = 250 * time.Millisecond

// progress is one line of a terminal that is written over and over. Without a writer
// it shows nothing.
type progress struct{ w io.Writer }

// line shows a text in place of the one before.
func (p *progress) line(format string, args ...any) {
	if p.w != nil {
		fmt.Fprintf(p.w, "\r\x1b[K"+format, args...)
	}
}

// clear takes the line away.
func (p *progress) clear() { p.line("") }

// every shows what text gives, again and again until stop is called.
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

// isTerminal tells whether somebody looks at what is written to f.
func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
