// Package bootstrap enables OAuth on the External Client Apps of an sfp package, for one org.
// This is Pattern 2 of flxbl's External Client Apps guide, in which sfp deploys the header
// before the bootstrap and the policies after it, both as source.
//
//	source, err := bootstrap.Load(bootstrap.Location{Project: os.DirFS("."), Package: "eca-definition"})
//	report, err := bootstrap.Run(ctx, conn, source, bootstrap.Options{Alias: "uat"})
//
// Load reads the project. Run selects the environment by the org's alias, reads what the org
// has, writes the differences in the order that the platform requires, and reads them back. It
// reports invalid input before it sends anything.
//
// If the project asks for it, Run also writes the environment's OAuth policies and grants the
// app to permission sets. Otherwise sfp deploys the policies next, and the report's findings
// list what that deployment would fail on.
//
// A run against an up-to-date org writes nothing. The next run finishes an interrupted one. Two
// runs at once end in the state of one of them.
package bootstrap

import (
	"errors"
	"fmt"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
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

	// HandOver is the command that should receive the app's credentials, nil if none. Run does
	// not call it.
	HandOver *eca.HandOver

	source   map[string]*metadata.Component // components deployed together with the header, by type
	replaced bool                           // sf replaces texts in the source on deployment

	policies []policiesFile // the app's OAuth policies in the environment, usually one file
	wrong    error          // why the policies cannot be applied, nil if they can or need not
	checked  bool           // the preflight checks the policies

	wants map[string]*reconcile.Want // by type
}

// types are the component types that a bootstrap writes, in the order that the platform
// requires: OAuth settings, then global OAuth settings, which create the consumer, then the
// policies that turn the OAuth plugin on.
var types = []string{eca.OAuthSettings, eca.GlobalOAuthSettings, eca.PluginPolicies}

// plan sets the wants of the app. orgDomainURL is the callback URL of a new consumer if the
// project states none.
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
	// Many orgs create the policies by themselves together with the consumer.
	add(eca.PluginPolicies, reconcile.Want{Defaults: set("isEnabled", "true", "isOauthPluginEnabled", "true"), Made: true, Trusted: true})
	if applied := a.applied(); applied || a.checked {
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

// applied reports whether this run writes the OAuth policies.
func (a *App) applied() bool { return a.Wanted[eca.OAuthPolicies] != nil }

// sourced returns the fields that the app's source states for a type and that can be sent: no
// fields generated by the platform, and none at all if sf replaces texts.
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

// contradictions returns a warning for each field that plugins.eca and the app's source state
// differently.
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
			warnings = append(warnings, fmt.Sprintf("the source of %s states %s as %s, but plugins.eca as %s, so each deployment changes it and each run changes it back; state it in one place", c.FullName, change.Field, from, change.To))
		}
	}
	return warnings
}
