package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/reconcile"
)

// output is where a command says what it does. Progress and warnings go to
// standard output, which sfp shows live; standard error carries one thing, why
// the command failed, because sfp makes it the package's error.
type output struct {
	*system
	command  string
	json     bool
	verbose  bool
	started  time.Time
	traffic  *traffic
	document document
	printed  bool             // the document was printed before the command's end
	retries  *atomic.Int64    // how often something was tried again
	held     *strings.Builder // what is printed together, see together
}

// document is what --json prints.
type document struct {
	Command  string            `json:"command,omitempty"`
	OK       bool              `json:"ok"`
	Version  string            `json:"version,omitempty"`
	Skipped  string            `json:"skipped,omitempty"` // why there was nothing to do
	Server   *serverDocument   `json:"server,omitempty"`
	Steps    []stepDocument    `json:"steps,omitempty"`
	Init     *initDocument     `json:"init,omitempty"`
	Lint     *lintDocument     `json:"lint,omitempty"`
	Rule     string            `json:"rule,omitempty"` // what lint --explain says
	Report   *bootstrap.Report `json:"report,omitempty"`
	Orgs     []orgDocument     `json:"orgs,omitempty"` // in place of report, where there are several
	Requests int               `json:"requests,omitempty"`
	Retries  int               `json:"retries,omitempty"` // how often something was tried again
	Seconds  float64           `json:"seconds"`
	Error    *errorDocument    `json:"error,omitempty"`
}

// pending returns how many changes are pending on all orgs.
func (d *document) pending() (n int) {
	if d.Report != nil {
		n = d.Report.Pending
	}
	for _, org := range d.Orgs {
		if org.Report != nil {
			n += org.Report.Pending
		}
	}
	return n
}

func seconds(d time.Duration) float64 {
	return float64(d.Round(time.Millisecond).Milliseconds()) / 1000
}

type errorDocument struct {
	Message  string `json:"message"`
	ExitCode int    `json:"exitCode"`
}

// printf prints progress. With --json there is none.
func (o *output) printf(format string, args ...any) {
	if o.json {
		return
	}
	// What is printed may come from a file or an org. It makes no lines of its own,
	// because systems that run pipelines take some lines for orders.
	for i, arg := range args {
		switch arg := arg.(type) {
		case string:
			args[i] = unbroken(arg)
		case error:
			args[i] = unbroken(arg.Error())
		}
	}
	text := printable(fmt.Sprintf(format, args...))
	if o.held != nil {
		o.held.WriteString(text)
		return
	}
	o.write(text)
}

// maxWrite is the most that goes to standard output at once. POSIX's PIPE_BUF, as
// Linux has it: a pipe takes a write of that size whole.
const maxWrite = 4096

// write writes lines to standard output, as many of them at once as can be. sfp
// prints each piece that it reads as an entry of its own, so a line that is written
// in two pieces can end up in two.
func (o *output) write(text string) {
	for text != "" {
		end := len(text)
		if end > maxWrite {
			end = maxWrite
			if i := strings.LastIndexByte(text[:end], '\n'); i >= 0 {
				end = i + 1
			}
		}
		if _, err := io.WriteString(o.stdout, text[:end]); err != nil {
			return
		}
		text = text[end:]
	}
}

// together writes what a function prints when it is done.
func (o *output) together(print func(*output)) {
	all := *o
	all.held = new(strings.Builder)
	print(&all)
	o.write(all.held.String())
}

var breaks = strings.NewReplacer("\r\n", " ", "\n", " ", "\r", " ", "##vso[", "## vso[")

// unbroken makes a text one line.
func unbroken(s string) string { return breaks.Replace(s) }

// encode writes a document as JSON, in which control characters of all kinds are
// escaped.
func (o *output) encode(document any) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(document); err != nil {
		return err
	}
	return o.raw(b.String())
}

// raw writes a JSON document. encoding/json escapes the control characters of ASCII
// alone, and a terminal acts on others as well.
func (o *output) raw(document string) error {
	var b strings.Builder
	for _, r := range document {
		if r >= 0x7f && r <= 0x9f {
			fmt.Fprintf(&b, "\\u%04x", r)
		} else {
			b.WriteRune(r)
		}
	}
	_, err := io.WriteString(o.stdout, b.String())
	return err
}

// printable takes out what a terminal would act on. Names of apps and files, and
// what an org answers, are not ours.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, s)
}

// finish prints the outcome and returns the exit code.
func (o *output) finish(err error) int {
	code := exitDone
	usage := usageError{}
	switch {
	case err == nil:
	case errors.Is(err, errPending):
		code = exitPending
	case errors.As(err, &usage):
		code = exitUsage
	default:
		code = exitFailed
	}
	o.document.Command, o.document.OK = o.command, err == nil || code == exitPending
	if o.traffic != nil {
		o.document.Requests = o.traffic.count()
	}
	o.document.Retries = int(o.retries.Load())
	o.document.Seconds = seconds(time.Since(o.started))
	if !o.document.OK {
		message := oneLine(explain(err))
		o.document.Error = &errorDocument{Message: message, ExitCode: code}
		fmt.Fprintf(o.stderr, "eca: %s\n", message)
	}
	if o.json && !o.printed {
		if err := o.encode(o.document); err != nil {
			fmt.Fprintf(o.stderr, "eca: standard output cannot be written: %v\n", err)
			return exitFailed
		}
	}
	return code
}

// oneLine makes a message one line that a terminal can show.
func oneLine(s string) string {
	if len(s) > maxLine {
		s = strings.ToValidUTF8(s[:maxLine], "") + "…"
	}
	return strings.Join(strings.Fields(printable(unbroken(s))), " ")
}

// maxLine is the most of a message that is shown.
const maxLine = 3800 // less than maxWrite

// header prints what a run is about, before it calls the org. given says that the session
// is that of SF_ACCESS_TOKEN.
func (o *output) header(r *bootstrap.Report, given bool) {
	apps := 0
	for _, app := range r.Apps {
		if app.DistributionState == "" {
			apps++
		}
	}
	from := "the project"
	if r.Package != "" {
		from = r.Package
	}
	about := []string{}
	name := r.Org.Alias
	if name == "" {
		name = r.Org.Username
	} else if r.Org.Username != "" {
		about = append(about, r.Org.Username)
	}
	if name == "" {
		name = r.Org.InstanceURL
	}
	if r.Org.Kind != "" {
		about = append(about, string(r.Org.Kind))
	}
	if given {
		// Of an alias that sf does not know, nobody can check that this is the org.
		about = append(about, "SF_ACCESS_TOKEN for "+r.Org.InstanceURL)
	}
	about = append(about, "API "+r.Org.APIVersion)
	o.printf("eca: %s from %s to %s (%s)\n", plural(apps, "app"), from, name, strings.Join(about, ", "))
	for _, p := range r.Policies {
		o.printf("  policies from %s, %s (%s)\n", p.Folder, p.Origin, p.Why)
	}
	if len(r.Policies) == 0 && apps > 0 {
		o.printf("  policies: none found for %s\n", map[bool]string{true: "it", false: "them"}[apps == 1])
	}
	for _, warning := range r.Warnings {
		o.printf("  warning: %s\n", warning)
	}
	for _, app := range r.Apps {
		if len(app.Source) > 0 {
			o.printf("  %s comes with its OAuth as source, which stays as it is: %s\n", app.Name, strings.Join(app.Source, ", "))
		}
		if app.DistributionState != "" {
			o.printf("  %s is left alone: it is %s, and such an app gets its OAuth from its package\n", app.Name, app.DistributionState)
		}
	}
}

// outcome prints what a run did, or would do.
func (o *output) outcome(r *bootstrap.Report, failed bool) {
	var rows []row
	for _, app := range r.Apps {
		name := oneLine(app.Name)
		for _, c := range app.Components {
			sign, what := describe(c, r.PlanOnly)
			if c.Type == eca.GlobalOAuthSettings && app.ConsumerKey != "" && c.Done {
				what += ", consumer key " + app.ConsumerKey
			}
			if c.User != "" && c.Error == "" && c.Action != reconcile.Unchanged {
				what += " to " + c.User
			}
			line := row{cells: [3]string{name, sign + " " + c.Type, oneLine(c.FullName)}, last: oneLine(what)}
			name = ""
			if o.verbose || c.Action == reconcile.Update {
				for _, change := range c.Changes {
					line.details = append(line.details, oneLine(change.Field+": "+fromTo(c.Action, change.From, change.To)))
				}
			}
			rows = append(rows, line)
		}
	}
	o.table(rows)
	for _, app := range r.Apps {
		if app.Absent {
			o.printf("  %s is left alone: its header is not on this org\n", app.Name)
		}
	}
	for _, f := range r.Findings {
		sign := "warning:"
		if f.Level == finding.Error && r.Preflight == eca.PreflightFail {
			sign = "!"
		}
		o.printf("  %s %s\n", sign, oneLine(f.Place()+": "+f.Message()))
	}
	steady := true
	for _, app := range r.Apps {
		for _, warning := range app.Warnings {
			o.printf("  warning: %s: %s\n", app.Name, warning)
		}
		steady = steady && !app.Unsettled
	}
	if failed {
		return
	}
	took := fmt.Sprintf("%s, %s", duration(time.Since(o.started)), plural(o.traffic.count(), "request"))
	switch {
	case r.PlanOnly && r.Pending > 0:
		o.printf("eca: %s pending, nothing was written (%s).\n", plural(r.Pending, "change"), took)
	case r.Pending+r.Changed == 0:
		o.printf("eca: nothing to change (%s).\n", took)
	case steady:
		o.printf("eca: done in %s. A second run would change nothing.\n", took)
	default:
		o.printf("eca: done in %s.\n", took)
	}
}

// row is one component in the report: three columns, what became of it, and the
// fields below it.
type row struct {
	cells   [3]string
	last    string
	details []string
}

// table prints rows with the columns of all of them aligned.
func (o *output) table(rows []row) {
	var widths [3]int
	for _, r := range rows {
		for i, cell := range r.cells {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for _, r := range rows {
		o.printf("  %-*s  %-*s  %-*s  %s\n", widths[0], r.cells[0], widths[1], r.cells[1], widths[2], r.cells[2], r.last)
		for _, detail := range r.details {
			o.printf("  %-*s      %s\n", widths[0], "", detail)
		}
	}
}

func describe(c bootstrap.ComponentReport, planOnly bool) (sign, what string) {
	switch {
	case c.Error != "":
		return "!", "failed"
	case c.Type == "SetupEntityAccess" && c.Action == reconcile.Create && c.Done && !planOnly:
		return "+", "granted"
	case c.User != "" && c.Action == reconcile.Create && c.Done && !planOnly:
		return "+", "assigned"
	case c.Action == reconcile.Unchanged:
		return "=", "unchanged"
	case c.Action == reconcile.Create && planOnly:
		return "+", "to be created"
	case c.Action == reconcile.Update && planOnly:
		return "~", "to be updated"
	case c.Uncertain:
		return "?", "sent, and not answered"
	case !c.Done:
		return " ", "not reached"
	case c.Action == reconcile.Create:
		return "+", "created"
	}
	return "~", "updated"
}

func fromTo(action reconcile.Action, from, to string) string {
	if action == reconcile.Create {
		return to
	}
	if from == "" {
		from = "(none)"
	}
	if to == "" {
		to = "(none)"
	}
	return from + " → " + to
}

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
