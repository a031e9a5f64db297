// Package bootstrap enables OAuth on the External Client Apps of an sfp package,
// for one org: Pattern 2 of flxbl's External Client Apps guide, whose other
// half, the header before it and the policies after it, sfp deploys as source.
//
// A run goes through these steps:
//
//   - Load reads the apps, their settings and their policies from files.
//   - Source.Resolve chooses the environment by the org's alias and says what is
//     wanted of each app. Whatever is wrong with the input shows here or before,
//     and nothing has been sent yet.
//   - Org.Plan reads what the org has and compares.
//   - Org.Apply writes what differs, in the order that the platform demands, and
//     reads it back.
//
// Where the project asks for it, Apply also brings the environment's OAuth
// policies and grants the app to permission sets. Otherwise sfp deploys the
// policies next, and Findings are what it would fail of.
//
// Run does all of this. A run against an org that is as wanted writes nothing; a
// run that died half-way is finished by the next one; and two at once end in the
// state of one.
package bootstrap

import (
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// Types are the types of component that a bootstrap brings to an org, in the
// order in which the platform accepts them: OAuth settings, then global OAuth
// settings, which creates the consumer, then the policies that turn the OAuth
// plugin on.
var Types = []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies}

// App is one app and what is wanted of it on one org.
type App struct {
	Name  string // the header's fullName
	Label string // the header's label, or its name

	// Wanted is what the project states, by type. Fields that it says nothing of
	// get a default where a component is created, and stay as they are otherwise.
	// OAuth policies are among it only where they are to be applied.
	Wanted map[string]metadata.Stated

	// Environment is the environment of plugins.eca that took part, "" for none.
	Environment string

	// PermissionSets are the names of the permission sets that are to grant the
	// app. The user whom the policies let client credentials run as is to have
	// them where AssignToRunAsUser says so.
	PermissionSets    []string
	AssignToRunAsUser bool

	source   map[string]*metadata.Component // what is deployed along with the header, by type
	replaced bool                           // sf replaces texts of the source when it deploys it

	policies []policiesFile // the environment's OAuth policies of the app, one as a rule
	wrong    error          // why the policies cannot be applied, nil where they can, or need not
	checked  bool           // the policies are subject to the preflight
	looked   bool           // the org's OAuth policies of the app are of interest
	held     bool           // the OAuth policies are certain to be refused, so they are not sent
}

// types returns the types of component that are wanted of the app, in the order
// in which the platform accepts them.
func (a *App) types() []string {
	if a.Wanted[eca.OAuthPolicies] != nil {
		return append(slices.Clone(Types), eca.OAuthPolicies)
	}
	return Types
}

// names are the names under which the app's component of a type is looked for,
// the one that a new component gets first. On a real org names follow no rule, so
// that listing the type is the other half of looking; these are names that the
// guide and the platform itself give.
func (a *App) names(typ string) []string {
	switch typ {
	case eca.OAuthSettings:
		return []string{a.Name + "_oauth", a.Name + "OAuthSettings", a.Name}
	case eca.GlobalOAuthSettings:
		return []string{a.Name + "_glbloauth", a.Name + "GlblOAuth", a.Name}
	case eca.PluginPolicies:
		return []string{a.Name + "_plcy", a.Name + "_defaultPolicy", a.Name}
	case eca.OAuthPolicies:
		var names []string
		for _, file := range a.policies {
			names = append(names, file.FullName)
		}
		return unique(append(names, a.Name+"_oauthPlcy", a.Name+"_defaultPolicy", a.Name))
	}
	return nil
}

// created returns everything that a new component of the type is to have: the
// defaults, and over them what is wanted.
func (a *App) created(typ, orgDomainURL string) metadata.Stated {
	defaults := make(metadata.Stated)
	defaults.Set("externalClientApplication", a.Name)
	if typ != eca.OAuthPolicies {
		defaults.Set("label", a.Label)
	}
	switch typ {
	case eca.OAuthSettings:
		defaults.Set("commaSeparatedOauthScopes", "Api, RefreshToken")
	case eca.GlobalOAuthSettings:
		defaults.Set("callbackUrl", orgDomainURL)
	case eca.PluginPolicies:
		defaults.Set("isEnabled", "true")
		defaults.Set("isOauthPluginEnabled", "true")
	}
	return a.Wanted[typ].Over(a.sourced(typ).Over(defaults))
}

// sourced returns what the app's source states of a type, as far as it can be sent: without
// what the platform makes, and nothing where sf replaces texts of it.
func (a *App) sourced(typ string) metadata.Stated {
	stated := make(metadata.Stated)
	c := a.source[typ]
	if c == nil || a.replaced {
		return stated
	}
	for _, f := range c.Fields {
		if ft := eca.Lookup(typ).Field(f.Name); ft != nil && !ft.Platform && !ft.Deprecated {
			stated[f.Name] = append(stated[f.Name], f)
		}
	}
	return stated
}

// contradictions says where plugins.eca states something else than the app's source does.
func (a *App) contradictions() []string {
	var warnings []string
	for _, typ := range Types {
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
			warnings = append(warnings, fmt.Sprintf("the source of %s states %s as %s, and plugins.eca as %s: each deployment changes it and each run changes it back; state it in one place", c.FullName, change.Field, from, change.To))
		}
	}
	return warnings
}

// runAsUser returns the user whom the environment's policies let the client
// credentials flow run as, "" where the flow is off.
func (a *App) runAsUser() string {
	for _, file := range a.policies {
		if eca.Bool(file.Component, "isClientCredentialsFlowEnabled") {
			return strings.TrimSpace(file.Text("clientCredentialsFlowUser"))
		}
	}
	return ""
}
