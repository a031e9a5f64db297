package bootstrap

import (
	"slices"
	"strings"

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
		policies := app.Preflights(target.Undeployed)
		for _, p := range policies {
			all = append(all, p.Org(org)...)
		}
		all = append(all, e.use(app, policies, source)...)
	}
	return all
}

// use returns the findings about the app's settings and policies together, as warnings: the org accepts
// what they are about.
func (e *engine) use(app *wanted.App, policies []*preflight.Policies, source *wanted.Source) (all []finding.Finding) {
	value := func(typ, field string) (v preflight.Value) {
		if c := e.will(app, typ); c != nil {
			v.Text = strings.TrimSpace(c.Text(field))
		}
		if file := app.File(typ); file != "" && !app.Wanted[typ].Has(field) {
			v.File, v.At = file, field
			return v
		}
		v.Setting = source.Settings().Apps[app.Name].Key(typ) + "." + field
		v.File, v.At = source.File(), "plugins.eca.apps."+app.Name+"."+v.Setting
		return v
	}
	for _, p := range (preflight.Use{App: app.Name, Value: value, Policies: policies, Off: e.unused[app], CodeCredentialsOff: e.codeCredentialsOff}).Check() {
		p.Level = finding.Warning
		all = append(all, p.Finding)
	}
	return all
}
