package bootstrap

import (
	"context"
	"errors"
	"net/http"
	"slices"

	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/restapi"
)

// Options says what Run does, and where.
type Options struct {
	Source  *Source
	Session *orgauth.Session

	// Alias is the org's alias by which environments are chosen. "" stands for
	// the session's own.
	Alias string

	// Version is the API version of all calls. It decides which fields can be stated.
	Version metadata.Version

	// HTTPClient sends the requests; nil stands for http.DefaultClient.
	HTTPClient *http.Client

	// PlanOnly ends the run before anything is written.
	PlanOnly bool

	// Started, where it is not nil, is called once: when the input is found good
	// and the org is about to be called, or, where the org's kind decides about
	// the input, right after that. The report has no components then.
	Started func(*Report)
}

// Run brings the apps of a source to an org: it resolves what is wanted, reads
// what is there, writes what differs, and reads that back. The report says what
// was found and done as far as the run came; it is not nil once Started was
// called, also where there is an error.
func Run(ctx context.Context, options Options) (*Report, error) {
	session := options.Session
	target := Target{
		Username: session.Username, Alias: options.Alias,
		DomainURL: session.InstanceURL, Version: options.Version,
	}
	if target.Alias == "" {
		target.Alias = session.Alias
	}
	kind := session.Kind
	if kind != orgauth.Unknown {
		sandbox := kind.IsSandbox()
		target.Sandbox = &sandbox
	}
	resolved, err := options.Source.Resolve(target)
	unknownKind := errors.Is(err, ErrKindNeeded)
	if err != nil && !unknownKind {
		return nil, err
	}
	org := &Org{Metadata: &mdapi.Client{InstanceURL: session.InstanceURL, Version: options.Version, Tokens: session, HTTPClient: options.HTTPClient}}
	var found *state
	if unknownKind {
		// Both cases are resolved, so that the org can be read while it is asked
		// which of them it is. Where neither is right, nothing is sent.
		asSandbox, sandboxErr := options.Source.resolveAs(target, true)
		asProduction, productionErr := options.Source.resolveAs(target, false)
		if sandboxErr != nil && productionErr != nil {
			return nil, sandboxErr
		}
		rest := &restapi.Client{InstanceURL: session.InstanceURL, Version: options.Version, Tokens: session, HTTPClient: options.HTTPClient}
		var facts restapi.Organization
		apps := slices.Concat(names(asSandbox.Apps), names(asProduction.Apps))
		slices.Sort(apps)
		found, err = org.gather(ctx, slices.Compact(apps), func(ctx context.Context) (err error) {
			facts, err = rest.Organization(ctx)
			return err
		})
		if err != nil {
			return nil, err
		}
		kind = kindOf(facts)
		if resolved, err = asProduction, productionErr; facts.IsSandbox {
			resolved, err = asSandbox, sandboxErr
		}
		if err != nil {
			return nil, err
		}
	}
	report := newReport(options, target, kind, resolved)
	if options.Started != nil {
		options.Started(report)
	}
	if len(resolved.Apps) == 0 {
		return report, nil
	}
	if found == nil {
		if found, err = org.gather(ctx, names(resolved.Apps), nil); err != nil {
			return report, err
		}
	}
	plan := newPlan(found, resolved.Apps, target.DomainURL)
	plan.frugal = unknownKind
	if options.PlanOnly {
		err = plan.stopped(org.headers(ctx, plan))
	} else {
		err = org.Apply(ctx, plan)
	}
	report.add(plan)
	return report, err
}

// resolveAs resolves as if the org's kind were known. Its result is never nil.
func (s *Source) resolveAs(target Target, sandbox bool) (*Resolved, error) {
	target.Sandbox = &sandbox
	resolved, err := s.Resolve(target)
	if err != nil {
		return new(Resolved), err
	}
	return resolved, nil
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
