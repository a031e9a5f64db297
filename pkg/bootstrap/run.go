package bootstrap

import (
	"context"
	"errors"
	"slices"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// Options configure Run and describe the org. The zero value bootstraps the OAuth settings of
// an unknown org.
type Options struct {
	// Username is the user of the session, "" if unknown. It replaces the placeholder for the
	// run-as user in policies for scratch orgs.
	Username string

	// Alias is the org's alias, which selects the environment, as in sfp.
	Alias string

	// OrgID is the org's ID, "" if unknown. It tells the platform's values of this org in source from
	// those of others.
	OrgID string

	// ClientID is the consumer key with which the session logged in, "" if unknown. The run does not
	// take that app's own login away.
	ClientID string

	// Consumers are keys and secrets that new consumers should get, by the app's name: those that the apps
	// had before a sandbox was refreshed. Existing consumers stay as they are.
	Consumers map[string]login.Credentials

	// Kind is the org's kind. If it is unknown, Run queries the org first.
	Kind platform.Kind

	// ApplyPolicies writes the environment's OAuth policies to the org, whatever the project
	// says. Otherwise sfp deploys them next.
	ApplyPolicies bool

	// Headers brings the apps' headers as well, which sfp deploys otherwise.
	Headers bool

	// Pool declares the org a scratch org of a pool. Nobody deploys policies after the run. An
	// app without a header on the org is skipped, because a pool need not install every
	// package.
	Pool bool
}

// Resolved is what a source wants of one org. It is the first of three steps, which Run takes at
// once: Resolve reads the input, Plan reads the org, Apply writes to it.
type Resolved struct {
	conn     *salesforce.Conn
	source   *wanted.Source
	options  Options
	target   wanted.Target
	resolved *wanted.Resolved
	findings []finding.Finding // of the source alone
	invalid  error
}

// Resolve selects the environment of an org and returns what the source wants there. It sends one
// request if the org's kind is unknown, and none otherwise.
//
// conn.Version is the API version of all calls and determines the fields that can be stated, whatever
// the sourceApiVersion of the project. conn.Retry retries transient failures.
func Resolve(ctx context.Context, conn *salesforce.Conn, source *wanted.Source, options Options) (*Resolved, error) {
	if conn == nil || source == nil {
		return nil, errors.New("a bootstrap needs a connection to an org and a source")
	}
	instance, err := platform.ParseInstance(conn.InstanceURL)
	if err != nil {
		return nil, err
	}
	complete := *conn
	complete.InstanceURL = instance.String()
	complete.Version = conn.APIVersion()
	r := &Resolved{conn: &complete, source: source, options: options}
	if r.options.Kind == platform.Unknown {
		facts, err := (&restapi.Client{Conn: r.conn}).Organization(ctx)
		if err != nil {
			return nil, err
		}
		r.options.Kind = facts.Kind()
	}
	r.target = wanted.Target{
		Username: options.Username, Alias: options.Alias, OrgID: options.OrgID, Kind: r.options.Kind,
		DomainURL: r.conn.InstanceURL, Version: r.conn.Version,
		ApplyPolicies: options.ApplyPolicies, Headers: options.Headers, Undeployed: options.Pool,
	}
	if r.resolved, err = source.Resolve(r.target); err != nil {
		return nil, err
	}
	if !options.Pool { // which may lack apps, so Plan checks those that it has
		r.check(r.resolved.Apps)
	}
	return r, nil
}

// check finds out what the source alone shows about the policies of apps.
func (r *Resolved) check(apps []*wanted.App) {
	r.findings = inSource(apps, r.target, r.source)
	for _, app := range apps {
		for _, err := range app.CheckNames() {
			r.invalid = join(r.invalid, err)
		}
		r.invalid = join(r.invalid, app.Wrong)
	}
}

// Err returns why the source cannot be applied to any org: names that the platform refuses, policies that cannot be
// applied, or a *PreflightError if the platform is certain to refuse them; nil if not.
func (r *Resolved) Err() error {
	if !r.strict() {
		return r.invalid
	}
	return join(r.invalid, certain(r.findings))
}

// strict reports whether what the platform is certain to refuse fails the run.
func (r *Resolved) strict() bool { return r.resolved.Preflight == project.PreflightFail }

// Report returns what the run is about, before the org is read. It has no components.
func (r *Resolved) Report() *Report {
	report := newReport(r)
	report.Findings = slices.Clone(r.findings)
	for _, err := range flat(r.invalid) {
		report.Invalid = append(report.Invalid, err.Error())
	}
	return report
}

// Plan is the difference between an org and what a source wants there.
type Plan struct {
	resolved *Resolved
	engine   *engine // nil without an app
	findings []finding.Finding
	refused  map[string]bool // apps whose policies the platform is certain to refuse
	shared   []*wanted.App   // apps that use the consumer of another org, which are left alone
}

// Plan reads the org and compares. It writes nothing.
func (r *Resolved) Plan(ctx context.Context) (*Plan, error) {
	p := &Plan{resolved: r, refused: make(map[string]bool)}
	if len(r.resolved.Apps) == 0 {
		return p, nil
	}
	e := &engine{
		conn: r.conn, apps: r.resolved.Apps, pool: r.options.Pool,
		orgID: r.options.OrgID, clientID: r.options.ClientID, consumers: r.options.Consumers,
	}
	if err := e.gather(ctx); err != nil {
		return nil, err
	}
	p.shared = e.leaveShared()
	if err := e.guard(ctx); err != nil {
		return nil, err
	}
	e.start()
	p.engine = e
	if r.options.Pool {
		r.check(e.apps)
	}
	p.findings = e.inOrg(r.target, r.source)
	lasting := make(map[string]bool) // a permission set may come with the deployment after the run
	for _, f := range slices.Concat(r.findings, p.findings) {
		if f.Level == finding.Error && r.strict() {
			p.refused[f.App] = true
			lasting[f.App] = lasting[f.App] || f.Rule == preflight.ProfileRule
		}
	}
	e.hold(func(app *wanted.App) bool { return app.Applied() && p.refused[app.Name] || lasting[app.Name] })
	return p, nil
}

// Err returns why Apply would fail, as far as the plan shows it: policies that cannot be applied,
// components that cannot be written, a *NoHeaderError or a *PreflightError. Otherwise it is nil.
func (p *Plan) Err() error {
	r := p.resolved
	err := r.invalid
	if p.engine != nil {
		err = join(err, p.engine.failures(nil, p.engine.pending))
	}
	if r.strict() {
		err = join(err, certain(slices.Concat(r.findings, p.findings)))
	}
	return err
}

// Report returns the plan for people and programs.
func (p *Plan) Report() *Report {
	report := p.resolved.Report()
	report.PlanOnly = true
	report.Findings = append(report.Findings, p.findings...)
	p.add(report)
	return report
}

// add adds the results to a report.
func (p *Plan) add(report *Report) {
	if p.engine != nil {
		report.add(p.engine, p.refused)
	}
	for _, app := range p.shared {
		into := report.app(app.Name)
		into.Warnings = append(into.Warnings, "its OAuth settings link to the consumer of another org, so the app is left alone")
	}
}

// Apply writes the differences and reads them back. The report covers everything up to an error. A
// write with a lost answer is looked up before it is sent again. Apply must be called at most once.
//
// Nothing is sent of an app without a header, or with OAuth policies to write that the platform is
// certain to refuse. The error is or joins a *NoHeaderError or a *PreflightError then. If the source
// alone shows it, Apply sends nothing at all.
func (p *Plan) Apply(ctx context.Context) (*Report, error) {
	r, e := p.resolved, p.engine
	if err := r.Err(); err != nil || e == nil {
		return r.Report(), err
	}
	err := e.failures(e.apply(ctx), nil)
	report := r.Report()
	report.Findings = append(report.Findings, e.inOrg(r.target, r.source)...)
	p.add(report)
	if r.strict() {
		err = join(err, certain(report.Findings))
	}
	return report, err
}

// Run bootstraps the apps of a source on an org: Resolve, Plan and Apply. The report is not nil once
// the source is resolved, even with an error. If the source alone shows that it cannot be applied,
// Run does not read the org.
func Run(ctx context.Context, conn *salesforce.Conn, source *wanted.Source, options Options) (*Report, error) {
	resolved, err := Resolve(ctx, conn, source, options)
	if err != nil {
		return nil, err
	}
	if err := resolved.Err(); err != nil {
		return resolved.Report(), err
	}
	plan, err := resolved.Plan(ctx)
	if err != nil {
		return resolved.Report(), err
	}
	return plan.Apply(ctx)
}

// join joins two errors like errors.Join, but flat.
func join(err, more error) error {
	if more == nil {
		return err
	}
	if err == nil {
		return more
	}
	return errors.Join(append(slices.Clone(flat(err)), more)...)
}

// flat returns the errors that were joined, none for nil.
func flat(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	if err == nil {
		return nil
	}
	return []error{err}
}
