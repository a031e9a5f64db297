package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/platform"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/reconcile"
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

	// OrgID is the org's ID, for the report.
	OrgID string

	// Kind is the org's kind. If it is unknown, Run queries the org first.
	Kind platform.Kind

	// PlanOnly ends the run before it writes anything.
	PlanOnly bool

	// ApplyPolicies writes the environment's OAuth policies to the org, whatever the project
	// says. Otherwise sfp deploys them next.
	ApplyPolicies bool

	// Headers brings the apps' headers as well, which sfp deploys otherwise.
	Headers bool

	// Pool declares the org a scratch org of a pool. Nobody deploys policies after the run. An
	// app without a header on the org is skipped, because a pool need not install every
	// package.
	Pool bool

	// Started, if not nil, is called once, after the input is found valid and before the org's
	// components are read. The report then has no components.
	Started func(*Report)
}

// Run bootstraps the apps of a source on an org: it resolves the wanted state, reads the org,
// writes the differences and reads them back. The report covers everything up to an error. It
// is not nil once Started was called, even with an error.
//
// conn.Version is the API version of all calls and determines the fields that can be stated; 0
// means the source's version, or else apiversion.Latest. conn.Retry retries transient failures.
// A write with a lost answer is looked up before it is sent again.
//
// If the platform is certain to refuse the environment's policies, the error is or joins a
// *PreflightError. If the source alone shows it, Run sends nothing.
func Run(ctx context.Context, conn *salesforce.Conn, source *wanted.Source, options Options) (*Report, error) {
	if conn == nil || source == nil {
		return nil, errors.New("a bootstrap needs a connection to an org and a source")
	}
	instance, err := platform.ParseInstance(conn.InstanceURL)
	if err != nil {
		return nil, err
	}
	complete := *conn
	complete.InstanceURL = instance.String()
	complete.Version = cmp.Or(conn.Version, source.Version, apiversion.Latest)
	conn = &complete
	kind := options.Kind
	if kind == platform.Unknown {
		facts, err := (&restapi.Client{Conn: conn}).Organization(ctx)
		if err != nil {
			return nil, err
		}
		kind = facts.Kind()
	}
	target := wanted.Target{
		Username: options.Username, Alias: options.Alias, Kind: kind,
		DomainURL: conn.InstanceURL, Version: conn.Version,
		ApplyPolicies: options.ApplyPolicies, Headers: options.Headers, Undeployed: options.Pool,
	}
	resolved, err := source.Resolve(target)
	if err != nil {
		return nil, err
	}
	report := newReport(conn, source, options, kind, resolved)
	if options.Started != nil {
		options.Started(report)
	}
	if len(resolved.Apps) == 0 {
		return report, nil
	}
	e := &engine{conn: conn, apps: resolved.Apps}
	if !options.Pool {
		if err := sound(report, e.apps, target, source, resolved.Preflight); err != nil {
			return report, err
		}
	}
	if err := e.gather(ctx, options.Pool); err != nil {
		return report, err
	}
	for app, absent := range e.absent {
		report.app(app.Name).Absent = absent
	}
	e.start()
	if options.Pool {
		if err := sound(report, e.apps, target, source, resolved.Preflight); err != nil {
			return report, err
		}
	}
	switch {
	case options.PlanOnly:
		err = e.plan(ctx)
	case resolved.Preflight == project.PreflightFail:
		doomed := e.inOrg(target, source)
		err = e.apply(ctx, func(app *wanted.App) bool {
			return slices.ContainsFunc(doomed, func(f finding.Finding) bool { return f.Level == finding.Error && f.App == app.Name })
		})
	default:
		err = e.apply(ctx, func(*wanted.App) bool { return false })
	}
	err = e.failures(err)
	report.Findings = append(report.Findings, e.inOrg(target, source)...)
	report.add(e)
	if resolved.Preflight == project.PreflightFail {
		err = join(err, certain(report.Findings))
	}
	return report, err
}

// sound returns an error if the source alone shows that the policies cannot work.
func sound(report *Report, apps []*wanted.App, target wanted.Target, source *wanted.Source, preflight project.Preflight) error {
	report.Findings = inSource(apps, target, source)
	for _, app := range apps {
		if app.Wrong != nil {
			return app.Wrong
		}
	}
	if preflight == project.PreflightFail && !report.PlanOnly {
		return certain(report.Findings)
	}
	return nil
}

// plan completes a plan: it marks apps as absent whose components are new and whose header is
// missing.
func (e *engine) plan(ctx context.Context) (err error) {
	var fresh []*wanted.App
	for _, app := range e.apps {
		for _, g := range e.grants[app] {
			if app.Wants[eca.Header] != nil && lacksApp(g) {
				g.Err = nil // by then it is there
			}
		}
		if app.Wants[eca.Header] == nil && e.run.Of(app.Wants[eca.OAuthSettings]).Action == reconcile.Create {
			fresh = append(fresh, app)
		}
	}
	if e.absent, err = e.withoutHeader(ctx, fresh); err != nil {
		e.absent = nil
	}
	return err
}

// join joins two errors like errors.Join, but flat.
func join(err, more error) error {
	if more == nil {
		return err
	}
	if err == nil {
		return more
	}
	all := []error{err}
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		all = joined.Unwrap()
	}
	return errors.Join(append(slices.Clone(all), more)...)
}
