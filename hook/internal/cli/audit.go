package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ecakit/ecakit/hook/internal/advice"
	"github.com/ecakit/ecakit/hook/internal/console"
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/usage"
	"github.com/ecakit/ecakit/pkg/atomicfile"
	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/bootstrap"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/sfp"
	"github.com/ecakit/ecakit/pkg/wanted"
)

type auditCmd struct {
	Format   string   `enum:"text,json,sarif,csv,html" default:"text" help:"text, json, sarif (2.1.0, for code scanning), csv, or html: one file for the person who decides."`
	By       string   `enum:"rule,app" default:"rule" help:"Group the text by rule or by app."`
	Output   string   `placeholder:"FILE" help:"Write json, sarif, csv or html to this file, whole or not at all, and the text to standard output. With --profile isv and html: a directory, which gets a page per app."`
	FixPlan  string   `name:"fix-plan" placeholder:"FILE" help:"Write the fixes to this file, as a checklist in Markdown."`
	Notify   []string `sep:"none" placeholder:"slack|teams|github" help:"Post a summary. slack and teams read the webhook's URL from ECA_SLACK_WEBHOOK and ECA_TEAMS_WEBHOOK; github adds to the step summary of GitHub Actions. Can be repeated."`
	FailOn   string   `name:"fail-on" enum:"error,warning,never" default:"error" help:"Level of findings with which eca exits with 3."`
	Baseline string   `placeholder:"FILE" help:"Output of an earlier run with --format json: only findings that are new since then count."`
	Ledger   string   `placeholder:"FILE" help:"File that eca rotate --ledger writes: the rule old-consumer counts from the rotations in it."`
	Profile  string   `enum:",isv" default:"" placeholder:"isv" help:"isv: apply the controls that Salesforce requires of partner apps since 2026."`
	App      []string `sep:"none" placeholder:"NAME" help:"Report this app only. Can be repeated."`
	Project  string   `placeholder:"DIR" default:"." help:"Project with the apps to compare and the audit settings. Default: the project of the working directory, if there is one."`
	Explain  string   `placeholder:"RULE" help:"Explain a rule, or with all list the rules, without an org."`

	orgFlags  `embed:""`
	callFlags `embed:""`

	ledger *ledger
}

func (auditCmd) Help() string {
	return `Lists all Connected Apps and External Client Apps of an org, with their users, flows, run-as users and last use, and the settings and permissions around them. Reports findings by rule, the most dangerous first, each with a fix. eca reads no token and no secret, and writes nothing to the org.

In a project, eca also reports apps that no package declares and settings that differ from the project. audit.rules and audit.accept in plugins.eca configure the rules.

  eca audit -o prod -o uat --format html --output audit.html`
}

// auditReport is what --json says of one org.
type auditReport struct {
	Org      string `json:"org"`
	Username string `json:"username,omitempty"`
	Sentence string `json:"sentence"` // the one that counts first
	Errors   int    `json:"errors"`
	Warnings int    `json:"warnings"`
	// Known are the findings that the baseline has already; they are not among Findings.
	Known []audit.Finding `json:"known,omitempty"`
	*audit.Report
}

// check checks the flags before an org is asked.
func (c *auditCmd) check(e *env) error {
	if err := c.callFlags.Check(); err != nil {
		return err
	}
	if c.Output != "" && c.Format == "text" {
		return usage.Errorf("--output goes with --format json, sarif, csv or html")
	}
	if c.pages() && c.Output == "" {
		return usage.Errorf("--profile isv --format html writes a page per app: name a directory with --output")
	}
	files := map[string]string{"--fix-plan": c.FixPlan, "--output": c.Output}
	if c.pages() {
		delete(files, "--output")
	}
	for flag, file := range files {
		if file == "" {
			continue
		}
		if err := atomicfile.Check(file, atomicfile.Options{}); err != nil {
			return usage.Errorf("%s: %w", flag, outputError(file, err))
		}
	}
	_, err := c.notifiers(e)
	return err
}

// pages reports whether a page per app is written.
func (c *auditCmd) pages() bool { return c.Profile == "isv" && c.Format == "html" }

func (c *auditCmd) run(ctx context.Context, e *env) (result, error) {
	if c.Explain != "" {
		return explainRules(e, "audit", c.Explain, audit.Rules())
	}
	if err := c.check(e); err != nil {
		return nil, err
	}
	known, err := readBaseline(c.Baseline)
	if err != nil {
		return nil, err
	}
	if c.ledger, err = readLedger(c.Ledger); err != nil {
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
			return counts(r.Errors, r.Warnings)
		},
		Ended: func(r *auditReport) string { return ": " + r.Sentence },
		Do: func(ctx context.Context, org string, work *orgs.Work) (*auditReport, error) {
			return orgs.On(ctx, e.Env, work, &c.callFlags, org, func(ctx context.Context, session *orgauth.Session, conn *salesforce.Conn) (*auditReport, error) {
				defer stillReading(work, recorded, org)()
				return c.audit(ctx, proj, org, known, session, conn)
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
	a := &auditOutput{auditCmd: c, targets: targets, reports: reports, failures: failures, command: advice.Audit(proj.declared != nil)}
	written, writeErr := a.write(e, r)
	if writeErr == nil {
		writeErr = a.send(ctx, e)
	}
	if writeErr != nil {
		return r, writeErr
	}
	if err == nil {
		err = a.verdict()
	}
	return written, err
}

// recorded is what an audit reads of an org.
const recorded = "apps, tokens, logins and settings"

// stillReading prints that something of an org is being read, and again every ten seconds until the function that it
// returns is called.
func stillReading(work *orgs.Work, what, org string) (stop func()) {
	done := make(chan struct{})
	work.Line("reading the %s of %s", what, org)
	var group sync.WaitGroup
	group.Go(func() {
		ticker := time.NewTicker(10 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ticker.C:
				work.Line("still reading %s, %s so far", org, console.Plural(work.Requests(), "request"))
			case <-done:
				return
			}
		}
	})
	return func() { close(done); group.Wait() }
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
	p := &auditProject{declared: headersOf(fsys, proj.Project), settings: proj.Settings.Audit}
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
func (c *auditCmd) audit(ctx context.Context, p *auditProject, org string, known *audit.Baseline, session *orgauth.Session, conn *salesforce.Conn) (*auditReport, error) {
	options := audit.Options{Rules: p.settings.Rules, Declared: p.declared, Username: session.Username, ISV: c.Profile == "isv",
		Rotated: func(app, key string) time.Time { return c.ledger.last(conn.InstanceURL, app, key) }}
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
	command := advice.Audit(p.declared != nil)
	for i := range report.Findings {
		f := &report.Findings[i]
		f.Command, _ = command(*f, org, []string{f.App})
	}
	if unseen != "" {
		report.Unseen = append(report.Unseen, unseen)
	}
	if len(c.App) > 0 {
		if err := report.Only(c.App...); err != nil {
			return nil, err
		}
	}
	r := &auditReport{Org: org, Username: session.Username, Sentence: report.Sentence(), Report: report}
	report.Findings = slices.DeleteFunc(report.Findings, func(f audit.Finding) bool {
		old := known.Has(org, report.OrgID, f)
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
				drift[app.Name] = append(drift[app.Name], audit.Change{Field: change.Field, What: fmt.Sprintf("%s, and %s in the project", quoted(change.From), quoted(change.To))})
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

// readBaseline reads the findings of an earlier run; nil without a file.
func readBaseline(name string) (*audit.Baseline, error) {
	if name == "" {
		return nil, nil
	}
	fail := func(why string) (*audit.Baseline, error) {
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
	known, err := audit.ReadBaseline(data)
	if err != nil {
		return fail("is not what eca audit --format json writes")
	}
	return known, nil
}
