package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/fleet"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// printHeader prints what a run is about, before it calls the org. given says that the session
// is that of SF_ACCESS_TOKEN.
func printHeader(u *console.Console, r *bootstrap.Report, given bool) {
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
	u.Line("eca: %s from %s to %s (%s)", console.Plural(apps, "app"), from, name, strings.Join(about, ", "))
	for _, p := range r.Policies {
		u.Line("  policies from %s, %s (%s)", p.Folder, p.Origin, p.Why)
	}
	if len(r.Policies) == 0 && apps > 0 {
		u.Line("  policies: none found for %s", map[bool]string{true: "it", false: "them"}[apps == 1])
	}
	for _, warning := range r.Warnings {
		u.Line("  %s %s", console.Warning, warning)
	}
	for _, app := range r.Apps {
		if len(app.Source) > 0 {
			u.Line("  %s comes with its OAuth as source, which stays as it is: %s", app.Name, strings.Join(app.Source, ", "))
		}
		if app.DistributionState != "" {
			u.Line("  %s is left alone: it is %s, and such an app gets its OAuth from its package", app.Name, app.DistributionState)
		}
	}
}

// printOutcome prints what a run did, or would do.
func printOutcome(u *console.Console, r *bootstrap.Report, requests int, failed bool) {
	var rows []console.Row
	for _, app := range r.Apps {
		for i, c := range byUrgency(app.Components, r.PlanOnly) {
			row := componentRow(u, r, app, c)
			if i > 0 {
				row.Cells[0] = ""
			}
			rows = append(rows, row)
		}
	}
	u.Table(rows)
	steady := printRemarks(u, r)
	if failed {
		return
	}
	took := u.Took(requests)
	switch {
	case r.PlanOnly && r.Pending > 0:
		u.Line("eca: %s pending, nothing was written (%s).", console.Plural(r.Pending, "change"), took)
	case r.Pending+r.Changed == 0 && r.DiffersElsewhere():
		u.Line("eca: nothing to change, but policies differ that eca does not apply (%s).", took)
	case r.Pending+r.Changed == 0:
		u.Line("eca: nothing to change (%s).", took)
	case steady:
		u.Line("eca: done in %s. A second run would change nothing.", took)
	default:
		u.Line("eca: done in %s.", took)
	}
}

// componentRow returns the row of a component or grant, with its changes below.
func componentRow(u *console.Console, r *bootstrap.Report, app bootstrap.AppReport, c bootstrap.ComponentReport) console.Row {
	sign, what := describe(c, r.PlanOnly)
	if c.Type == eca.GlobalOAuthSettings && app.ConsumerKey != "" && c.Done {
		what += ", consumer key " + app.ConsumerKey
	}
	if c.User != "" && c.Error == "" && c.Action != reconcile.Unchanged {
		what += " to " + c.User
	}
	row := console.Row{Cells: []string{console.OneLine(app.Name), sign + " " + typeName(u, c.Type), console.OneLine(c.FullName), console.OneLine(what)}}
	row.Sign = map[string]console.Style{"+": console.Green, "~": console.Yellow, "?": console.Yellow}[sign]
	if c.Error != "" || c.Refused {
		row.Style = console.Red
	}
	if c.Error != "" && failures(r) > 1 { // the command's error is about the first
		row.Below = append(row.Below, console.OneLine(c.Error))
	}
	if u.Verbose || c.Action == reconcile.Update || c.DeployedBy != "" {
		for _, change := range c.Changes {
			row.Below = append(row.Below, console.OneLine(change.Field+": "+fromTo(c.Action, change.From, change.To)))
		}
	}
	return row
}

// byUrgency returns components in their order, but those that a run did not get to after the others, so that the
// failure that explains them comes first.
func byUrgency(all []bootstrap.ComponentReport, planOnly bool) []bootstrap.ComponentReport {
	all = slices.Clone(all)
	reached := func(c bootstrap.ComponentReport) bool {
		return c.Error != "" || c.Refused || !c.Held && (planOnly || c.Done || c.Uncertain || c.Action == reconcile.Unchanged || c.DeployedBy != "")
	}
	slices.SortStableFunc(all, func(a, b bootstrap.ComponentReport) int {
		switch x, y := reached(a), reached(b); {
		case x == y:
			return 0
		case x:
			return -1
		}
		return 1
	})
	return all
}

// typeNames are what tables call the types of components and records.
var typeNames = map[string]string{
	eca.Header: "header", eca.OAuthSettings: "OAuth settings", eca.GlobalOAuthSettings: "global OAuth settings",
	eca.PluginPolicies: "plugin policies", eca.OAuthPolicies: "OAuth policies",
	"PermissionSet": "permission set", "SetupEntityAccess": "grant of a permission set", "PermissionSetAssignment": "assignment of a permission set",
}

// typeName returns what a table calls a type: with --verbose, and if there is no shorter one, its API name.
func typeName(u *console.Console, typ string) string {
	if short := typeNames[typ]; short != "" && !u.Verbose {
		return short
	}
	return typ
}

// failures returns the number of components and grants of a run that failed.
func failures(r *bootstrap.Report) (n int) {
	for _, app := range r.Apps {
		for _, c := range app.Components {
			if c.Error != "" {
				n++
			}
		}
	}
	return n
}

// printRemarks prints the findings and warnings of a run, and returns whether a second run would
// change nothing.
func printRemarks(u *console.Console, r *bootstrap.Report) (steady bool) {
	for _, app := range r.Apps {
		if app.Absent {
			u.Line("  %s is left alone: its header is not on this org", app.Name)
		}
	}
	for _, problem := range r.Invalid {
		u.Line("  %s %s", console.Failure, console.OneLine(problem))
	}
	for _, f := range r.Findings {
		sign := console.Warning
		if f.Level == finding.Error && r.Preflight == project.PreflightFail {
			sign = console.Failure
		}
		u.Line("  %s %s", sign, console.OneLine(f.Place()+": "+f.Message()))
	}
	steady = true
	for _, app := range r.Apps {
		for _, warning := range app.Warnings {
			u.Line("  %s %s: %s", console.Warning, app.Name, warning)
		}
		if app.Off {
			u.Line("    to switch it on: eca enable -o %s --app %s", cmp.Or(r.Org.Alias, r.Org.Username, r.Org.InstanceURL), app.Name)
		}
		steady = steady && !app.Unsettled
	}
	return steady
}

func describe(c bootstrap.ComponentReport, planOnly bool) (sign, what string) {
	switch {
	case c.Error != "":
		return "!", "failed"
	case c.Refused:
		return "!", "refused"
	case c.Held:
		return " ", "held back"
	case c.DeployedBy != "" && c.Action != reconcile.Unchanged:
		return describeElsewhere(c)
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

// describeElsewhere describes a component that something else than the run deploys.
func describeElsewhere(c bootstrap.ComponentReport) (sign, what string) {
	sign, what = "~", "differs, "
	if c.Action == reconcile.Create {
		sign, what = "+", "missing, "
	}
	switch c.DeployedBy {
	case wanted.ByOthers:
		return sign, what + "not deployed by eca"
	case wanted.ByNobody:
		return sign, what + "deployed by nobody"
	}
	return sign, what + "deployed by " + string(c.DeployedBy)
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
func remarks(u *console.Console, outcomes []fleet.Outcome[*bootstrap.Report]) {
	var order []string
	targets := make(map[string][]string)
	note := func(org, remark string) {
		if targets[remark] == nil {
			order = append(order, remark)
		}
		targets[remark] = append(targets[remark], org)
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
					u.Line("  %s %s: %s: %s %s: %s", console.Failure, o.Org, app.Name, c.Type, console.OneLine(c.FullName), console.OneLine(c.Error))
				case c.Uncertain:
					u.Line("  ? %s: %s: %s %s was sent, and not answered", o.Org, app.Name, c.Type, console.OneLine(c.FullName))
				}
			}
		}
	}
	for _, remark := range order {
		on := targets[remark]
		more := ""
		if len(on) > 3 {
			more = fmt.Sprintf(" and %d more", len(on)-3)
			on = on[:3]
		}
		u.Line("  %s %s%s: %s", console.Warning, strings.Join(on, ", "), more, console.OneLine(remark))
	}
}

// printFinding prints a finding on one line, with its level in colour.
func printFinding(u *console.Console, indent string, f finding.Finding) {
	place := f.Place()
	if place != "" {
		place += ": "
	}
	u.Line("%s%s%s: %s [%s]", indent, console.Clean(place), console.Level(string(f.Level)), console.OneLine(f.Message()), f.Tag())
}
