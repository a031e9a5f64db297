package bootstrap

import (
	"slices"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/wanted"
)

// PreflightError reports that the platform is certain to refuse the environment's policies.
type PreflightError struct {
	Findings []finding.Finding // the findings of level Error, at least one
}

func (e *PreflightError) Error() string {
	return e.Findings[0].Place() + ": " + e.Findings[0].Message()
}

// certain returns a *PreflightError for the findings of level Error, or nil.
func certain(findings []finding.Finding) error {
	findings = slices.DeleteFunc(slices.Clone(findings), func(f finding.Finding) bool { return f.Level != finding.Error })
	if len(findings) == 0 {
		return nil
	}
	return &PreflightError{findings}
}

// inSource returns the findings that need no org. Fields are compared with the version of the run. If the
// project's is newer, sfp may still deploy what the run could not send, so nothing is certain.
func inSource(apps []*wanted.App, target wanted.Target, source *wanted.Source) (all []finding.Finding) {
	deployed := target.Version
	if source.Version > target.Version {
		deployed = 0
	}
	for _, app := range apps {
		for _, p := range app.Preflights(target.Undeployed) {
			all = append(all, p.Source(deployed, target.Version)...)
		}
	}
	return all
}

// inOrg returns the findings for the policies on the org.
func (e *engine) inOrg(target wanted.Target, source *wanted.Source) (all []finding.Finding) {
	for _, app := range e.apps {
		org := preflight.Org{
			Facts: e.facts, Granted: len(e.grants[app]) > 0,
			Find:              func(typ string) *metadata.Component { return e.find(app, typ) },
			Will:              func(typ string) *metadata.Component { return e.will(app, typ) },
			PermissionSetFile: source.PermissionSetFile, Creates: e.creates,
		}
		for _, p := range app.Preflights(target.Undeployed) {
			all = append(all, p.Org(org)...)
		}
	}
	return all
}
