package template

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one reason why a template can't be run.
type Problem struct {
	// Line and Column begin at 1; they are 0 if the problem has no place.
	Line, Column int
	// Path leads to it: "Resources.Api.Properties.Timeout".
	Path string
	// Text says what is wrong, and names the subject.
	Text string
}

func (p Problem) String() string {
	text := p.Text
	if p.Path != "" {
		text = p.Path + ": " + text
	}
	if p.Line > 0 {
		text = fmt.Sprintf("line %d: %s", p.Line, text)
	}
	return text
}

// Error is everything that is wrong with a template, by line.
type Error struct {
	// File is the name that was given to [Read].
	File     string
	Problems []Problem
}

func (e *Error) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s can't be run:", e.File)
	if len(e.Problems) == 1 {
		return b.String() + " " + e.Problems[0].String()
	}
	for _, p := range e.Problems {
		b.WriteString("\n  ")
		b.WriteString(p.String())
	}
	return b.String()
}

// problems collects problems, each once, however often it is found.
type problems struct {
	list []Problem
}

func (p *problems) add(n *node, path, format string, args ...any) {
	problem := Problem{Path: path, Text: fmt.Sprintf(format, args...)}
	if n != nil {
		problem.Line, problem.Column = n.line, n.column
	}
	if !slices.Contains(p.list, problem) {
		p.list = append(p.list, problem)
	}
}

func (p *problems) err(file string) error {
	if len(p.list) == 0 {
		return nil
	}
	slices.SortStableFunc(p.list, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	return &Error{File: file, Problems: p.list}
}
