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
// Run does all of them. A run against an org that is as wanted writes nothing; a
// run that died half-way is finished by the next one; and two at once end in the
// state of one.
package bootstrap

import "github.com/ecakit/ecakit/pkg/metadata"

// Types are the types of component that a bootstrap brings to an org, in the
// order in which the platform accepts them: OAuth settings, then global OAuth
// settings, which creates the consumer, then the policies that turn the OAuth
// plugin on.
var Types = []string{metadata.OAuthSettings, metadata.GlobalOAuthSettings, metadata.PluginPolicies}

// usualNames are the names under which an app's component of a type is looked
// for, the one that a new component gets first. On a real org names follow no
// rule, so that listing the type is the other half of looking; these are names
// that the guide and the platform itself give.
func usualNames(typ, app string) []string {
	switch typ {
	case metadata.OAuthSettings:
		return []string{app + "_oauth", app}
	case metadata.GlobalOAuthSettings:
		return []string{app + "_glbloauth", app + "GlblOAuth", app}
	case metadata.PluginPolicies:
		return []string{app + "_plcy", app + "_defaultPolicy", app}
	}
	return nil
}

// App is one app and what is wanted of it on one org.
type App struct {
	Name  string // the header's fullName
	Label string // the header's label, or its name

	// Wanted is what the project states, by type. Fields that it says nothing of
	// get a default where a component is created, and stay as they are otherwise.
	Wanted map[string]metadata.Stated

	// Environment is the environment of plugins.eca that took part, "" for none.
	Environment string
}

// created returns everything that a new component of the type is to have: the
// defaults, and over them what is wanted.
func (a *App) created(typ, orgDomainURL string) metadata.Stated {
	defaults := make(metadata.Stated)
	defaults.Set("externalClientApplication", a.Name)
	defaults.Set("label", a.Label)
	switch typ {
	case metadata.OAuthSettings:
		defaults.Set("commaSeparatedOauthScopes", "Api, RefreshToken")
	case metadata.GlobalOAuthSettings:
		defaults.Set("callbackUrl", orgDomainURL)
	case metadata.PluginPolicies:
		defaults.Set("isEnabled", "true")
		defaults.Set("isOauthPluginEnabled", "true")
	}
	return a.Wanted[typ].Over(defaults)
}
