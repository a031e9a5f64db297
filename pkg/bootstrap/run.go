package bootstrap

import (
	"cmp"
	"context"
	"errors"
	"slices"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/reconcile"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Options says what Run does, and what is known of the org. The zero value brings the OAuth
// settings to an org of which nothing is known but the connection.
type Options struct {
	// Username is whose session it is, "" where nobody knows. It fills in the run-as user
	// of a scratch org's policies.
	Username string

	// Alias is the org's alias, by which environments are chosen, as sfp has it.
	Alias string

	// OrgID is the org's ID, for the report.
	OrgID string

	// Kind is what sort of org it is. Where it is not known, the org is asked first.
	Kind salesforce.Kind

	// PlanOnly ends the run before anything is written.
	PlanOnly bool

	// ApplyPolicies brings the environment's OAuth policies to the org, whatever
	// the project says. Otherwise sfp deploys them next.
	ApplyPolicies bool

	// Pool says that the run is for a scratch org of a pool: nobody deploys
	// policies after it, and an app whose header is not on the org is left alone,
	// because a pool need not install every package.
	Pool bool

	// Started, where it is not nil, is called once: when the input is found good and the
	// org's components are about to be read. The report has no components then.
	Started func(*Report)
}

// Run brings the apps of a source to an org: it resolves what is wanted, reads
// what is there, writes what differs, and reads that back. The report says what
// was found and done as far as the run came; it is not nil once Started was
// called, also where there is an error.
//
// The connection's version is that of all calls and decides which fields can be stated; 0
// is the source's, or else apiversion.Latest. Transient failures are retried within the
// budget of its Retry. A write whose answer was lost is looked up before it is sent again.
//
// Where the policies of the environment are certain to be refused, the error is,
// or joins, a *PreflightError. If that shows without the org, nothing is sent.
func Run(ctx context.Context, conn *salesforce.Conn, source *Source, options Options) (*Report, error) {
	if conn == nil || source == nil {
		return nil, errors.New("a bootstrap needs a connection to an org and a source")
	}
	instance, err := salesforce.ParseInstance(conn.InstanceURL)
	if err != nil {
		return nil, err
	}
	complete := *conn
	complete.InstanceURL = instance.String()
	complete.Version = cmp.Or(conn.Version, source.Version, apiversion.Latest)
	conn = &complete
	kind := options.Kind
	if kind == salesforce.Unknown {
		facts, err := (&restapi.Client{Conn: conn}).Organization(ctx)
		if err != nil {
			return nil, err
		}
		kind = facts.Kind()
	}
	target := Target{
		Username: options.Username, Alias: options.Alias, Kind: kind,
		DomainURL: conn.InstanceURL, Version: conn.Version,
		ApplyPolicies: options.ApplyPolicies, Undeployed: options.Pool,
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
	case resolved.Preflight == eca.PreflightFail:
		doomed := e.inOrg(target, source)
		err = e.apply(ctx, func(app *App) bool {
			return slices.ContainsFunc(doomed, func(f finding.Finding) bool { return f.Level == finding.Error && f.App == app.Name })
		})
	default:
		err = e.apply(ctx, func(*App) bool { return false })
	}
	err = e.failures(err)
	report.Findings = append(report.Findings, e.inOrg(target, source)...)
	report.add(e)
	if resolved.Preflight == eca.PreflightFail {
		err = join(err, certain(report.Findings))
	}
	return report, err
}

// sound looks at what is wrong with the policies, as far as the source shows it.
func sound(report *Report, apps []*App, target Target, source *Source, preflight eca.Preflight) error {
	report.Findings = inSource(apps, target, source)
	for _, app := range apps {
		if app.wrong != nil {
			return app.wrong
		}
	}
	if preflight == eca.PreflightFail && !report.PlanOnly {
		return certain(report.Findings)
	}
	return nil
}

// plan completes a plan: of apps that components are to be made for, the header has to be
// there.
func (e *engine) plan(ctx context.Context) (err error) {
	var fresh []*App
	for _, app := range e.apps {
		if e.run.Of(app.wants[eca.OAuthSettings]).Action == reconcile.Create {
			fresh = append(fresh, app)
		}
	}
	if e.absent, err = e.withoutHeader(ctx, fresh); err != nil {
		e.absent = nil
	}
	return err
}

// join joins errors as errors.Join does, without putting one join into another.
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
