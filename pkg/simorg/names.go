package simorg

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/eca"
)

// apiName matches an API name without a namespace prefix.
var apiName = regexp.MustCompile(`^[A-Za-z](?:_?[A-Za-z0-9])*$`)

// hasNamespace reports whether a namespace is that of the org or of an installed app.
func (o *Org) hasNamespace(name string) bool {
	return strings.EqualFold(name, o.config.Namespace) || slices.ContainsFunc(o.state.Filled[eca.Header], func(r row) bool {
		return strings.EqualFold(fmt.Sprint(r["namespaceprefix"]), name)
	})
}

// checkName refuses a component whose fullName is no API name. Connected Apps, which only Fill
// creates, can have any.
func (o *Org) checkName(rec *record) error {
	if rec.fullName == "" {
		return refuse("REQUIRED_FIELD_MISSING", "Required field is missing: fullName")
	}
	name := rec.fullName
	if namespace, rest, found := strings.Cut(name, "__"); found && namespace != "" && o.hasNamespace(namespace) {
		name = rest
	}
	if rec.typ != connectedApp && (len(name) > 80 || !apiName.MatchString(name)) {
		return refuse("INVALID_FULL_NAME", "The name %s can only contain underscores and alphanumeric characters. It must begin with a letter, not include spaces, "+
			"not end with an underscore, and not contain two consecutive underscores, except behind a namespace prefix", rec.fullName) // assumed wording
	}
	return nil
}

// idPrefix is the prefix of the IDs of a type's components. That of apps, Connected Apps and
// permission sets is the platform's, the others are assumed.
var idPrefix = map[string]string{
	eca.Header: "0xI", eca.OAuthSettings: "0xS", eca.GlobalOAuthSettings: "0xG", eca.PluginPolicies: "0xP", eca.OAuthPolicies: "0xO",
	eca.OAuthSecuritySettings: "0xY", eca.AttestSettings: "0xA", eca.AttestPolicies: "0xB", eca.SAMLPolicies: "0xL", eca.CanvasSettings: "0xV",
	eca.RemoteSiteSetting: "0rp", connection.ExternalCredential: "0pl", connection.NamedCredential: "0XA",
	connectedApp: "0H4", permissionSet: "0PS",
}
