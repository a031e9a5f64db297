package orgs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/pkg/fleet"
)

// OrgResult is what --json says of one org of several.
type OrgResult[T any] struct {
	Org      string      `json:"org"`
	State    fleet.State `json:"state"`
	OK       bool        `json:"ok"`
	Report   T           `json:"report,omitempty"`
	Requests int         `json:"requests"`
	Seconds  float64     `json:"seconds"`
	Error    string      `json:"error,omitempty"`
}

// FleetWork is what a command does on several orgs.
type FleetWork[T any] struct {
	Do      func(ctx context.Context, org string, traffic *Work) (T, error)
	Column  string                                     // the title of the column with cell
	Cell    func(T) string                             // of the table; not called for what is not there
	Ended   func(T) string                             // how the line of progress goes on where an org is done, like ", 3 changes"
	Remarks func(*console.Console, []fleet.Outcome[T]) // what else a person should know, below the table
	Exists  func(T) bool                               // whether there is anything to show of an org
	Last    func(T) string                             // the last line of a run that worked on one org; nil or "" for none
}

// FleetResult is what became of a fleet.
type FleetResult[T any] struct {
	Calls
	Orgs []OrgResult[T] `json:"orgs"`
}

// Fleet works on several orgs and prints how far it is, a table, and the remarks.
func Fleet[T any](ctx context.Context, e *Env, flags *Flags, call *CallFlags, orgs []string, work FleetWork[T]) (*FleetResult[T], error) {
	if _, err := e.StatedVersion(call.APIVersion); err != nil {
		return nil, err
	}
	all := &FleetResult[T]{Orgs: []OrgResult[T]{}}
	if len(orgs) == 0 {
		e.Line("eca: shard %d of %d has no org, because there are fewer orgs than shards; nothing to do.", flags.Shard.index, flags.Shard.of)
		return all, nil
	}
	console.OutliveReader()
	progress := e.Progress(len(orgs))
	works := make(map[string]*Work, len(orgs))
	for _, org := range orgs {
		works[org] = NewWork(progress.Log(org), call.Verbose)
	}
	which := ""
	if flags.Shard.of > 0 {
		which = fmt.Sprintf(" of shard %d of %d", flags.Shard.index, flags.Shard.of)
	}
	e.Line("eca: %s%s, %d at once", console.Plural(len(orgs), "org"), which, min(flags.Jobs, len(orgs)))
	options := fleet.Options[T]{Jobs: flags.Jobs, FailFast: flags.FailFast, Changed: func(o fleet.Outcome[T]) {
		line := fmt.Sprintf("%s: %s in %s", o.Org, o.State, console.Duration(o.Took))
		switch o.State {
		case fleet.Failed:
			line = fmt.Sprintf("%s: failed: %s", o.Org, e.Explain(WithoutOrg(o.Err)))
		case fleet.Finished:
			line += work.Ended(o.Result)
		}
		progress.Changed(o.Org, o.State, line)
	}}
	outcomes := fleet.Run(ctx, options, orgs, func(ctx context.Context, org string) (T, error) {
		return work.Do(ctx, org, works[org])
	})
	progress.End()

	states := make(map[fleet.State]int)
	rows := []console.Row{{Cells: []string{"ORG", "OUTCOME", work.Column, "REQUESTS", "TIME"}}}
	first := ""
	for _, o := range outcomes {
		states[o.State]++
		n := works[o.Org].Requests()
		all.Requests += n
		all.Retries += works[o.Org].Retries()
		r := OrgResult[T]{Org: o.Org, State: o.State, OK: o.State == fleet.Finished, Report: o.Result, Requests: n, Seconds: Seconds(o.Took)}
		cells := []string{o.Org, string(o.State), "-", "-", "-"}
		if o.State != fleet.NotStarted {
			cells[3], cells[4] = fmt.Sprint(n), console.Duration(o.Took)
		}
		if work.Exists(o.Result) {
			cells[2] = work.Cell(o.Result)
		}
		rows = append(rows, console.Row{Cells: cells})
		if o.Err != nil {
			r.Error = console.OneLine(o.Org + ": " + e.Explain(WithoutOrg(o.Err)))
			if o.State == fleet.Failed && first == "" {
				first = r.Error
			}
		}
		all.Orgs = append(all.Orgs, r)
	}
	e.Together(func(u *console.Console) {
		u.Table(rows)
		work.Remarks(u, outcomes)
	})
	failed, waiting := states[fleet.Failed], states[fleet.NotStarted]
	switch {
	case ctx.Err() != nil:
		return all, fmt.Errorf("interrupted: %s done, %d failed, %d cut off in the middle, %d not begun; finished steps stay, and the next run completes the rest", console.Plural(states[fleet.Finished], "org"), failed, states[fleet.Interrupted], waiting)
	case failed > 0:
		message := fmt.Sprintf("%d of %s failed", failed, console.Plural(len(orgs), "org"))
		if waiting > 0 {
			message += fmt.Sprintf(", %d were not begun (--fail-fast)", waiting)
		}
		return all, fmt.Errorf("%s; the first: %s", message, first)
	}
	e.Line("eca: %s done in %s, %s.", console.Plural(len(orgs), "org"), console.Duration(time.Since(e.Started)), console.Plural(all.Requests, "request"))
	return all, nil
}

// WithoutOrg returns the cause of an Error, for a line that names the org already.
func WithoutOrg(err error) error {
	if named, ok := errors.AsType[*Error](err); ok {
		return named.Err
	}
	return err
}
