package main

import (
	"bytes"
	"io"
)

// style is how text stands out on a terminal. The zero style leaves it as it is.
type style struct{ colours bool }

// styleOn returns the style for what is, or is not, a terminal. NO_COLOR is what
// https://no-color.org asks for.
func (c cli) styleOn(terminal bool) style {
	return style{colours: terminal && c.getenv("NO_COLOR") == "" && c.getenv("TERM") != "dumb"}
}

// These are escape sequences of ECMA-48, "Select Graphic Rendition".
func (s style) heading(text string) string { return s.render("\x1b[1m", text) }
func (s style) address(text string) string { return s.render("\x1b[4m", text) }
func (s style) warning(text string) string { return s.render("\x1b[33m", text) }
func (s style) failure(text string) string { return s.render("\x1b[31m", text) }

func (s style) render(sequence, text string) string {
	if !s.colours || text == "" {
		return text
	}
	return sequence + text + "\x1b[m"
}

// colouredLog colours the levels of slog's text lines, of which each is one Write.
type colouredLog struct {
	io.Writer
	style
}

// Write implements [io.Writer].
func (l colouredLog) Write(line []byte) (int, error) {
	coloured := line
	for level, colour := range map[string]func(string) string{"level=WARN": l.warning, "level=ERROR": l.failure} {
		if before, after, ok := bytes.Cut(line, []byte(" "+level+" ")); ok && bytes.HasPrefix(line, []byte("time=")) && bytes.IndexByte(before, ' ') < 0 {
			coloured = bytes.Join([][]byte{before, []byte(colour(level)), after}, []byte(" "))
		}
	}
	if _, err := l.Writer.Write(coloured); err != nil {
		return 0, err
	}
	return len(line), nil
}
