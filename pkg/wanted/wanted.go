// Package wanted says what a project wants of an org: the External Client Apps of its packages,
// their settings, and the OAuth policies of the org's environment. It asks no org.
//
//	source, err := wanted.Load(wanted.Location{Project: os.DirFS("."), Package: "eca-definition"})
//	resolved, err := source.Resolve(wanted.Target{Alias: "uat"})
//
// Load reads the project and its artifacts once. Resolve is pure: it selects the environment by
// the org's alias, for as many orgs as there are.
package wanted

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/access"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/preflight"
	"github.com/ecakit/ecakit/pkg/reconcile"
)

// App is one app and its wanted state on one org.
type App struct {
	Name  string // the header's fullName
	Label string // the header's label, or its name

	// Wanted are the fields that the project states, by type. All other fields get a default in
	// a new component and stay as they are in an existing one. OAuth policies are included only
	// if they are to be applied.
	Wanted map[string]metadata.Fields

	// Environment is the environment of plugins.eca that applies, "" if none.
	Environment string

	// PermissionSets are the permission sets that should grant the app. With AssignToRunAsUser,
	// the client credentials user of the policies should have them too.
	PermissionSets    []string
	AssignToRunAsUser bool

	// HandOver is the command that should receive the app's credentials, nil if none.
	HandOver *eca.HandOver

	// Wants are the components that the wanted state needs on the org, by type, which is one of
	// Order: one of each of Types, the header and the remote site if they are wanted, and the
	// OAuth policies if they are applied or checked.
	Wants map[string]*reconcile.Want

	// Wrong is why the OAuth policies cannot be applied, nil if they can or need not be.
	Wrong error

	header   *metadata.Component            // to be brought to the org, nil if others do that
	remote   bool                           // the org's own domain is to be a remote site
	source   map[string]*metadata.Component // components deployed together with the header, by type
	replaced bool                           // sf replaces texts in the source on deployment

	policies []policiesFile // the app's OAuth policies in the environment, usually one file
	checked  bool           // the preflight checks the policies
}

// Types returns the component types that every app needs besides its header, in the order that the
// platform requires: OAuth settings, then global OAuth settings, which create the consumer, then
// the policies that turn the OAuth plugin on.
func Types() []string { return slices.Clone(types) }

var types = []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies}

// Order returns the types of Wants, in the order in which they are written.
func Order() []string {
	return slices.Concat([]string{eca.Header, eca.RemoteSiteSetting}, types, []string{eca.OAuthPolicies})
}

// plan sets the wants of the app. orgDomainURL is the callback URL of a new consumer if the
// project states none.
func (a *App) plan(orgDomainURL string) {
	a.Wants = make(map[string]*reconcile.Want)
	var before []*reconcile.Want
	add := func(typ string, want reconcile.Want) {
		defaults := make(metadata.Fields)
		defaults.Set("externalClientApplication", a.Name)
		if typ != eca.OAuthPolicies {
			defaults.Set("label", a.Label)
		}
		want.Type, want.After = eca.Lookup(typ), before
		want.Names = append(want.Names, eca.UsualNames(a.Name, typ)...)
		want.Is = func(c *metadata.Component) bool { return strings.EqualFold(eca.App(c), a.Name) }
		want.Fields = a.Wanted[typ]
		want.Defaults = a.sourced(typ).Over(want.Defaults.Over(defaults))
		a.Wants[typ] = &want
		before = []*reconcile.Want{&want}
	}
	set := func(pairs ...string) metadata.Fields {
		stated := make(metadata.Fields)
		for i := 0; i < len(pairs); i += 2 {
			stated.Set(pairs[i], pairs[i+1])
		}
		return stated
	}
	if a.header != nil {
		fields := eca.Lookup(eca.Header).Sendable(a.header)
		want := &reconcile.Want{Type: eca.Lookup(eca.Header), Names: []string{a.Name}, Fields: fields, Defaults: set("label", a.Label, "distributionState", "Local")}
		a.Wants[eca.Header], before = want, []*reconcile.Want{want}
	}
	if a.remote {
		a.Wants[eca.RemoteSiteSetting] = &reconcile.Want{
			Type: eca.Lookup(eca.RemoteSiteSetting), Names: []string{a.Name + "_My_Domain_Url"},
			Fields: set("url", orgDomainURL, "isActive", "true"), Defaults: set("disableProtocolSecurity", "false"),
		}
	}
	add(eca.OAuthSettings, reconcile.Want{Defaults: set("commaSeparatedOauthScopes", "Api, RefreshToken")})
	add(eca.GlobalOAuthSettings, reconcile.Want{Defaults: set("callbackUrl", orgDomainURL), Check: hasConsumer})
	// Many orgs create the policies by themselves together with the consumer.
	add(eca.PluginPolicies, reconcile.Want{Defaults: set("isEnabled", "true", "isOauthPluginEnabled", "true"), Made: true, Trusted: true})
	if applied := a.Applied(); applied || a.checked {
		var names []string
		for _, file := range a.policies {
			names = append(names, file.FullName)
		}
		add(eca.OAuthPolicies, reconcile.Want{Names: names, Made: true, ReadOnly: !applied})
	}
}

// hasConsumer returns an error if global settings have no consumer key.
func hasConsumer(c *metadata.Component) error {
	if c.Text("consumerKey") == "" {
		return errors.New("the org accepted it, but returned no consumer key")
	}
	return nil
}

// Source returns the types that the app's source states beside the header, sorted.
func (a *App) Source() []string { return slices.Sorted(maps.Keys(a.source)) }

// Applied reports whether a run writes the OAuth policies.
func (a *App) Applied() bool { return a.Wanted[eca.OAuthPolicies] != nil }

// sourced returns the fields that the app's source states for a type and that can be sent: no
// fields generated by the platform, and none at all if sf replaces texts.
func (a *App) sourced(typ string) metadata.Fields {
	c := a.source[typ]
	if c == nil || a.replaced {
		return make(metadata.Fields)
	}
	return eca.Lookup(typ).Sendable(c)
}

// Contradictions returns a warning for each field that plugins.eca and the app's source state
// differently.
func (a *App) Contradictions() []string {
	var warnings []string
	for _, typ := range types {
		c := a.source[typ]
		if c == nil {
			continue
		}
		_, changes := eca.Lookup(typ).Overlay(c, a.Wanted[typ])
		for _, change := range changes {
			if a.replaced && strings.Contains(c.Text(change.Field), "${") {
				continue
			}
			from := change.From
			if from == "" {
				from = "nothing"
			}
			warnings = append(warnings, fmt.Sprintf("the source of %s states %s as %s, but plugins.eca as %s, so each deployment changes it and each run changes it back; state it in one place", c.FullName, change.Field, from, change.To))
		}
	}
	return warnings
}

// Assignee returns the user who should have the app's permission sets: the client credentials
// user of the environment's policies, if the settings ask for it, or "".
func (a *App) Assignee() string {
	for _, file := range a.policies {
		if a.AssignToRunAsUser && eca.Bool(file.Component, "isClientCredentialsFlowEnabled") {
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
		p := &preflight.Policies{
			App: a.Name, Component: file.Component, File: file.File, Applied: a.Applied(), Replaced: a.replaced,
			Package: file.Package, LeftOut: undeployed || file.Ignored, Plugins: file.place.plugins,
		}
		if i > 0 {
			p.First = all[0]
		}
		all = append(all, p)
	}
	return all
}

// References returns the names that the apps' settings and policies refer to.
func References(apps []*App) (names access.Names) {
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
