// Package bootstrap enables OAuth on the External Client Apps of an sfp package,
// for one org: Pattern 2 of flxbl's External Client Apps guide, whose other
// half, the header before it and the policies after it, sfp deploys as source.
//
//	source, err := bootstrap.Load(bootstrap.Location{Project: os.DirFS("."), Package: "eca-definition"})
//	report, err := bootstrap.Run(ctx, conn, source, bootstrap.Options{Alias: "uat"})
//
// Load reads the project; Run chooses the environment by the org's alias, reads what the
// org has, writes what differs, in the order that the platform demands, and reads it back.
// Whatever is wrong with the input shows before anything is sent.
//
// Where the project asks for it, Run also brings the environment's OAuth policies and grants
// the app to permission sets. Otherwise sfp deploys the policies next, and the report's
// findings list what that deployment would fail on.
//
// A run against an org that is as wanted writes nothing; a run that died half-way is
// finished by the next one; and two at once end in the state of one.
package bootstrap

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/reconcile"
)

// App is one app and what is wanted of it on one org.
type App struct {
	Name  string // the header's fullName
	Label string // the header's label, or its name

	// Wanted is what the project states, by type. Fields that it says nothing of
	// get a default where a component is created, and stay as they are otherwise.
	// OAuth policies are among it only where they are to be applied.
	Wanted map[string]metadata.Fields

	// Environment is the environment of plugins.eca that took part, "" for none.
	Environment string

	// PermissionSets are the names of the permission sets that are to grant the
	// app. The user whom the policies let client credentials run as is to have
	// them where AssignToRunAsUser says so.
	PermissionSets    []string
	AssignToRunAsUser bool

	// HandOver is the command that is to get the app's credentials, nil for none. Run does
	// not call it.
	HandOver *eca.HandOver

	source   map[string]*metadata.Component // what is deployed along with the header, by type
	replaced bool                           // sf replaces texts of the source when it deploys it

	policies []policiesFile // the environment's OAuth policies of the app, one as a rule
	wrong    error          // why the policies cannot be applied, nil where they can, or need not
	checked  bool           // the policies are subject to the preflight

	wants map[string]*reconcile.Want // by type
}

// types are the types of component that a bootstrap brings to an org, in the order in which
// the platform accepts them: OAuth settings, then global OAuth settings, which creates the
// consumer, then the policies that turn the OAuth plugin on.
var types = []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies}

// plan says what the org is to have of the app. orgDomainURL is the callback of a new
// consumer where the project states none.
func (a *App) plan(orgDomainURL string) {
	a.wants = make(map[string]*reconcile.Want)
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
		a.wants[typ] = &want
		before = []*reconcile.Want{&want}
	}
	set := func(pairs ...string) metadata.Fields {
		stated := make(metadata.Fields)
		for i := 0; i < len(pairs); i += 2 {
			stated.Set(pairs[i], pairs[i+1])
		}
		return stated
	}
	add(eca.OAuthSettings, reconcile.Want{Defaults: set("commaSeparatedOauthScopes", "Api, RefreshToken")})
	add(eca.GlobalOAuthSettings, reconcile.Want{Defaults: set("callbackUrl", orgDomainURL), Check: hasConsumer})
	// Many orgs make the policies by themselves along with the consumer.
	add(eca.PluginPolicies, reconcile.Want{Defaults: set("isEnabled", "true", "isOauthPluginEnabled", "true"), Made: true, Trusted: true})
	if applied := a.applied(); applied || a.checked {
		var names []string
		for _, file := range a.policies {
			names = append(names, file.FullName)
		}
		add(eca.OAuthPolicies, reconcile.Want{Names: names, Made: true, ReadOnly: !applied})
	}
}

// hasConsumer checks that global settings have a consumer.
func hasConsumer(c *metadata.Component) error {
	if c.Text("consumerKey") == "" {
		return errors.New("the org accepted it, but shows no consumer key for it")
	}
	return nil
}

// applied reports whether the OAuth policies are brought to the org here.
func (a *App) applied() bool { return a.Wanted[eca.OAuthPolicies] != nil }

// sourced returns what the app's source states of a type, as far as it can be sent: without
// what the platform makes, and nothing where sf replaces texts of it.
func (a *App) sourced(typ string) metadata.Fields {
	stated := make(metadata.Fields)
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
			warnings = append(warnings, fmt.Sprintf("the source of %s states %s as %s, and plugins.eca as %s: each deployment changes it and each run changes it back; state it in one place", c.FullName, change.Field, from, change.To))
		}
	}
	return warnings
}
