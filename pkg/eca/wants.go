package eca

import (
	"errors"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// Desired describes the components that an app should have on an org.
type Desired struct {
	App   string // the header's fullName
	Label string // label of new components

	// Types are the wanted types, in any order. The platform refuses a component without those
	// before it, see Order; it can still exist if it is not among Types.
	Types []string
	// ReadOnly are those of Types that are looked up but never written.
	ReadOnly []string

	// Fields are the wanted fields by type; all others of an existing component stay. Source are those
	// that the components' source states. Defaults are further fields of a new component, before those
	// that every app gets.
	Fields, Source, Defaults map[string]metadata.Fields
	// Names are names to look for before the usual ones, by type. A new component gets the first.
	Names map[string][]string

	// DomainURL is the org's own domain: the callback URL of a new consumer, because the platform
	// requires one, and the address of a remote site.
	DomainURL string
}

// satellites are the types that every app needs besides its header, in the order that the platform
// requires: OAuth settings, then global OAuth settings, which create the consumer, then the
// policies that turn the OAuth plugin on.
var satellites = []string{OAuthSettings, GlobalOAuthSettings, PluginPolicies}

// Satellites returns the component types that every app needs besides its header, in the order
// that the platform requires.
func Satellites() []string { return slices.Clone(satellites) }

// plugins are the types of further plug-ins that are written where nothing else deploys them.
var plugins = []string{SAMLPolicies, CanvasSettings, AttestSettings, AttestPolicies}

// Plugins returns the component types of further plug-ins, which sf deploys as source, and which are written where
// nothing else deploys them.
func Plugins() []string { return slices.Clone(plugins) }

// Unbuildable are the suffixes of components with which sfp 39.2.2 cannot build a package. Its source-deploy-retrieve
// 12.0.1 says "Could not infer a metadata type", and sfp leaves the package out.
func Unbuildable() []string {
	return []string{"ecaPush", "ecaPushPlcy", "ecaSamlPlcy", "ecaCanvas", "ecaOauthSecurity", "ecaAttest", "ecaAttestPlcy"}
}

// order are the types of Wants, in the order in which they are written.
var order = slices.Concat([]string{Header, RemoteSiteSetting}, satellites, []string{OAuthPolicies}, plugins)

// Order returns the types that Wants knows, in the order in which they are written.
func Order() []string { return slices.Clone(order) }

// InOrder returns wants by type in the order in which they are written.
func InOrder(wants map[string]*metadata.Want) (all []*metadata.Want) {
	for _, typ := range order {
		if want := wants[typ]; want != nil {
			all = append(all, want)
		}
	}
	return all
}

// Wants returns what an app should have on an org, by type. It is the one place that knows the
// order of an app's components, the defaults of new ones, and which of them the platform creates
// by itself: many orgs create both policies together with the consumer.
func Wants(d Desired) map[string]*metadata.Want {
	wants := make(map[string]*metadata.Want)
	var before []*metadata.Want
	for _, typ := range order {
		if !slices.Contains(d.Types, typ) {
			continue
		}
		want := d.want(typ)
		wants[typ] = want
		switch {
		case typ == RemoteSiteSetting:
		case slices.Contains(plugins, typ):
			if on := wants[PluginPolicies]; on != nil { // which switch the plug-ins on
				want.After = []*metadata.Want{on}
			}
		default:
			want.After, before = before, []*metadata.Want{want}
		}
	}
	return wants
}

// want returns what is wanted of one component, without what it depends on.
func (d Desired) want(typ string) *metadata.Want {
	defaults := make(metadata.Fields)
	if typ != Header && typ != RemoteSiteSetting {
		defaults.Set("externalClientApplication", d.App)
	}
	if typ != OAuthPolicies && typ != RemoteSiteSetting {
		defaults.Set("label", d.Label)
	}
	w := &metadata.Want{
		Type: Lookup(typ), Names: slices.Concat(d.Names[typ], UsualNames(d.App, typ)), Fields: d.Fields[typ], Source: d.Source[typ], Defaults: defaults,
		Is:       func(c *metadata.Component) bool { return strings.EqualFold(App(c), d.App) },
		ReadOnly: slices.Contains(d.ReadOnly, typ),
	}
	switch typ {
	case Header:
		defaults.Set("distributionState", "Local")
	case RemoteSiteSetting:
		w.Names, w.Is = slices.Concat(d.Names[typ], []string{d.App + "_My_Domain_Url"}), nil
		w.Fields = d.Fields[typ].Over(metadata.Stated("url", d.DomainURL, "isActive", "true"))
		defaults.Set("disableProtocolSecurity", "false")
	case OAuthSettings:
		defaults.Set("commaSeparatedOauthScopes", "Api, RefreshToken")
	case GlobalOAuthSettings:
		defaults.Set("callbackUrl", d.DomainURL)
		w.Check = hasConsumer
	case PluginPolicies:
		defaults.Set("isEnabled", "true")
		defaults.Set("isOauthPluginEnabled", "true")
		w.AutoCreated, w.Trusted = true, true
	case OAuthPolicies:
		w.AutoCreated = true
	}
	w.Defaults = d.Defaults[typ].Over(defaults)
	return w
}

// Switches returns the fields of PluginPolicies that an app needs to be true for any login.
func Switches() []string { return []string{"isEnabled", "isOauthPluginEnabled"} }

// hasConsumer returns an error if global settings have no consumer key.
func hasConsumer(c *metadata.Component) error {
	if c.Text("consumerKey") == "" {
		return errors.New("the org accepted it, but returned no consumer key")
	}
	return nil
}
