package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/ecakit/ecakit/pkg/wanted"
)

type auditCmd struct {
	Format   string `enum:"text,json,sarif,html" default:"text" help:"text, json, sarif (2.1.0, for code scanning), or html: one file for the person who decides."`
	Output   string `placeholder:"FILE" help:"Write json, sarif or html to this file, whole or not at all, and the text to standard output."`
	FailOn   string `name:"fail-on" enum:"error,warning,never" default:"error" help:"Level of findings with which eca exits with 1."`
	Baseline string `placeholder:"FILE" help:"What an earlier run with --format json wrote: only findings count that are new since."`
	Project  string `placeholder:"DIR" default:"." help:"Project with the apps to compare and the audit settings. Default: the project of the working directory, if there is one."`
	Explain  string `placeholder:"RULE" help:"Print what a rule is about, or with all the list of rules, and look at no org."`

	orgFlags  `embed:""`
	callFlags `embed:""`
}

func (auditCmd) Help() string {
	return `Lists all Connected Apps and External Client Apps of an org, with their users, flows, run-as users and last use. Reports findings by rule, each with a fix. eca reads no token and no secret, and writes nothing to the org.

In a project, eca also reports apps that no package declares and settings that differ from the project. audit.rules and audit.accept in plugins.eca configure the rules.

eca audit -o prod -o uat --format html --output audit.html`
}

// auditReport is what --json says of one org.
type auditReport struct {
	Org      string `json:"org"`
	Sentence string `json:"sentence"` // the one that counts first
	Errors   int    `json:"errors"`
	Warnings int    `json:"warnings"`
	// Known are the findings that the baseline has already; they are not among Findings.
	Known []audit.Finding `json:"known,omitempty"`
	*audit.Report
}

func (c *auditCmd) run(ctx context.Context, e *env) (result, error) {
	if c.Explain != "" {
		return explainRules(e, "audit", c.Explain, audit.Rules())
	}
	if err := c.callFlags.Check(); err != nil {
		return nil, err
	}
	if c.Output != "" && c.Format == "text" {
		return nil, usage.Errorf("--output goes with --format json, sarif or html")
	}
	if c.Output != "" { // before an org is asked
		if err := atomicfile.Check(c.Output, atomicfile.Options{}); err != nil {
			return nil, usage.Errorf("--output: %w", outputError(c.Output, err))
		}
	}
	known, err := readBaseline(c.Baseline)
	if err != nil {
		return nil, err
	}
	proj, err := c.load(e)
	if err != nil {
		return nil, err
	}
	targets, err := e.Orgs(&c.orgFlags)
	if err != nil {
		return nil, err
	}
	e.JSON = e.JSON || c.Format == "json" && c.Output == ""
	e.Silent = c.Format != "text" && c.Output == ""
	reports := make(map[string]*auditReport)
	r, err := onOrgs(ctx, e, &c.orgFlags, &c.callFlags, targets, orgs.FleetWork[*auditReport]{
		Column: "FOUND", Cell: func(r *auditReport) string {
			return fmt.Sprintf("%s, %s", console.Plural(r.Errors, "error"), console.Plural(r.Warnings, "warning"))
		},
		Ended: func(r *auditReport) string { return ": " + r.Sentence },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*auditReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*auditReport, error) {
				return proj.audit(ctx, org, known, session, conn)
			})
		},
	})
	failures := make(map[string]string)
	switch all := r.(type) {
	case *oneResult[*auditReport]:
		if all.Report != nil {
			reports[targets[0]] = all.Report
		} else if err != nil {
			failures[targets[0]] = console.OneLine(explain(orgs.WithoutOrg(err)))
		}
	case *manyResult[*auditReport]:
		for _, one := range all.Orgs {
			if one.Report != nil {
				reports[one.Org] = one.Report
			}
			failures[one.Org] = one.Error
		}
	default:
		return r, err
	}
	if len(reports) == 0 && len(targets) > 0 { // a shard without an org has a document, too
		return r, err
	}
	written, writeErr := c.write(e, targets, reports, failures, r)
	if writeErr != nil {
		return r, writeErr
	}
	if err == nil {
		err = c.verdict(targets, reports)
	}
	return written, err
}

// write shows the reports in the format that is asked for.
func (c *auditCmd) write(e *env, targets []string, reports map[string]*auditReport, failures map[string]string, r result) (result, error) {
	if c.Format == "text" || c.Output != "" {
		for _, org := range targets {
			if reports[org] != nil {
				e.Together(func(u *console.Console) { c.show(u, reports[org]) })
			}
		}
	}
	if c.Format == "text" || c.Format == "json" && c.Output == "" { // as --json
		return r, nil
	}
	document, err := c.document(targets, reports, failures)
	switch {
	case err != nil:
		return nil, err
	case c.Output != "":
		if err := atomicfile.Write(c.Output, document, atomicfile.Options{Mode: 0o644}); err != nil {
			return nil, outputError(c.Output, err)
		}
		e.Line("eca: wrote %s", c.Output)
		return r, nil
	case c.Format == "html":
		_, err := e.Stdout.Write(document)
		return printed, err
	}
	return printed, e.RawJSON(string(document))
}

// document returns the reports as one document: json, sarif or html.
func (c *auditCmd) document(targets []string, reports map[string]*auditReport, failures map[string]string) ([]byte, error) {
	var document bytes.Buffer
	var err error
	switch c.Format {
	case "json":
		encoder := json.NewEncoder(&document)
		encoder.SetIndent("", "  ")
		err = encoder.Encode(map[string]any{"orgs": entries(targets, reports, failures)})
	case "sarif":
		var all []finding.Finding
		for _, org := range targets {
			if reports[org] == nil {
				continue
			}
			for _, f := range reports[org].Findings {
				one := f.Finding
				one.File, one.Problem = sfp.ProjectFile, fmt.Sprintf("%s: %s %s: %s", org, f.Kind, f.App, f.Problem)
				all = append(all, one)
			}
		}
		tool := finding.Tool{Name: "eca audit", Version: salesforce.Version(), Home: home, Rules: home + "/blob/main/pkg/audit/RULES.md"}
		err = finding.WriteSARIF(&document, tool, audit.Rules(), all)
	case "html":
		var all []audit.OrgReport
		for _, org := range targets {
			one := audit.OrgReport{Org: org}
			if reports[org] != nil {
				one.Report = reports[org].Report
			} else if failures[org] != "" {
				one.Err = errors.New(failures[org])
			}
			all = append(all, one)
		}
		err = audit.WriteHTML(&document, all, time.Now())
	}
	if c.Format == "html" {
		return []byte(salesforce.Mask(document.String())), err
	}
	return []byte(salesforce.MaskJSON(document.String())), err
}

// entries are the reports in the order of the orgs, as a baseline has them.
func entries(targets []string, reports map[string]*auditReport, failures map[string]string) (all []map[string]any) {
	for _, org := range targets {
		entry := map[string]any{"org": org, "error": failures[org]}
		if reports[org] != nil {
			entry = map[string]any{"org": org, "report": reports[org]}
		}
		all = append(all, entry)
	}
	return all
}

// show prints one report.
func (c *auditCmd) show(u *console.Console, r *auditReport) {
	u.Line("eca: %s: %s", r.Org, r.Sentence)
	rows := []console.Row{{Cells: []string{"APP", "KIND", "WHO", "HOW", "LAST USED", "TOKENS", "FOUND"}}}
	for _, app := range r.Apps {
		n := 0
		for _, f := range r.Findings {
			if f.IsAbout(app) {
				n++
			}
		}
		rows = append(rows, console.Row{Cells: []string{clip(app.Name, 40), string(app.Kind), clip(app.Who(), 40), clip(app.How(), 50), day(app.LastUsed), fmt.Sprint(app.Tokens), fmt.Sprint(n)}})
	}
	if len(rows) > 1 {
		u.Table(rows)
	}
	for _, f := range r.Findings {
		u.Line("  %s: %s", console.Level(string(f.Level)), console.OneLine(fmt.Sprintf("%s %s: %s [%s]", f.Kind, f.App, f.Message(), f.Rule)))
	}
	for _, f := range r.Accepted {
		u.Line("  accepted until %s: %s: %s (%s) [%s]", f.Until, f.App, console.OneLine(f.Problem), console.OneLine(f.Why), f.Rule)
	}
	for _, e := range r.Expired {
		u.Line("  %s %s", console.Failure, console.OneLine(e))
	}
	for _, unseen := range r.Unseen {
		u.Line("  %s not looked at: %s", console.Failure, console.OneLine(unseen))
	}
	summary := fmt.Sprintf("%s, %s", console.Plural(r.Errors, "error"), console.Plural(r.Warnings, "warning"))
	if len(r.Known) > 0 {
		summary += fmt.Sprintf(", and %d that the baseline has", len(r.Known))
	}
	u.Line("eca: %s: %s", r.Org, summary)
}

// clip shortens a cell of a table.
func clip(text string, most int) string {
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// verdict is the error that --fail-on asks for.
func (c *auditCmd) verdict(targets []string, reports map[string]*auditReport) error {
	errs, warnings := 0, 0
	for _, r := range reports {
		errs, warnings = errs+r.Errors, warnings+r.Warnings
	}
	if c.FailOn == "never" || errs == 0 && (c.FailOn == "error" || warnings == 0) {
		return nil
	}
	where := targets[0]
	if len(targets) > 1 {
		where = console.Plural(len(reports), "org")
	}
	return fmt.Errorf("%s: %s, %s; eca audit --explain RULE tells more", where, console.Plural(errs, "error"), console.Plural(warnings, "warning"))
}

// auditProject is the project that an audit compares with; its zero value is none.
type auditProject struct {
	source   *wanted.Source
	declared []string // nil without a proj
	settings project.AuditSettings
}

// load reads the project, where there is one.
func (c *auditCmd) load(e *env) (*auditProject, error) {
	root, _, err := findProject(c.Project)
	if err != nil {
		if c.Project == "." {
			return new(auditProject), nil
		}
		return nil, err
	}
	fsys, err := openDir(root)
	if err != nil {
		return nil, err
	}
	proj, err := project.Read(fsys, sfp.ProjectFile)
	if err != nil {
		return nil, err
	}
	p := &auditProject{declared: []string{}, settings: proj.Settings.Audit}
	var dirs []string
	for _, pack := range proj.Packages {
		dirs = append(dirs, pack.Path)
	}
	for _, file := range project.ReadSource(fsys, dirs...).Components(".", eca.Header) {
		p.declared = append(p.declared, file.Name)
	}
	if wrong := auditFindings(fsys); len(wrong) > 0 {
		return nil, fmt.Errorf("%s: %s", filepath.Join(root, sfp.ProjectFile), wrong[0].Message())
	}
	if len(p.declared) > 0 {
		if p.source, err = wanted.Load(wanted.Location{Project: fsys, Dir: root, Sibling: fsys, Getenv: e.replacing}); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// audit looks at one org.
func (p *auditProject) audit(ctx context.Context, org string, known map[string]finding.Level, session *orgauth.Session, conn *salesforce.Conn) (*auditReport, error) {
	options := audit.Options{Rules: p.settings.Rules, Declared: p.declared}
	for _, a := range p.settings.Accept {
		options.Accept = append(options.Accept, audit.Acceptance{App: a.App, Rule: a.Rule, Until: a.Until, Why: a.Why})
	}
	// Both read the org at the same time; what differs is judged afterwards.
	unseen := ""
	var survey *audit.Snapshot
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() (err error) { survey, err = audit.Read(groupCtx, conn); return err })
	if p.source != nil {
		group.Go(func() (err error) { options.Drift, unseen, err = p.drift(groupCtx, session, conn); return err })
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	report, err := survey.Judge(options)
	if err != nil {
		return nil, err
	}
	for i := range report.Findings {
		f := &report.Findings[i]
		if f.Kind == audit.External || f.Rule == "has-to-move" || f.Rule == "username-password-flow" {
			f.Fix = advice.Fix(f.Fix, f.Rule, org, f.App)
		}
	}
	if unseen != "" {
		report.Unseen = append(report.Unseen, unseen)
	}
	r := &auditReport{Org: org, Sentence: report.Sentence(), Report: report}
	report.Findings = slices.DeleteFunc(report.Findings, func(f audit.Finding) bool {
		was := known[org+"\x00"+f.Key()]
		old := was == finding.Error || was == f.Level // it has not become worse
		if old {
			r.Known = append(r.Known, f)
		}
		return old
	})
	r.Errors, r.Warnings = report.Count(finding.Error), report.Count(finding.Warning)
	return r, nil
}

// drift compares the org with the project, as eca plan does. unseen says why parts could not be
// compared: the project is wrong, or the org refuses a query. An org that does not answer is an error.
func (p *auditProject) drift(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (drift map[string][]audit.Change, unseen string, err error) {
	plan, err := p.plan(ctx, session, conn)
	if err != nil {
		if ctx.Err() != nil || salesforce.IsTransient(err) || errors.As(err, new(*salesforce.NetworkError)) {
			return nil, "", err
		}
		unseen = "drift: " + console.OneLine(explain(err))
	}
	drift = make(map[string][]audit.Change)
	for _, app := range plan.Apps {
		for _, c := range app.Components {
			if c.Action == reconcile.Create && c.User == "" {
				drift[app.Name] = append(drift[app.Name], audit.Change{Field: c.Type, What: "it has no " + c.Type})
				continue
			}
			for _, change := range c.Changes {
				if change.Withheld {
					continue // the org does not show it
				}
				drift[app.Name] = append(drift[app.Name], audit.Change{Field: change.Field, What: fmt.Sprintf("%s, and the project says %s", quoted(change.From), quoted(change.To))})
			}
		}
	}
	return drift, unseen, nil
}

// plan returns what a bootstrap would change. The report may hold apps even if there is an error.
func (p *auditProject) plan(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (report bootstrap.Report, err error) {
	resolved, err := bootstrap.Resolve(ctx, conn, p.source, bootstrap.Options{
		ApplyPolicies: true, Username: session.Username, Alias: session.Alias, OrgID: session.OrgID, Kind: session.Kind, ClientID: session.ClientID,
	})
	if err != nil {
		return report, err
	}
	plan, err := resolved.Plan(ctx)
	if err != nil {
		return report, err
	}
	return *plan.Report(), plan.Err()
}

func quoted(text string) string {
	if text == "" {
		return "not set"
	}
	return console.OneLine(text)
}

// maxBaseline bounds a baseline in bytes.
const maxBaseline = 64 << 20

// readBaseline reads the findings of an earlier run, by org and key.
func readBaseline(name string) (map[string]finding.Level, error) {
	if name == "" {
		return nil, nil
	}
	fail := func(why string) (map[string]finding.Level, error) {
		return nil, usage.Errorf("--baseline: %s %s", name, why)
	}
	info, err := os.Stat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fail("does not exist")
	case err != nil || !info.Mode().IsRegular():
		return fail("cannot be read as a file")
	case info.Size() > maxBaseline:
		return fail("is larger than 64 MiB")
	}
	data, err := os.ReadFile(name)
	if err != nil {
		return fail("cannot be read")
	}
	var document struct {
		Report *auditReport `json:"report"`
		Orgs   []struct {
			Report *auditReport `json:"report"`
		} `json:"orgs"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return fail("is not what eca audit --format json writes")
	}
	reports := []*auditReport{document.Report}
	for _, one := range document.Orgs {
		reports = append(reports, one.Report)
	}
	known, seen := make(map[string]finding.Level), false
	for _, r := range reports {
		if r == nil || r.Report == nil {
			continue
		}
		seen = true
		for _, f := range slices.Concat(r.Findings, r.Known) {
			known[r.Org+"\x00"+f.Key()] = f.Level
		}
	}
	if !seen {
		return fail("is not what eca audit --format json writes")
	}
	return known, nil
}
