// Package wanted determines the wanted state of an org: the External Client Apps of a project's
// packages, their settings, and the OAuth policies of the org's environment. It asks no org.
//
//	source, err := wanted.Load(wanted.Location{Project: os.DirFS("."), Package: "eca-definition"})
//	resolved, err := source.Resolve(wanted.Target{Alias: "uat"})
//
// Load reads the project and its artifacts once. Resolve is pure: it selects the environment by
// the org's alias, for as many orgs as there are.
package wanted

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/project"
)

// App is one app and its wanted state on one org.
type App struct {
	Name  string // the header's fullName
	Label string // the header's label, or its name

	// Wanted are the fields that the project states, by type. All other fields get a default in
	// a new component and stay as they are in an existing one. OAuth policies are included only
	// if they are to be applied.
	Wanted map[string]metadata.Fields

	version apiversion.Version // of the run's calls

	// Environment is the environment of plugins.eca that applies, "" if none.
	Environment string

	// PermissionSets are the permission sets that should grant the app. With AssignToRunAsUser,
	// the client credentials user of the policies should have them too.
	PermissionSets    []string
	AssignToRunAsUser bool

	// HandOver is the command that should receive the app's credentials, nil if none.
	HandOver *project.HandOver

	// Wants are the components that the wanted state needs on the org, by type: those of
	// eca.Satellites, the header and the remote site if they are wanted, and the OAuth policies
	// if they are applied or checked.
	Wants map[string]*metadata.Want

	// CreatedSets are the permission sets that a run creates if the org lacks them: with the headers,
	// those that grant nothing else, see Source.PermissionSetFile for the others. Of apps that name the
	// same one, the first has it.
	CreatedSets []*metadata.Want

	// Deployer is who deploys the OAuth policies, "" if there are none.
	Deployer Deployer

	// Wrong is why the OAuth policies cannot be applied, nil if they can or need not be.
	Wrong error

	header *metadata.Component   // to be deployed, nil if others do that
	file   string                // of the header, for messages
	remote bool                  // the org's own domain is to be a remote site
	source map[string]sourceFile // components that the project states beside the header, by type

	implied  map[string]bool // switches of the global OAuth settings that the policies need and no setting states
	policies []policiesFile  // the app's OAuth policies in the environment, usually one file
	idle     bool            // nobody deploys the policies, see ByNobody
	checked  bool            // the preflight checks the policies

	plugins map[string]sourceFile // components of further plug-ins that the run deploys, by type
}

// Deployer is who brings OAuth policies to an org.
type Deployer string

// The deployers.
const (
	ByECA Deployer = "eca"
	BySFP Deployer = "sfp"
	BySF  Deployer = "sf"
	// ByOthers is for a given directory, and for a pool: eca does not deploy them.
	ByOthers Deployer = "others"
	// ByNobody is for policies that .forceignore leaves out and that the run does not apply.
	ByNobody Deployer = "nobody"
)

// plan sets the wants of the app. orgDomainURL is the callback URL of a new consumer if the
// project states none.
func (a *App) plan(orgDomainURL string) {
	d := eca.Desired{
		App: a.Name, Label: a.Label, DomainURL: orgDomainURL, Types: eca.Satellites(),
		Fields: maps.Clone(a.Wanted), Source: make(map[string]metadata.Fields), Names: make(map[string][]string),
	}
	for _, typ := range eca.Satellites() {
		d.Source[typ] = a.sourced(typ)
		if file, ok := a.source[typ]; ok {
			d.Names[typ] = []string{file.FullName} // or the next deployment of the source is a duplicate
		}
	}
	if a.header != nil {
		d.Types = append(d.Types, eca.Header)
		d.Fields[eca.Header] = eca.Lookup(eca.Header).Sendable(a.header, a.version)
	}
	if a.remote {
		d.Types = append(d.Types, eca.RemoteSiteSetting)
	}
	if applied := a.Applied(); applied || len(a.policies) > 0 {
		d.Types = append(d.Types, eca.OAuthPolicies)
		for _, file := range a.policies {
			d.Names[eca.OAuthPolicies] = append(d.Names[eca.OAuthPolicies], file.FullName)
		}
		if !applied {
			d.ReadOnly = []string{eca.OAuthPolicies}
			d.Fields[eca.OAuthPolicies] = stated(a.policies[0].Component, a.version)
		}
	}
	a.addPlugins(&d)
	a.Wants = eca.Wants(d)
}

// Source returns the types that the app's source states beside the header, sorted.
func (a *App) Source() []string { return slices.Sorted(maps.Keys(a.source)) }

// File returns the file of the source that states the app's component of a type, "" if none, and for policies
// that nobody deploys.
func (a *App) File(typ string) string {
	switch {
	case typ == eca.Header:
		return a.file
	case typ == eca.OAuthPolicies && len(a.policies) > 0 && !a.idle:
		return a.policies[0].File
	}
	if plugin, ok := a.plugins[typ]; ok {
		return plugin.File
	}
	return a.source[typ].File
}

// CheckNames returns an error for each component of source that a run writes and whose name the platform refuses, or
// that names its app with white space around the name, which is another name to the platform.
func (a *App) CheckNames() (errs []error) {
	for _, want := range eca.InOrder(a.Wants) {
		file := a.File(want.Type.Name)
		if file == "" || want.ReadOnly {
			continue
		}
		if err := eca.CheckName(want.Names[0]); err != nil && !eca.Namespaced(want.Names[0]) {
			errs = append(errs, &metadata.SourceError{Path: file, Err: fmt.Errorf("the API name %q is invalid: %w", want.Names[0], err)})
		}
		const owner = "externalClientApplication"
		if app := want.Source.Text(owner); app != strings.TrimSpace(app) {
			errs = append(errs, &metadata.SourceError{Path: file, Field: owner, Err: fmt.Errorf("%q has white space around it, which makes it another name", app)})
		}
	}
	return errs
}

// NeedsSet reports whether the app's settings or the policies that a run writes name a permission set.
func (a *App) NeedsSet(name string) bool {
	return slices.ContainsFunc(a.sets(), func(other string) bool { return strings.EqualFold(other, name) })
}

// sets returns the permission sets of the app's settings and of the policies that a run writes.
func (a *App) sets() []string {
	return slices.Concat(a.PermissionSets, metadata.Items(a.Wanted[eca.OAuthPolicies].Text("commaSeparatedPermissionSet")))
}

// Applied reports whether a run writes the OAuth policies.
func (a *App) Applied() bool { return a.Wanted[eca.OAuthPolicies] != nil }

// sourced returns the fields that the app's source states for a type and that can be sent: no
// fields generated by the platform.
func (a *App) sourced(typ string) metadata.Fields {
	return eca.Lookup(typ).Sendable(a.source[typ].Component, a.version)
}

// splitImplied notes which of the wanted switches come from the policies instead of the settings. Those that
// the source states stay as it states them.
func (a *App) splitImplied(settings project.Effective) {
	a.implied = make(map[string]bool)
	for name := range a.Wanted[eca.GlobalOAuthSettings] {
		if settings.Of(eca.GlobalOAuthSettings).Has(name) {
			continue
		}
		a.implied[name] = true
		if c := a.source[eca.GlobalOAuthSettings].Component; c != nil && strings.TrimSpace(c.Text(name)) != "" {
			delete(a.Wanted[eca.GlobalOAuthSettings], name)
		}
	}
}

// checkPlaceholders warns about placeholders in texts of the source that the run sends.
func (a *App) checkPlaceholders(h header, r *resolution) {
	check := func(file string, fields, stated metadata.Fields) {
		for _, name := range slices.Sorted(maps.Keys(fields)) {
			for _, f := range fields[name] {
				if found := eca.Placeholder(f.Text); found != "" && !stated.Has(name) {
					r.warn(fmt.Sprintf("%s: %s holds the placeholder %s, which nothing fills in, so it is deployed as it is", file, name, found))
				}
			}
		}
	}
	for _, typ := range eca.Satellites() {
		check(a.source[typ].File, a.sourced(typ), a.Wanted[typ])
	}
	if r.Headers {
		check(h.File, eca.Lookup(eca.Header).Sendable(h.Component, a.version), nil)
	}
	if a.Applied() {
		check(a.policies[0].File, a.Wanted[eca.OAuthPolicies], nil)
	}
}

// StatesConsumer reports whether the source or the settings of the app state global OAuth settings, so that the org
// has a consumer of its own. Switches that policies imply do not count.
func (a *App) StatesConsumer() bool {
	stated := func(name string) bool { return !a.implied[name] }
	return a.File(eca.GlobalOAuthSettings) != "" || slices.ContainsFunc(slices.Collect(maps.Keys(a.Wanted[eca.GlobalOAuthSettings])), stated)
}

// Association returns the link by which the source of the app uses the consumer of another org, "" if it does not:
// OAuth settings with the link, and no global OAuth settings. Salesforce documents that way to share a consumer. org
// is the ID of the org, "" if unknown.
func (a *App) Association(org string) string {
	c := a.source[eca.OAuthSettings].Component
	if c == nil || org == "" || a.StatesConsumer() {
		return ""
	}
	link := strings.TrimSpace(c.Text("oauthLink"))
	if !strings.Contains(link, ":") || isOf(link, org) {
		return ""
	}
	return link
}

// Contradictions returns a warning for each field that plugins.eca and the app's source state
// differently.
func (a *App) Contradictions() []string {
	var warnings []string
	for _, typ := range eca.Satellites() {
		c, ok := a.source[typ]
		if !ok {
			continue
		}
		_, changes := eca.Lookup(typ).Overlay(c.Component, a.Wanted[typ])
		for _, change := range changes {
			if typ == eca.GlobalOAuthSettings && a.implied[change.Field] {
				warnings = append(warnings, fmt.Sprintf("the policies in %s need %s, which the source of %s does not state, so each deployment switches it off and each run switches it on again; state it in %s", a.policies[0].File, change.Field, c.FullName, c.File))
				continue
			}
			from := cmp.Or(change.From, "nothing")
			warnings = append(warnings, fmt.Sprintf("the source of %s states %s as %s, but plugins.eca as %s, so each deployment changes it and each run changes it back; state it in one place", c.FullName, change.Field, from, change.To))
		}
	}
	return warnings
}

// Assignee returns the user who should have the app's permission sets: the client credentials
// user of the environment's policies, if the settings ask for it, or "".
func (a *App) Assignee() string {
	for _, file := range a.policies {
		if !a.idle && a.AssignToRunAsUser && eca.Bool(file.Component, "isClientCredentialsFlowEnabled") {
			return strings.TrimSpace(file.Text("clientCredentialsFlowUser"))
		}
	}
	return ""
}

// Preflights returns the app's policies for the preflight.
func (a *App) Preflights(undeployed bool) (all []*preflight.Policies) {
	if !a.checked {
		return nil
	}
	for i, file := range a.policies {
		plugins := "" // the source that states the switch of the OAuth plugin
		if c := a.source[eca.PluginPolicies].Component; c != nil && c.Text("isOauthPluginEnabled") != "" && !a.Wanted[eca.PluginPolicies].Has("isOauthPluginEnabled") {
			plugins = a.File(eca.PluginPolicies)
		}
		p := &preflight.Policies{
			PluginsFile: plugins,
			App:         a.Name, Component: file.Component, File: file.File, Applied: a.Applied(), Replaced: file.unreplaced != nil,
			Package: file.Package, LeftOut: undeployed || file.Ignored, Plugins: file.found.plugins,
		}
		if i > 0 {
			p.First = all[0]
		}
		all = append(all, p)
	}
	return all
}

// References returns the names that the apps' settings and policies refer to.
func References(apps []*App) (names preflight.Names) {
	for _, app := range apps {
		if len(app.PermissionSets) > 0 {
			names.PermissionSets = append(names.PermissionSets, app.PermissionSets...)
			names.Apps = append(names.Apps, app.Name)
			names.Users = append(names.Users, app.Assignee())
			names.Assignees = append(names.Assignees, app.Assignee())
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
