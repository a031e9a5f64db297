package bootstrap

import (
	"slices"

	"github.com/ecakit/ecakit/pkg/access"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
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

// preflights returns the app's policies for the preflight.
func (a *App) preflights(undeployed bool) (all []*preflight.Policies) {
	if !a.checked {
		return nil
	}
	for i, file := range a.policies {
		p := &preflight.Policies{
			App: a.Name, Component: file.Component, File: file.File, Applied: a.applied(), Replaced: a.replaced,
			Package: file.Package, LeftOut: undeployed || file.Ignored, Plugins: file.place.plugins,
		}
		if i > 0 {
			p.First = all[0]
		}
		all = append(all, p)
	}
	return all
}

// inSource returns the findings that need no org.
func inSource(apps []*App, target Target, source *Source) (all []finding.Finding) {
	for _, app := range apps {
		for _, p := range app.preflights(target.Undeployed) {
			all = append(all, p.Source(source.Version, target.Version)...)
		}
	}
	return all
}

// inOrg returns the findings for the policies on the org.
func (e *engine) inOrg(target Target, source *Source) (all []finding.Finding) {
	for _, app := range e.apps {
		org := preflight.Org{
			Facts: e.facts, Wanted: app.Wanted, Granted: len(e.grants[app]) > 0,
			Find:              func(typ string) *metadata.Component { return e.find(app, typ) },
			PermissionSetFile: source.permissionSetFile,
		}
		for _, p := range app.preflights(target.Undeployed) {
			all = append(all, p.Org(org)...)
		}
	}
	return all
}

// references returns the names that the apps' settings and policies refer to.
func references(apps []*App) (names access.Names) {
	for _, app := range apps {
		if len(app.PermissionSets) > 0 {
			names.PermissionSets = append(names.PermissionSets, app.PermissionSets...)
			names.Apps = append(names.Apps, app.Name)
			names.Users = append(names.Users, app.assignee())
			names.Assignees = append(names.Assignees, app.assignee())
		}
		if !app.checked {
			continue
		}
		for _, file := range app.policies {
			if eca.Bool(file.Component, "isClientCredentialsFlowEnabled") {
				names.Users = append(names.Users, file.Text("clientCredentialsFlowUser"))
			}
			names.PermissionSets = append(names.PermissionSets, metadata.Items(file.Text("commaSeparatedPermissionSet"))...)
			names.Profiles = append(names.Profiles, metadata.Items(file.Text("commaSeparatedProfile"))...)
			if preflight.PreAuthorisedOnly(file.Component) {
				names.Apps = append(names.Apps, app.Name)
			}
		}
	}
	return names
}
