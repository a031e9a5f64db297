// Package console is where a command speaks. The rules:
//
//   - Progress, results and warnings go to standard output, which sfp shows live, in whole lines:
//     sfp prints each piece that it reads as an entry of its own.
//   - Standard error carries one line, why the command failed and what to do, because sfp makes it
//     the package's error.
//   - With JSON, standard output carries one document and nothing else.
//   - Text from a file or an org goes through Clean, so it cannot inject lines, escape sequences or
//     commands to a CI system.
//   - Colour is applied where a text is made, see Styled, never to a finished line.
//   - Everything goes through salesforce.Mask, so no secret is printed by mistake. Where a secret is
//     meant to be printed, package secrets does it.
package console

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Console prints the output of one command.
type Console struct {
	Stdout, Stderr io.Writer

	JSON    bool // standard output carries one JSON document
	Verbose bool
	Silent  bool // standard output carries data other than progress
	Started time.Time

	ansi         bool // standard output is a terminal that acts on escape sequences
	colour       bool // of standard output
	colourErrors bool // of standard error

	lost   *atomic.Pointer[error] // why standard output took no more; nil ignores it
	status *status                // the line below all others; nil for none
	held   *strings.Builder       // text that Together prints at once
}

// New returns the console of this process. NO_COLOR and TERM of getenv decide about colour.
func New(stdout, stderr *os.File, getenv func(string) string) *Console {
	return &Console{
		Stdout: stdout, Stderr: stderr, Started: time.Now(), lost: new(atomic.Pointer[error]), status: new(status),
		ansi: obeysEscapes(stdout), colour: colours(stdout, getenv), colourErrors: colours(stderr, getenv),
	}
}

// To returns a copy of the console that prints text to another writer, without colour. A failing
// writer is noted, see Lost.
func (c *Console) To(stdout, stderr io.Writer) *Console {
	own := *c
	own.Stdout, own.Stderr, own.lost, own.status = stdout, stderr, new(atomic.Pointer[error]), nil
	own.ansi, own.colour, own.colourErrors = false, false, false
	return &own
}

// Lost returns why standard output did not take all that was printed, or nil.
func (c *Console) Lost() error {
	if c.lost == nil {
		return nil
	}
	if err := c.lost.Load(); err != nil {
		return *err
	}
	return nil
}

// Line prints a line of progress. The format is the program's own; each argument is cleaned, except
// for a Styled one. With JSON there is none.
func (c *Console) Line(format string, args ...any) {
	c.Print(neutral(c.format(format, args)) + "\n")
}

// format formats a line of which only the format and Styled arguments are trusted.
func (c *Console) format(format string, args []any) string {
	own := make([]any, len(args))
	for i, arg := range args {
		switch arg := arg.(type) {
		case Styled:
			own[i] = arg.render(c.colour)
		case string:
			own[i] = Clean(arg)
		case error:
			own[i] = Clean(arg.Error())
		case fmt.Stringer:
			own[i] = Clean(arg.String())
		default:
			own[i] = arg
		}
	}
	return fmt.Sprintf(format, own...)
}

// Page prints a text of several lines, one of the program's own.
func (c *Console) Page(text string) {
	for line := range strings.Lines(salesforce.Mask(text)) {
		c.Line("%s", strings.TrimSuffix(line, "\n"))
	}
}

// Row is a row of a table.
type Row struct {
	Cells []string
	Below []string // lines below it, indented
	Style Style    // of the row
	Sign  Style    // of the first character of the second cell
}

// gap is the number of spaces between columns.
const gap = 2

// Table prints rows in columns. All columns but the last are as wide as their widest cell.
func (c *Console) Table(rows []Row) {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, gap, ' ', 0)
	indent := 0
	for _, r := range rows {
		var cells []string
		for _, cell := range r.Cells {
			cells = append(cells, strings.ReplaceAll(Clean(cell), "\t", " "))
		}
		indent = max(indent, utf8.RuneCountInString(cells[0]))
		fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	w.Flush()
	lines := strings.Split(text.String(), "\n")
	for i, r := range rows {
		line := []rune(strings.TrimRight(lines[i], " "))
		sign := min(indent+gap, len(line))
		end := min(sign+1, len(line))
		if r.Style != Plain || r.Sign == Plain {
			c.Line("  %s", Styled{string(line), r.Style})
		} else {
			c.Line("  %s%s%s", Styled{string(line[:sign]), Plain}, Styled{string(line[sign:end]), r.Sign}, Styled{string(line[end:]), Plain})
		}
		for _, below := range r.Below {
			c.Line("  %*s      %s", indent, "", below)
		}
	}
}

// Together prints the output of a function at once, when the function returns.
func (c *Console) Together(print func(*Console)) {
	all := *c
	all.held = new(strings.Builder)
	print(&all)
	if !c.JSON && !c.Silent {
		c.write(all.held.String())
	}
}

// Print prints text, masked.
func (c *Console) Print(text string) {
	if c.JSON || c.Silent {
		return
	}
	c.write(salesforce.Mask(text))
}

func (c *Console) write(text string) {
	if c.held != nil {
		c.held.WriteString(text)
		return
	}
	if c.status != nil {
		c.status.mu.Lock()
		defer c.status.mu.Unlock()
		c.hide()
	}
	c.put(text)
}

// printing keeps apart what goroutines print, as requests in parallel do with --verbose.
var printing sync.Mutex

// put writes text to standard output, in pieces that a pipe takes whole.
func (c *Console) put(text string) {
	printing.Lock()
	defer printing.Unlock()
	for text != "" {
		end := len(text)
		if end > maxWrite {
			end = maxWrite
			if i := strings.LastIndexByte(text[:end], '\n'); i >= 0 {
				end = i + 1
			}
		}
		if _, err := io.WriteString(c.Stdout, text[:end]); err != nil {
			if c.lost != nil {
				c.lost.CompareAndSwap(nil, &err)
			}
			return
		}
		text = text[end:]
	}
}

// maxWrite is the most that goes to standard output at once: POSIX's PIPE_BUF as Linux has it. A
// pipe takes a write of that size whole.
const maxWrite = 4096

// Document prints a value as JSON.
func (c *Console) Document(value any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(value); err != nil {
		return err
	}
	return c.RawJSON(b.String())
}

// RawJSON prints a JSON document. encoding/json escapes only the control characters of ASCII, but a
// terminal acts on others as well.
func (c *Console) RawJSON(document string) error {
	var b strings.Builder
	for _, r := range salesforce.MaskJSON(document) {
		if r >= 0x7f && r <= 0x9f {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	_, err := io.WriteString(c.Stdout, b.String())
	return err
}

// Fail prints what failed, the first line of standard error.
func (c *Console) Fail(message string) {
	name := Styled{"error:", Red}
	fmt.Fprintf(c.Stderr, "%s %s\n", name.render(c.colourErrors), salesforce.Mask(message))
}

// Hint prints what to do about a failure on standard error, behind Fail. "" prints nothing.
func (c *Console) Hint(hint string) {
	if hint != "" {
		fmt.Fprintf(c.Stderr, "hint: %s\n", salesforce.Mask(hint))
	}
}

// Took returns how long the command has run, and how many requests it sent.
func (c *Console) Took(requests int) string {
	return fmt.Sprintf("%s, %s", Duration(time.Since(c.Started)), Plural(requests, "request"))
}

// orders are texts that CI systems act on wherever they stand in a line: commands of Azure Pipelines, GitHub
// Actions and TeamCity, and the sections of GitLab and Travis CI.
var orders = regexp.MustCompile(`(?i)##(\w*\[)|\b((?:section_(?:start|end)|travis_(?:fold|time)):)`)

// escapeSequence is what a terminal or the log of a CI system acts on, like a colour or a link.
var escapeSequence = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\x1b[\\]PX^_]|\u009d)[^\x07\x1b]*(?:\x07|\x1b\\\\)")

// Clean makes one line of an untrusted text: names of apps and files, and answers of an org. It
// leaves no line breaks, nothing that a terminal acts on, and no commands to a CI system.
func Clean(text string) string {
	text = lineBreaks.Replace(escapeSequence.ReplaceAllString(text, string(unicode.ReplacementChar)))
	return neutral(strings.Map(func(r rune) rune {
		if r != '\t' && !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text))
}

var lineBreaks = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "\u2028", " ", "\u2029", " ", "\u0085", " ")

// neutral changes a line so that no CI system acts on it.
func neutral(line string) string {
	line = orders.ReplaceAllStringFunc(line, func(order string) string {
		if name, is := strings.CutPrefix(order, "##"); is {
			return "## " + name
		}
		return strings.TrimSuffix(order, ":") + " :"
	})
	if rest, order := strings.CutPrefix(strings.TrimLeft(line, " \t"), "::"); order {
		return ": :" + rest // GitHub Actions executes a line that begins so
	}
	return line
}

// OneLine cleans a text, collapses its white space and shortens it to what a line can hold. Secrets are
// masked before they are cut.
func OneLine(text string) string {
	text = strings.Join(strings.Fields(Clean(salesforce.Mask(text))), " ")
	if len(text) > MaxLine {
		text = strings.ToValidUTF8(text[:MaxLine], "") + "…"
	}
	return text
}

// MaxLine is the most of a text that OneLine shows, in bytes. It is less than what a pipe takes
// whole.
const MaxLine = 3800

// Shorten masks a text and cuts it to a number of columns. Characters beyond ASCII may take two.
func Shorten(text string, columns int) string {
	text = salesforce.Mask(text)
	used := 0
	for i, r := range text {
		used++
		if r > unicode.MaxASCII {
			used++
		}
		if used >= columns {
			return text[:i]
		}
	}
	return text
}

// Duration returns a duration as people read it.
func Duration(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// Plural returns a number with a noun, like "1 app" or "2 apps".
func Plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Masked returns a writer that masks what it passes on. It passes on whole lines, and holds back an end
// that may be a part of a secret. Close passes on the rest.
func Masked(to io.Writer) io.WriteCloser { return &masked{to: to} }

type masked struct {
	to   io.Writer
	held string
}

// maxHeld bounds in bytes what is held back.
const maxHeld = 64 << 10

func (m *masked) Write(p []byte) (int, error) {
	m.held += string(p)
	end := strings.LastIndexByte(m.held, '\n') + 1
	if end == 0 && len(m.held) > maxHeld {
		end = len(m.held)
	}
	if end == 0 {
		return len(p), nil
	}
	if at := salesforce.Unfinished(m.held[:end]); at < end {
		end = strings.LastIndexByte(m.held[:at], '\n') + 1
		if len(m.held)-end > maxHeld {
			end = at
		}
		if len(m.held)-end > maxHeld {
			end = len(m.held) // no secret is that long
		}
	}
	text := salesforce.Mask(m.held[:end])
	m.held = m.held[end:]
	return len(p), m.write(text)
}

func (m *masked) Close() error {
	rest := salesforce.Mask(m.held)
	m.held = ""
	return m.write(rest)
}

func (m *masked) write(text string) error {
	if text == "" {
		return nil
	}
	_, err := io.WriteString(m.to, text)
	return err
}
