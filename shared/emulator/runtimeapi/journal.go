package runtimeapi

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"os/exec"
	"time"

	"paylane/shared/emulator"
	"paylane/shared/emulator/internal/platformlog"
)

// journal is an environment's log: a pipe that is its process's stdout and stderr. The
// platform's own lines go through it too, so that they are in order: START before what the
// handler writes, END after it. A nil journal discards everything.
type journal struct {
	prefix  string // of each line
	in, out *os.File
	copied  chan struct{} // closed when everything has been passed on
}

// platformLine begins each line of the platform, so that it does not join a line that the
// function did not end.
const platformLine = "\x00"

func newJournal(to io.Writer, function string) (*journal, error) {
	if to == nil {
		return nil, nil
	}
	out, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	j := &journal{prefix: function + platformlog.Separator, in: in, out: out, copied: make(chan struct{})}
	go j.copy(to)
	return j, nil
}

func (j *journal) attach(cmd *exec.Cmd) {
	if j != nil {
		cmd.Stdout, cmd.Stderr = j.in, j.in
	}
}

// copy passes on lines until all writers have closed the pipe.
func (j *journal) copy(to io.Writer) {
	defer close(j.copied)
	lines := bufio.NewScanner(j.out)
	lines.Buffer(nil, maxLine)
	lines.Split(splitLine)
	var line []byte
	for lines.Scan() {
		line = append(line[:0], j.prefix...)
		line = append(line, lines.Bytes()...)
		_, _ = to.Write(append(line, '\n')) // a log that can't be written stops nothing
	}
}

// maxLine is CloudWatch's former limit; a longer line is split.
const maxLine = 256 * 1024

func splitLine(data []byte, atEOF bool) (advance int, line []byte, err error) {
	text := bytes.TrimLeft(data, platformLine)
	begin := len(data) - len(text)
	end := bytes.IndexAny(text, "\n"+platformLine)
	switch {
	case end >= 0 && text[end] == '\n':
		return begin + end + 1, text[:end], nil
	case end >= 0:
		return begin + end, text[:end], nil
	case len(text) > 0 && (atEOF || len(data) >= maxLine):
		return len(data), text, nil
	}
	return begin, nil, nil
}

// write writes lines of the platform, each shorter than PIPE_BUF and so written at once.
func (j *journal) write(lines ...string) {
	if j == nil {
		return
	}
	for _, line := range lines {
		_, _ = j.in.WriteString(platformLine + line + "\n")
	}
}

// begin writes Lambda's line at the start of an invocation.
func (e *environment) begin(inv *invocation) {
	if e.function.config.Verbose {
		e.journal.write(platformlog.Start(inv.id))
	}
}

// report writes Lambda's lines at the end of an invocation.
func (e *environment) report(inv *invocation, err error) {
	config := &e.function.config
	if e.journal == nil || !config.Verbose {
		return
	}
	if peak := peakMemoryMB(e.cmd.Process.Pid); peak > 0 {
		e.memoryMB = peak
	}
	report := platformlog.Report{
		RequestID: inv.id, Took: min(config.Now().Sub(inv.began), config.Timeout), Init: e.initTook,
		MemoryMB: config.MemoryMB, MaxMemoryMB: e.memoryMB,
	}
	e.initTook = 0
	var failed *emulator.FunctionError
	if errors.As(err, &failed) && err != inv.err { //nolint:errorlint // whether it is what the function posted
		report.Failure = failed.Type
		e.journal.write(platformlog.End(inv.id), report.String(), failed.Message)
		return
	}
	e.journal.write(platformlog.End(inv.id), report.String())
}

// close returns when everything the environment's processes wrote has been passed on. It
// does not wait for a process that left its process group and may still hold the pipe.
func (j *journal) close() {
	if j == nil {
		return
	}
	_ = j.in.Close()
	select {
	case <-j.copied:
	case <-time.After(time.Second):
	}
	_ = j.out.Close() // ends the copying
}
