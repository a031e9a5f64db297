package main

import (
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"
)

// ui is where a command speaks. The rules:
//
//   - Progress, results and warnings go to standard output, which sfp shows live, in whole
//     lines: sfp prints each piece that it reads as an entry of its own.
//   - Standard error carries one line, why the command failed and what to do, because sfp makes
//     it the package's error.
//   - With --json, standard output carries one document and nothing else.
//   - Whatever comes from a file or an org goes through clean.
type ui struct {
	stdout, stderr io.Writer
	json, verbose  bool
	ansi           bool // standard output is a terminal that acts on escape sequences
	colour         bool // of standard output
	colourErrors   bool // of standard error
	silent         bool // standard output carries something else than progress
	started        time.Time
	unwritten      *atomic.Pointer[error] // why standard output took no more, for finish; nil to pass over it
	held           *strings.Builder       // what is printed together, see together
}

// line prints a line of progress. With --json there is none.
func (u *ui) line(format string, args ...any) {
	u.print(u.paint(clean(fmt.Sprintf(format, args...))) + "\n")
}

// page prints a text of several lines, one of the program's own.
func (u *ui) page(text string) {
	for line := range strings.Lines(text) {
		u.line("%s", strings.TrimSuffix(line, "\n"))
	}
}

// row is a row of a table, with lines below it.
type row struct {
	cells []string
	below []string
}

// table prints rows in columns, all but the last as wide as their widest cell.
func (u *ui) table(rows []row) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	indent := 0
	for _, r := range rows {
		var cells []string
		for _, cell := range r.cells {
			cells = append(cells, strings.ReplaceAll(clean(cell), "\t", " "))
		}
		indent = max(indent, utf8.RuneCountInString(cells[0]))
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
	lines := strings.Split(text.String(), "\n")
	for i, r := range rows {
		u.line("  %s", strings.TrimRight(lines[i], " "))
		for _, below := range r.below {
			u.line("  %*s      %s", indent, "", below)
		}
	}
}

// together writes what a function prints when it is done.
func (u *ui) together(print func(*ui)) {
	all := *u
	all.held = new(strings.Builder)
	print(&all)
	u.print(all.held.String())
}

func (u *ui) print(text string) {
	if u.json || u.silent {
		return
	}
	if u.held != nil {
		u.held.WriteString(text)
		return
	}
	for text != "" {
		end := len(text)
		if end > maxWrite {
			end = maxWrite
			if i := strings.LastIndexByte(text[:end], '\n'); i >= 0 {
				end = i + 1
			}
		}
		if _, err := io.WriteString(u.stdout, text[:end]); err != nil {
			if u.unwritten != nil {
				u.unwritten.CompareAndSwap(nil, &err)
			}
			return
		}
		text = text[end:]
	}
}

// maxWrite is the most that goes to standard output at once. POSIX's PIPE_BUF, as
// Linux has it: a pipe takes a write of that size whole.
const maxWrite = 4096

// took says how long the command has run, and how many requests that took.
func (u *ui) took(requests int) string {
	return fmt.Sprintf("%s, %s", duration(time.Since(u.started)), plural(requests, "request"))
}

// orders are what systems that run pipelines take for orders to them, wherever in a line it
// stands: Azure Pipelines and GitHub Actions.
var orders = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "##vso[", "## vso[", "##[", "## [")

// clean makes one line of a text that nobody has to obey: names of apps and files, and what an
// org answers, are not ours. It leaves no line breaks, nothing that a terminal acts on, and no
// orders to the system that runs the pipeline.
func clean(text string) string {
	text = strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, orders.Replace(text))
	if rest, order := strings.CutPrefix(strings.TrimLeft(text, " \t"), "::"); order {
		return ": :" + rest // GitHub Actions obeys a line that begins so
	}
	return text
}

// oneLine cleans a text, collapses its white space and cuts what is longer than a line can be.
func oneLine(text string) string {
	if len(text) > maxLine {
		text = strings.ToValidUTF8(text[:maxLine], "") + "…"
	}
	return strings.Join(strings.Fields(clean(text)), " ")
}

// maxLine is the most of a text that is shown, in bytes.
const maxLine = 3800 // less than maxWrite

func duration(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
