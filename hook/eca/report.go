package main

import (
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/fleet"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/reconcile"
)

// header prints what a run is about, before it calls the org. given says that the session
// is that of SF_ACCESS_TOKEN.
func (u *ui) header(r *bootstrap.Report, given bool) {
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
	u.line("eca: %s from %s to %s (%s)", plural(apps, "app"), from, name, strings.Join(about, ", "))
	for _, p := range r.Policies {
		u.line("  policies from %s, %s (%s)", p.Folder, p.Origin, p.Why)
	}
	if len(r.Policies) == 0 && apps > 0 {
		u.line("  policies: none found for %s", map[bool]string{true: "it", false: "them"}[apps == 1])
	}
	for _, warning := range r.Warnings {
		u.line("  warning: %s", warning)
	}
	for _, app := range r.Apps {
		if len(app.Source) > 0 {
			u.line("  %s comes with its OAuth as source, which stays as it is: %s", app.Name, strings.Join(app.Source, ", "))
		}
		if app.DistributionState != "" {
			u.line("  %s is left alone: it is %s, and such an app gets its OAuth from its package", app.Name, app.DistributionState)
		}
	}
}

// outcome prints what a run did, or would do.
func (u *ui) outcome(r *bootstrap.Report, requests int, failed bool) {
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
			line := row{cells: []string{name, sign + " " + c.Type, oneLine(c.FullName), oneLine(what)}}
			name = ""
			if u.verbose || c.Action == reconcile.Update {
				for _, change := range c.Changes {
					line.below = append(line.below, oneLine(change.Field+": "+fromTo(c.Action, change.From, change.To)))
				}
			}
			rows = append(rows, line)
		}
	}
	u.table(rows)
	for _, app := range r.Apps {
		if app.Absent {
			u.line("  %s is left alone: its header is not on this org", app.Name)
		}
	}
	for _, f := range r.Findings {
		sign := "warning:"
		if f.Level == finding.Error && r.Preflight == project.PreflightFail {
			sign = "!"
		}
		u.line("  %s %s", sign, oneLine(f.Place()+": "+f.Message()))
	}
	steady := true
	for _, app := range r.Apps {
		for _, warning := range app.Warnings {
			u.line("  warning: %s: %s", app.Name, warning)
		}
		steady = steady && !app.Unsettled
	}
	if failed {
		return
	}
	took := u.took(requests)
	switch {
	case r.PlanOnly && r.Pending > 0:
		u.line("eca: %s pending, nothing was written (%s).", plural(r.Pending, "change"), took)
	case r.Pending+r.Changed == 0:
		u.line("eca: nothing to change (%s).", took)
	case steady:
		u.line("eca: done in %s. A second run would change nothing.", took)
	default:
		u.line("eca: done in %s.", took)
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

// changesOf returns how many changes a run has made, or how many a plan found.
func changesOf(r *bootstrap.Report) int {
	if r.PlanOnly {
		return r.Pending
	}
	return r.Changed
}

// remarks prints what a person should know of the orgs, each remark once, with the
// orgs that it is about.
func (u *ui) remarks(outcomes []fleet.Outcome[*bootstrap.Report]) {
	var order []string
	orgs := make(map[string][]string)
	note := func(org, remark string) {
		if orgs[remark] == nil {
			order = append(order, remark)
		}
		orgs[remark] = append(orgs[remark], org)
	}
	for _, o := range outcomes {
		r := o.Result
		if r == nil {
			continue
		}
		for _, f := range r.Findings {
			note(o.Org, f.Place()+": "+f.Message())
		}
		for _, warning := range r.Warnings {
			note(o.Org, warning)
		}
		for _, app := range r.Apps {
			for _, warning := range app.Warnings {
				note(o.Org, app.Name+": "+warning)
			}
			for _, c := range app.Components {
				switch {
				case c.Error != "":
					u.line("  ! %s: %s: %s %s: %s", o.Org, app.Name, c.Type, oneLine(c.FullName), oneLine(c.Error))
				case c.Uncertain:
					u.line("  ? %s: %s: %s %s was sent, and not answered", o.Org, app.Name, c.Type, oneLine(c.FullName))
				}
			}
		}
	}
	for _, remark := range order {
		on := orgs[remark]
		more := ""
		if len(on) > 3 {
			more = fmt.Sprintf(" and %d more", len(on)-3)
			on = on[:3]
		}
		u.line("  warning: %s%s: %s", strings.Join(on, ", "), more, oneLine(remark))
	}
}
