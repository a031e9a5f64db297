package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/term"

	"github.com/ecakit/ecakit/pkg/fleet"
)

// orgResult is what --json says of one org of several.
type orgResult[T any] struct {
	Org      string      `json:"org"`
	State    fleet.State `json:"state"`
	OK       bool        `json:"ok"`
	Report   T           `json:"report,omitempty"`
	Requests int         `json:"requests"`
	Seconds  float64     `json:"seconds"`
	Error    string      `json:"error,omitempty"`
}

// fleetWork is what a command does on several orgs.
type fleetWork[T any] struct {
	do      func(ctx context.Context, org string, traffic *traffic) (T, error)
	column  string                        // the title of the column with cell
	cell    func(T) string                // of the table; not called for what is not there
	ended   func(T) string                // how the line of progress goes on where an org is done, like ", 3 changes"
	remarks func(*ui, []fleet.Outcome[T]) // what else a person should know, below the table
	there   func(T) bool                  // whether there is anything to show of an org
}

// fleetResult is what became of a fleet.
type fleetResult[T any] struct {
	calls
	Orgs []orgResult[T] `json:"orgs"`
}

// onFleet works on several orgs and prints how far it is, a table, and the remarks.
func onFleet[T any](ctx context.Context, e *env, flags *orgFlags, call *callFlags, orgs []string, work fleetWork[T]) (*fleetResult[T], error) {
	if _, err := e.statedVersion(call.APIVersion); err != nil {
		return nil, err
	}
	all := &fleetResult[T]{Orgs: []orgResult[T]{}}
	if len(orgs) == 0 {
		e.line("eca: shard %d of %d has no org, because there are fewer orgs than shards; nothing to do.", flags.Shard.index, flags.Shard.of)
		return all, nil
	}
	outliveReader()
	progress := newProgress(e.ui, len(orgs))
	traffics := make(map[string]*traffic, len(orgs))
	for _, org := range orgs {
		traffics[org] = newTraffic(call.Verbose, func(line string) { progress.line(org + ": " + line) })
	}
	which := ""
	if flags.Shard.of > 0 {
		which = fmt.Sprintf(" of shard %d of %d", flags.Shard.index, flags.Shard.of)
	}
	e.line("eca: %s%s, %d at once", plural(len(orgs), "org"), which, min(flags.Jobs, len(orgs)))
	options := fleet.Options[T]{Jobs: flags.Jobs, FailFast: flags.FailFast, Changed: func(o fleet.Outcome[T]) {
		line := fmt.Sprintf("%s: %s in %s", o.Org, o.State, duration(o.Took))
		switch o.State {
		case fleet.Failed:
			line = fmt.Sprintf("%s: failed: %s", o.Org, explain(withoutOrg(o.Err)))
		case fleet.Finished:
			line += work.ended(o.Result)
		}
		progress.changed(o.Org, o.State, line)
	}}
	outcomes := fleet.Run(ctx, options, orgs, func(ctx context.Context, org string) (T, error) {
		return work.do(ctx, org, traffics[org])
	})
	progress.end()

	states := make(map[fleet.State]int)
	rows := []row{{cells: []string{"ORG", "OUTCOME", work.column, "REQUESTS", "TIME"}}}
	first := ""
	for _, o := range outcomes {
		states[o.State]++
		n := traffics[o.Org].count()
		all.Requests += n
		all.Retries += traffics[o.Org].retried()
		r := orgResult[T]{Org: o.Org, State: o.State, OK: o.State == fleet.Finished, Report: o.Result, Requests: n, Seconds: seconds(o.Took)}
		cells := []string{o.Org, string(o.State), "-", "-", "-"}
		if o.State != fleet.NotStarted {
			cells[3], cells[4] = fmt.Sprint(n), duration(o.Took)
		}
		if work.there(o.Result) {
			cells[2] = work.cell(o.Result)
		}
		rows = append(rows, row{cells: cells})
		if o.Err != nil {
			r.Error = oneLine(o.Org + ": " + explain(withoutOrg(o.Err)))
			if o.State == fleet.Failed && first == "" {
				first = r.Error
			}
		}
		all.Orgs = append(all.Orgs, r)
	}
	e.together(func(u *ui) {
		u.table(rows)
		work.remarks(u, outcomes)
	})
	failed, waiting := states[fleet.Failed], states[fleet.NotStarted]
	switch {
	case ctx.Err() != nil:
		return all, fmt.Errorf("interrupted: %s done, %d failed, %d cut off in the middle, %d not begun; what is done so far stays, and the next run does the rest", plural(states[fleet.Finished], "org"), failed, states[fleet.Interrupted], waiting)
	case failed > 0:
		message := fmt.Sprintf("%d of %s failed", failed, plural(len(orgs), "org"))
		if waiting > 0 {
			message += fmt.Sprintf(", %d were not begun (--fail-fast)", waiting)
		}
		return all, fmt.Errorf("%s; the first: %s", message, first)
	}
	e.line("eca: %s done in %s, %s.", plural(len(orgs), "org"), duration(time.Since(e.started)), plural(all.Requests, "request"))
	return all, nil
}

// withoutOrg takes away what only names the org, which the line names already.
func withoutOrg(err error) error {
	if named, ok := errors.AsType[*orgError](err); ok {
		return named.err
	}
	return err
}

// progress shows how far a fleet is: each org that ended on a line of its own, and
// on a terminal what is under way below them.
type progress struct {
	ui    *ui
	total int
	width int // of the terminal, 0 where there is none

	lines   chan string
	stopped chan bool

	running []string
	ended   int
	failed  int
}

func newProgress(u *ui, total int) *progress {
	p := &progress{ui: u, total: total, lines: make(chan string), stopped: make(chan bool)}
	if file, ok := u.stdout.(*os.File); ok && !u.json && u.ansi {
		if width, _, err := term.GetSize(int(file.Fd())); err == nil {
			p.width = width
		}
	}
	go p.print()
	return p
}

// print writes what the others send it, so that lines do not cross: whole lines,
// and what is under way, which stays below them.
func (p *progress) print() {
	defer close(p.stopped)
	clear := func() {
		if p.width > 0 {
			fmt.Fprint(p.ui.stdout, "\r\x1b[K")
		}
	}
	status := ""
	for text := range p.lines {
		clear()
		if line, isLine := strings.CutSuffix(text, "\n"); isLine {
			p.ui.line("%s", line)
		} else {
			status = clean(text)
		}
		if p.width > 0 {
			p.ui.print(status)
		}
	}
	clear()
}

func (p *progress) line(text string) { p.lines <- "  " + oneLine(text) + "\n" }

// end waits until everything is written.
func (p *progress) end() {
	close(p.lines)
	<-p.stopped
}

// changed notes that an org has begun, or that it has ended, which line says.
func (p *progress) changed(org string, state fleet.State, line string) {
	if state == fleet.Running {
		p.running = append(p.running, org)
	} else {
		p.running = slices.DeleteFunc(p.running, func(other string) bool { return other == org })
		p.ended++
		if state != fleet.Finished {
			p.failed++
		}
		p.line(line)
	}
	if p.width > 0 {
		status := fmt.Sprintf("%d of %d ended, %d failed; at work: %s", p.ended, p.total, p.failed, strings.Join(p.running, ", "))
		p.lines <- shorten(status, p.width-1)
	}
}

// shorten cuts a text to a number of columns. Characters beyond ASCII may take two.
func shorten(text string, columns int) string {
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
