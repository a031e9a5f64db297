// Package eca describes Salesforce External Client Apps: the metadata types that make up one, how
// they depend on one another, what projects may state about them, and the platform's messages.
//
// It is data and rules. It calls no org and reads no files.
package eca

import (
	"errors"
	"regexp"
	"strings"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/metadata"
)

// MinVersion is the first API version that can bootstrap an app. It introduced the policies that
// turn the app's OAuth plugin on.
const MinVersion apiversion.Version = 60

// Messages of the platform, from its documentation and live orgs.
const (
	SaysNoRunAsUser = "Enter a valid execution user for the OAuth client credentials flow"
	SaysNoJWT       = "Invalid plugin settings"
	SaysNoOAuth     = "The OAuth settings are missing for this external client app."
)

// ProfilesDoubt is what is not known about an app that profiles grant: the documentation describes
// commaSeparatedProfile, and one report says that it is ignored. See the fact profiles-authorise of
// pkg/platform.
const ProfilesDoubt = "whether profiles authorise users of an External Client App is not certain, so perhaps they are refused"

// UsernamePlaceholder stands for a scratch org's own user in the OAuth policies.
const UsernamePlaceholder = "{username}"

// App returns the name of a component's app: the name of a header, or externalClientApplication.
// That element is the only link. Names of satellite components follow no rule on a real org.
func App(c *metadata.Component) string {
	if c.Type == Header {
		return c.FullName
	}
	return strings.TrimSpace(c.Text("externalClientApplication"))
}

// Bool reports whether a component's field is true. An absent field has the platform's default.
func Bool(c *metadata.Component, field string) bool { return Lookup(c.Type).Bool(c, field) }

// Problems returns the problems with a component's fields, see metadata.Type.
func Problems(c *metadata.Component, v apiversion.Version) []metadata.Problem {
	return Lookup(c.Type).Problems(c, v)
}

// UsualNames returns the usual names of an app's component of a type, the name of a new one first.
// They come from flxbl's guide, the platform itself and public projects. Names on a real org follow
// no rule, so looking for a component also takes a list of the type's components.
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

// MaxName is the maximum length of an API name in characters.
const MaxName = 80

// CheckName returns an error for a name that the platform refuses for apps and credentials.
// The rule is that of API names in Salesforce.
func CheckName(name string) error {
	if len(name) > MaxName || !developerName.MatchString(name) {
		return errors.New("a name has up to 80 letters, digits and single underscores, begins with a letter and does not end with an underscore")
	}
	return nil
}

// CheckFullName is CheckName for a name that may begin with the namespace of a package.
func CheckFullName(name string) error {
	if namespace, rest, ok := strings.Cut(name, "__"); ok && CheckName(namespace) == nil {
		name = rest
	}
	return CheckName(name)
}

var developerName = regexp.MustCompile(`^[A-Za-z](_?[A-Za-z0-9])*$`)

// IsPermissionSetID reports whether a name looks like the ID of a permission set. The platform
// requires names.
func IsPermissionSetID(name string) bool { return permissionSetID.MatchString(name) }

var permissionSetID = regexp.MustCompile(`^0PS[A-Za-z0-9]{12}(?:[A-Za-z0-9]{3})?$`)
