package cli

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// auditOutput shows and writes the reports of orgs.
type auditOutput struct {
	*auditCmd
	targets  []string
	reports  map[string]*auditReport
	failures map[string]string
	command  audit.Command
}

// orgReports are the reports in the order of the orgs.
func (a *auditOutput) orgReports() (all []audit.OrgReport) {
	for _, org := range a.targets {
		one := audit.OrgReport{Org: org}
		if r := a.reports[org]; r != nil {
			one.Report, one.Username = r.Report, r.Username
		} else if a.failures[org] != "" {
			one.Err = errors.New(a.failures[org])
		}
		all = append(all, one)
	}
	return all
}

// summary counts what matters of all orgs.
func (a *auditOutput) summary() audit.Summary {
	var all []*audit.Report
	for _, o := range a.orgReports() {
		if o.Report != nil {
			all = append(all, o.Report)
		}
	}
	return audit.Summarize(all...)
}

func counts(errs, warnings int) string {
	return fmt.Sprintf("%s, %s", console.Plural(errs, "error"), console.Plural(warnings, "warning"))
}

// write shows the reports in the format that is asked for.
func (a *auditOutput) write(e *env, r result) (result, error) {
	if a.FixPlan != "" {
		if err := atomicfile.Write(a.FixPlan, []byte(salesforce.Mask(a.plan())), atomicfile.Options{Mode: 0o644}); err != nil {
			return nil, outputError(a.FixPlan, err)
		}
	}
	if a.Format == "text" || a.Output != "" {
		e.Together(a.show)
	}
	if a.FixPlan != "" {
		e.Line("eca: wrote %s", a.FixPlan)
	}
	if a.Format == "text" || a.Format == "json" && a.Output == "" { // as --json
		return r, nil
	}
	if a.pages() {
		return r, a.writePages(e)
	}
	document, err := a.document()
	switch {
	case err != nil:
		return nil, err
	case a.Output != "":
		if err := atomicfile.Write(a.Output, document, atomicfile.Options{Mode: 0o644}); err != nil {
			return nil, outputError(a.Output, err)
		}
		e.Line("eca: wrote %s", a.Output)
		return r, nil
	case a.Format == "html" || a.Format == "csv":
		_, err := e.Stdout.Write(document)
		return printed, err
	}
	return printed, e.RawJSON(string(document))
}

// document returns the reports as one document.
func (a *auditOutput) document() ([]byte, error) {
	var document bytes.Buffer
	var err error
	switch a.Format {
	case "json":
		encoder := json.NewEncoder(&document)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(map[string]any{"summary": a.summary(), "orgs": a.entries()})
	case "sarif":
		err = a.sarif(&document)
	case "csv":
		err = a.csv(&document)
	case "html":
		page := audit.Page{Orgs: a.orgReports(), Now: time.Now(), Version: salesforce.Version(), Command: a.command}
		err = page.Write(&document)
	}
	if a.Format == "html" || a.Format == "csv" {
		return []byte(salesforce.Mask(document.String())), err
	}
	return []byte(salesforce.MaskJSON(document.String())), err
}

// sarif writes the findings for code scanning, with the project file as their place.
func (a *auditOutput) sarif(document *bytes.Buffer) error {
	var all []finding.Finding
	for _, o := range a.orgReports() {
		if o.Report == nil {
			continue
		}
		for _, f := range o.Report.Findings {
			one := f.Finding
			one.File, one.Problem = sfp.ProjectFile, fmt.Sprintf("%s: %s %s: %s", o.Org, f.Kind, f.Name(), f.Problem)
			one.Fix = withCommand(f)
			all = append(all, one)
		}
	}
	tool := finding.Tool{Name: "eca audit", Version: salesforce.Version(), Home: home, Rules: home + "/blob/main/pkg/audit/RULES.md"}
	return finding.WriteSARIF(document, tool, audit.Rules(), all)
}

// csv writes one line per finding.
func (a *auditOutput) csv(document *bytes.Buffer) error {
	rows := [][]string{{"org", "level", "rule", "kind", "app", "field", "problem", "fix", "command", "setup", "who", "users", "administrators", "last used"}}
	for _, o := range a.orgReports() {
		if o.Report == nil {
			continue
		}
		for _, f := range o.Report.Findings {
			app := cmp.Or(f.Subject(), new(audit.App))
			rows = append(rows, []string{o.Org, string(f.Level), f.Rule, string(f.Kind), f.App, f.Field, f.Problem, f.Fix, f.Command,
				audit.Item{Org: o.Org, URL: o.Report.URL, Finding: f}.Page(), app.Who(), fmt.Sprint(app.Users), fmt.Sprint(app.Admins), day(app.LastUsed)})
		}
	}
	return writeCSV(document, rows)
}

// entries are the reports in the order of the orgs, as a baseline has them.
func (a *auditOutput) entries() (all []map[string]any) {
	for _, org := range a.targets {
		entry := map[string]any{"org": org, "error": a.failures[org]}
		if a.reports[org] != nil {
			entry = map[string]any{"org": org, "report": a.reports[org]}
		}
		all = append(all, entry)
	}
	return all
}

// withCommand returns a finding's fix with its command.
func withCommand(f audit.Finding) string {
	if f.Command == "" {
		return f.Fix
	}
	return f.Fix + "; " + f.Command
}

// Bounds of the text: rows of the table, and apps of a finding. --by app shows all.
const (
	mostRows  = 20
	mostItems = 12
)

// show prints the reports.
func (a *auditOutput) show(u *console.Console) {
	for _, o := range a.orgReports() {
		if o.Report != nil {
			u.Line("eca: %s: %s", o.Org, o.Report.Sentence())
		}
	}
	groups := audit.Groups(a.orgReports(), a.command)
	a.showActions(u, groups)
	for _, o := range a.orgReports() {
		if o.Report != nil {
			a.showApps(u, o)
		}
	}
	if a.By == "rule" {
		for _, g := range groups {
			a.showGroup(u, g)
		}
	}
	for _, o := range a.orgReports() {
		if o.Report != nil {
			a.showRest(u, o)
		}
	}
	a.showTotal(u)
}

// showActions prints what to do first.
func (a *auditOutput) showActions(u *console.Console, groups []audit.Group) {
	if len(groups) == 0 {
		return
	}
	u.Line("  Top %s:", console.Plural(min(audit.MaxActions, len(groups)), "action"))
	for i, g := range groups[:min(audit.MaxActions, len(groups))] {
		u.Line("  %d. %s: %s %s", i+1, console.Level(string(g.Level)), g.Summary, a.about(g))
		u.Line("     %s", console.OneLine(g.Fixes[0].Action()))
	}
}

// about returns the apps of a group in brackets, with the rule.
func (a *auditOutput) about(g audit.Group) string {
	return fmt.Sprintf("%s [%s]", console.OneLine(a.names(g.Items, 3)), g.ID)
}

// names lists the apps of items, with their orgs if there are several, at most a number of them.
func (a *auditOutput) names(items []audit.Item, most int) string {
	var names []string
	for _, item := range items {
		name := item.Name()
		if item.Kind == audit.OrgItself {
			name = item.Org
		} else if len(a.targets) > 1 {
			name += " (" + item.Org + ")"
		}
		if !slices.Contains(names, name) {
			names = append(names, clip(name, 60))
		}
	}
	if more := len(names) - most; more > 0 {
		names = append(names[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

// showGroup prints the findings of a rule.
func (a *auditOutput) showGroup(u *console.Console, g audit.Group) {
	u.Line("")
	u.Line("  %s: %s %s [%s]", console.Level(string(g.Level)), g.Summary, console.Plural(len(g.Items), "finding"), g.ID)
	byProblem := make(map[string][]audit.Item)
	var problems []string
	for _, item := range g.Items {
		problem := item.Problem
		if item.Field != "" {
			problem = item.Field + ": " + problem
		}
		if byProblem[problem] == nil {
			problems = append(problems, problem)
		}
		byProblem[problem] = append(byProblem[problem], item)
	}
	for _, problem := range problems[:min(mostItems, len(problems))] {
		u.Line("    %s: %s", console.OneLine(a.names(byProblem[problem], mostItems)), console.OneLine(problem))
	}
	if more := len(problems) - mostItems; more > 0 {
		u.Line("    and %d more (--by app shows all)", more)
	}
	for _, f := range g.Fixes {
		a.showFix(u, g, f)
	}
}

func (a *auditOutput) showFix(u *console.Console, g audit.Group, f audit.Fix) {
	which := ""
	if len(g.Fixes) > 1 {
		which = " (" + console.OneLine(a.names(f.Items, 3)) + ")"
	}
	u.Line("    fix%s: %s", which, console.OneLine(f.Text))
	lines := f.Commands
	if len(lines) == 0 {
		lines = f.Pages
	}
	for _, line := range lines[:min(3, len(lines))] {
		u.Line("      %s", line)
	}
	if more := len(lines) - 3; more > 0 {
		u.Line("      and %d more", more)
	}
	if len(f.Commands) > 0 && len(f.Pages) == 1 {
		u.Line("      %s", f.Pages[0])
	}
}

// showApps prints the table of one org, with --by app the findings of each app.
func (a *auditOutput) showApps(u *console.Console, o audit.OrgReport) {
	rows := []console.Row{{Cells: []string{"APP", "KIND", "WHO", "HOW", "LAST USED", "TOKENS", "FOUND"}}}
	ours, left := 0, 0
	for _, app := range o.Report.Apps {
		if app.Salesforce {
			ours++
			continue
		}
		if a.By == "rule" && len(rows) > mostRows {
			left++
			continue
		}
		row := console.Row{}
		n := 0
		for _, f := range o.Report.Findings {
			if f.IsAbout(app) {
				n++
			}
		}
		who := app.Who()
		if app.Admins > 0 {
			who += fmt.Sprintf(" (%s)", console.Plural(app.Admins, "administrator"))
		}
		row.Cells = []string{clip(app.Name, 40), string(app.Kind), clip(who, 44), clip(app.How(), 50), day(app.LastUsed), fmt.Sprint(app.Tokens), fmt.Sprint(n)}
		rows = append(rows, row)
	}
	u.Line("")
	if len(rows) > 1 {
		u.Table(rows)
	}
	if left > 0 {
		u.Line("  and %s of %s (--by app shows all)", console.Plural(left, "more app"), o.Org)
	}
	if ours > 0 {
		u.Line("  %s of Salesforce in %s, which are not checked", console.Plural(ours, "app"), o.Org)
	}
	if a.By != "app" {
		return
	}
	u.Line("")
	for _, f := range o.Report.Findings {
		text := f.Problem
		if f.Field != "" {
			text = f.Field + ": " + text
		}
		u.Line("  %s: %s", console.Level(string(f.Level)), console.OneLine(fmt.Sprintf("%s %s: %s; %s [%s]", f.Kind, f.App, text, withCommand(f), f.Rule)))
	}
}

// showRest prints what was accepted and what could not be looked at.
func (a *auditOutput) showRest(u *console.Console, o audit.OrgReport) {
	prefix := ""
	if len(a.targets) > 1 {
		prefix = o.Org + ": "
	}
	for _, f := range o.Report.Accepted {
		u.Line("  %saccepted until %s: %s: %s (%s) [%s]", prefix, cmp.Or(f.Until, "further notice"), f.Name(), console.OneLine(f.Problem), console.OneLine(f.Why), f.Rule)
	}
	for _, ended := range o.Report.Expired {
		u.Line("  %s %s%s", console.Failure, prefix, console.OneLine(ended))
	}
	for _, unseen := range o.Report.Unseen {
		u.Line("  %s %snot read: %s", console.Failure, prefix, console.OneLine(unseen))
	}
	for _, lack := range o.Report.Lacks {
		u.Line("  %s%s", prefix, console.OneLine(lack))
	}
}

// showTotal prints the counts of each org and of all, and last the orgs that failed.
func (a *auditOutput) showTotal(u *console.Console) {
	u.Line("")
	for _, org := range a.targets {
		r := a.reports[org]
		if r == nil {
			continue
		}
		summary := counts(r.Errors, r.Warnings)
		if len(r.Known) > 0 {
			summary += fmt.Sprintf(", and %d that the baseline has", len(r.Known))
		}
		u.Line("eca: %s: %s", org, summary)
	}
	if len(a.targets) > 1 {
		total := a.summary()
		u.Line("eca: %s: %s: %s", console.Plural(total.Orgs, "org"), counts(total.Errors, total.Warnings), total.Sentence())
	}
	for _, org := range a.targets {
		if a.failures[org] != "" {
			u.Line("  %s %s was not audited: %s", console.Failure, org, console.OneLine(a.failures[org]))
		}
	}
}

// clip shortens a cell of a table.
func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// verdict is the error that --fail-on asks for.
func (a *auditOutput) verdict() error {
	total := a.summary()
	if a.FailOn == "never" || total.Errors == 0 && (a.FailOn == "error" || total.Warnings == 0) {
		return nil
	}
	where := a.targets[0]
	if len(a.targets) > 1 {
		where = console.Plural(total.Orgs, "org")
	}
	return foundError{fmt.Errorf("%s: %s; run eca audit --explain RULE for details", where, counts(total.Errors, total.Warnings))}
}
