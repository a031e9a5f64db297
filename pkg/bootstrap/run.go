package bootstrap

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"

	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/restapi"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// Options says what Run does, and where.
type Options struct {
	Source  *Source
	Session *orgauth.Session

	// Alias is the org's alias by which environments are chosen. "" stands for
	// the session's own.
	Alias string

	// Version is the API version of all calls. It decides which fields can be stated.
	Version apiversion.Version

	// HTTPClient sends the requests; nil stands for http.DefaultClient.
	HTTPClient *http.Client

	// PlanOnly ends the run before anything is written.
	PlanOnly bool

	// ApplyPolicies brings the environment's OAuth policies to the org, whatever
	// the project says. Otherwise sfp deploys them next.
	ApplyPolicies bool

	// Pool says that the run is for a scratch org of a pool: nobody deploys
	// policies after it, and an app whose header is not on the org is left alone,
	// because a pool need not install every package.
	Pool bool

	// Patience is for faults that pass. Writes whose answer was lost are looked up
	// before they are sent again.
	Patience Patience

	// Started, where it is not nil, is called once: when the input is found good
	// and the org is about to be called, or, where the org's kind decides about
	// the input, right after that. The report has no components then.
	Started func(*Report)
}

// Run brings the apps of a source to an org: it resolves what is wanted, reads
// what is there, writes what differs, and reads that back. The report says what
// was found and done as far as the run came; it is not nil once Started was
// called, also where there is an error.
//
// Where the policies of the environment are certain to be refused, the error is,
// or joins, a *PreflightError. If that shows without the org, nothing is sent.
func Run(ctx context.Context, options Options) (*Report, error) {
	session := options.Session
	target := Target{
		Username: session.Username, Alias: options.Alias,
		DomainURL: session.InstanceURL, Version: options.Version,
		ApplyPolicies: options.ApplyPolicies, Undeployed: options.Pool,
	}
	if target.Alias == "" {
		target.Alias = session.Alias
	}
	kind := session.Kind
	if kind != orgauth.Unknown {
		target = target.as(kind)
	}
	resolved, err := options.Source.Resolve(target)
	unknownKind := errors.Is(err, ErrKindNeeded)
	if err != nil && !unknownKind {
		return nil, err
	}
	org := &Org{
		Metadata: &mdapi.Client{InstanceURL: session.InstanceURL, Version: options.Version, Tokens: session, HTTPClient: options.HTTPClient},
		REST:     &restapi.Client{InstanceURL: session.InstanceURL, Version: options.Version, Tokens: session, HTTPClient: options.HTTPClient},
		Patience: options.Patience,
	}
	var found *state
	if unknownKind {
		// All cases are resolved, so that the org can be read while it is asked which
		// of them it is. Where none is right, nothing is sent.
		cases := make(map[orgauth.Kind]*Resolved)
		errs := make(map[orgauth.Kind]error)
		var apps []*App
		fit := 0
		for _, kind := range []orgauth.Kind{orgauth.Sandbox, orgauth.Scratch, orgauth.Production} {
			if cases[kind], errs[kind] = options.Source.Resolve(target.as(kind)); errs[kind] == nil {
				apps = append(apps, cases[kind].Apps...)
				fit++
			}
		}
		if fit == 0 {
			return nil, errs[orgauth.Sandbox]
		}
		var facts restapi.Organization
		found, err = org.gather(ctx, apps, func(ctx context.Context) (err error) {
			facts, err = read(ctx, org, func() (restapi.Organization, error) { return org.REST.Organization(ctx) })
			return err
		})
		if err != nil {
			return nil, err
		}
		kind = kindOf(facts)
		if resolved, err = cases[kind], errs[kind]; err != nil {
			return nil, err
		}
		target = target.as(kind)
	}
	report := newReport(options, target, kind, resolved)
	if options.Started != nil {
		options.Started(report)
	}
	if len(resolved.Apps) == 0 {
		return report, nil
	}
	// sound looks at what is wrong with the policies, as far as the source shows it.
	var findings []Finding
	sound := func() error {
		findings = inSource(resolved.Apps, target, options.Source)
		report.Findings = findings
		for _, app := range resolved.Apps {
			if app.wrong != nil {
				return app.wrong
			}
		}
		if resolved.Preflight == sfp.PreflightFail && !options.PlanOnly {
			return certain(findings)
		}
		return nil
	}
	if !options.Pool {
		if err := sound(); err != nil {
			return report, err
		}
	}
	headers := func(context.Context) error { return nil }
	var onOrg []*metadata.Component
	if options.Pool {
		headers = func(ctx context.Context) (err error) {
			var names []string
			for _, app := range resolved.Apps {
				names = append(names, app.Name)
			}
			onOrg, err = org.onOrg(ctx, names)
			return err
		}
	}
	if found == nil {
		found, err = org.gather(ctx, resolved.Apps, headers)
	} else {
		err = headers(ctx)
	}
	if err != nil {
		return report, err
	}
	if options.Pool {
		resolved.Apps = slices.DeleteFunc(resolved.Apps, func(app *App) bool {
			absent := !slices.ContainsFunc(onOrg, func(c *metadata.Component) bool { return strings.EqualFold(c.FullName, app.Name) })
			if absent {
				report.absent(app.Name)
			}
			return absent
		})
		if err := sound(); err != nil {
			return report, err
		}
	}
	plan := newPlan(found, resolved.Apps, target.DomainURL)
	plan.frugal = unknownKind
	if options.PlanOnly {
		err = plan.stopped(org.headers(ctx, plan))
	} else {
		if resolved.Preflight == sfp.PreflightFail {
			plan.hold(plan.inOrg(target, options.Source))
		}
		err = org.Apply(ctx, plan)
	}
	report.Findings = append(findings, plan.inOrg(target, options.Source)...)
	report.add(plan)
	if resolved.Preflight == sfp.PreflightFail {
		err = join(err, certain(report.Findings))
	}
	return report, err
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

// hold keeps policies from being sent that are certain to be refused.
func (p *Plan) hold(findings []Finding) {
	for _, app := range p.Apps {
		app.App.held = slices.ContainsFunc(findings, func(f Finding) bool { return f.Certain && f.App == app.App.Name })
	}
}

// as returns the target as an org of that kind.
func (t Target) as(kind orgauth.Kind) Target {
	sandbox, scratch := kind.IsSandbox(), kind == orgauth.Scratch
	t.Sandbox, t.Scratch = &sandbox, &scratch
	return t
}

func kindOf(facts restapi.Organization) orgauth.Kind {
	switch {
	case facts.IsScratch():
		return orgauth.Scratch
	case facts.IsSandbox:
		return orgauth.Sandbox
	}
	return orgauth.Production
}
