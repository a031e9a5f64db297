// Package eca knows what Salesforce External Client Apps are: the metadata types that make up
// one, how they belong together, what people may state of them in a project, and the
// platform's words.
//
// It is data and rules; nothing here touches an org or reads more than it is given.
package eca

import (
	"regexp"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// MinVersion is the first API version that can bootstrap an app: the policies that turn
// its OAuth plugin on came with it.
const MinVersion apiversion.Version = 60

// The platform's own words, as its documentation and live orgs have them.
const (
	SaysNoRunAsUser = "Enter a valid execution user for the OAuth client credentials flow"
	SaysNoJWT       = "Invalid plugin settings"
	SaysNoOAuth     = "The OAuth settings are missing for this external client app."
)

// UsernamePlaceholder stands for a scratch org's own user in the OAuth policies.
const UsernamePlaceholder = "{username}"

// App returns the name of the app that a component belongs to: the header's own name, or
// what externalClientApplication says. That element is the only link; names of satellite
// components follow no rule on a real org.
func App(c *metadata.Component) string {
	if c.Type == Header {
		return c.FullName
	}
	return strings.TrimSpace(c.Text("externalClientApplication"))
}

// Bool reports whether a component's field of that name is true, by the platform's default
// where the field is absent.
func Bool(c *metadata.Component, field string) bool { return Lookup(c.Type).Bool(c, field) }

// Problems returns what is wrong with a component's fields, see metadata.Type.
func Problems(c *metadata.Component, v apiversion.Version) []metadata.Problem {
	return Lookup(c.Type).Problems(c, v)
}

// UsualNames returns the names under which an app's component of a type is looked for, the
// one that a new component gets first. On a real org names follow no rule, so that listing
// the type is the other half of looking; these are names that the guide, the platform itself
// and public projects give.
func UsualNames(app, typ string) []string {
	switch typ {
	case OAuthSettings:
		return []string{app + "_oauth", app + "OAuthSettings", app}
	case GlobalOAuthSettings:
		return []string{app + "_glbloauth", app + "GlblOAuth", app}
	case PluginPolicies:
		return []string{app + "_plcy", app + "_defaultPolicy", app}
	case OAuthPolicies:
		return []string{app + "_oauthPlcy", app + "_defaultPolicy", app}
	}
	return []string{app}
}

// IsPermissionSetID reports whether a name looks like the ID of a permission set, which
// people write where the platform wants a name.
func IsPermissionSetID(name string) bool { return permissionSetID.MatchString(name) }

var permissionSetID = regexp.MustCompile(`^0PS[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$`)
