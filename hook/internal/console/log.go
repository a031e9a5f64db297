package console

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/term"

	"github.com/ecakit/ecakit/pkg/fleet"
)

// Log prints the lines of the work on one org. It is safe for concurrent use if its console's
// output is.
type Log struct {
	print   func(mark Styled, text string)
	prefix  string
	console *Console
	several bool // it is one of several, whose Progress shows what is under way
}

// Log returns a log that prints indented lines.
func (c *Console) Log() *Log {
	return &Log{console: c, print: func(mark Styled, text string) {
		if mark.Text != "" {
			c.Line("  %s %s", mark, text)
		} else {
			c.Line("  %s", text)
		}
	}}
}

// For returns a log that prefixes each line with the name of another org.
func (l *Log) For(org string) *Log { return &Log{l.print, l.prefix + org + ": ", l.console, l.several} }

// Line prints a line.
func (l *Log) Line(format string, args ...any) {
	l.print(Styled{}, l.prefix+fmt.Sprintf(format, args...))
}

// Warn prints a warning.
func (l *Log) Warn(format string, args ...any) {
	l.print(Warning, l.prefix+fmt.Sprintf(format, args...))
}

// Working reports what the work is waiting for, once it takes long, see Console.Working. Of several orgs, Progress
// does that.
func (l *Log) Working(doing func() string) (stop func()) {
	if l.several {
		return func() {}
	}
	return l.console.Working(doing)
}

// Note prints a line that nobody must miss: on standard error if standard output carries data.
func (l *Log) Note(format string, args ...any) {
	if l.console.JSON || l.console.Silent {
		fmt.Fprintf(l.console.Stderr, "  %s\n", OneLine(l.prefix+fmt.Sprintf(format, args...)))
		return
	}
	l.Line(format, args...)
}

// Progress shows how far the work on several orgs is: a line for each org that ended, and on a
// terminal the orgs under way below.
type Progress struct {
	console *Console
	total   int
	width   int // of the terminal, 0 if there is none

	lines   chan message
	stopped chan bool
	running []string
	ended   int
	failed  int
}

// message is a line, or the status below the lines.
type message struct {
	mark   Styled
	text   string
	style  Style
	status bool
}

// Progress returns the progress of a number of orgs. End must be called.
func (c *Console) Progress(total int) *Progress {
	p := &Progress{console: c, total: total, lines: make(chan message), stopped: make(chan bool)}
	if file, ok := c.Stdout.(*os.File); ok && !c.JSON && c.ansi {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			p.width = width
		}
	}
	go p.print()
	return p
}

// print writes the messages of all goroutines in turn: whole lines, and the status below them.
func (p *Progress) print() {
	defer close(p.stopped)
	clear := func() {
		if p.width > 0 {
			fmt.Fprint(p.console.Stdout, clearLine)
		}
	}
	status := ""
	for m := range p.lines {
		clear()
		switch {
		case m.status:
			status = Clean(m.text)
		case m.mark.Text != "":
			p.console.Line("  %s %s", m.mark, OneLine(m.text))
		default:
			p.console.Line("  %s", Styled{OneLine(m.text), m.style})
		}
		if p.width > 0 {
			p.console.Print(status)
		}
	}
	clear()
}

// Log returns the log of one org.
func (p *Progress) Log(org string) *Log {
	log := &Log{console: p.console, several: true, print: func(mark Styled, text string) { p.lines <- message{mark: mark, text: text} }}
	return log.For(org)
}

// End waits until everything is written.
func (p *Progress) End() {
	close(p.lines)
	<-p.stopped
}

// Changed notes that an org has begun, or that it has ended with a line.
func (p *Progress) Changed(org string, state fleet.State, line string) {
	if state == fleet.Running {
		p.running = append(p.running, org)
	} else {
		p.running = slices.DeleteFunc(p.running, func(other string) bool { return other == org })
		p.ended++
		m := message{text: line}
		if state != fleet.Finished {
			p.failed++
			m.style = Red
		}
		p.lines <- m
	}
	if p.width > 0 {
		status := fmt.Sprintf("%d of %d ended, %d failed; running: %s", p.ended, p.total, p.failed, strings.Join(p.running, ", "))
		p.lines <- message{text: Shorten(status, p.width-1), status: true}
	}
}
