package eca

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/metadata"
)

// Need is a switch of an app's global OAuth settings that its OAuth policies require.
type Need struct {
	Switch string // the field of GlobalOAuthSettings
	By     string // the field of OAuthPolicies
}

// needs are the switches that fields of OAuth policies require. Salesforce's documentation says so for
// client credentials and for the tokens of the guest flow; token exchange has the same pair of switches.
var needs = []Need{
	{"isClientCredentialsFlowEnabled", "isClientCredentialsFlowEnabled"},
	{"isTokenExchangeEnabled", "isTokenExchangeFlowEnabled"},
	{"isCodeCredFlowEnabled", "isGuestCodeCredFlowEnabled"},
	{jwtSwitch, "isGuestCodeCredFlowEnabled"},
	{jwtSwitch, "guestJwtSessionTimeoutType"},
	{jwtSwitch, "guestJwtTimeout"},
	{jwtSwitch, "namedUserJwtSessionTimeoutType"},
	{jwtSwitch, "namedUserJwtTimeout"},
	{jwtSwitch, jwtSwitch}, // deprecated in policies: "if this field is available", that of the global settings is true
}

const jwtSwitch = "isNamedUserJwtEnabled"

// Needs returns the switches that OAuth policies require: those of flows that they turn on, and that of
// JWT-based tokens if they limit sessions of these.
func Needs(policies *metadata.Component) (all []Need) {
	typ := Lookup(OAuthPolicies)
	for _, need := range needs {
		if text := strings.TrimSpace(policies.Text(need.By)); text != "" && (typ.Field(need.By).Kind != metadata.Boolean || typ.Bool(policies, need.By)) {
			all = append(all, need)
		}
	}
	return all
}

// Flow is a way to log in that an app has only if its global OAuth settings and its OAuth policies both switch it
// on: in policies, the default is false.
type Flow struct {
	Name   string // for people
	Switch string // the field of GlobalOAuthSettings
	Policy string // the field of OAuthPolicies
}

// Flows returns these ways to log in.
func Flows() []Flow {
	return []Flow{
		{"client credentials", "isClientCredentialsFlowEnabled", "isClientCredentialsFlowEnabled"},
		{"token exchange", "isTokenExchangeEnabled", "isTokenExchangeFlowEnabled"},
	}
}

// CodeCredentialsOfOrg is the setting of an org, in OauthOidcSettings, without which no app can use the
// Authorization Code and Credentials Flow. Source: the documentation of isCodeCredFlowEnabled.
const CodeCredentialsOfOrg = "oAuthCdCrdtFlowEnable"

// jwtScopes are the scopes whose services take only JWT-based tokens: hosted MCP servers, and the Agent API and
// the Models API. Source: their documentation.
var jwtScopes = []string{"MCP", "SFApiPlatform"}

// NeedsJWT returns the first scope whose services take only JWT-based tokens, "" if there is none.
func NeedsJWT(scopes []string) string {
	for _, scope := range scopes {
		if slices.Contains(jwtScopes, scope) {
			return scope
		}
	}
	return ""
}

// Namespaced reports whether a name has the prefix of a package's namespace, like ns__App.
func Namespaced(name string) bool {
	prefix, rest, found := strings.Cut(name, "__")
	return found && len(prefix) <= maxNamespace && CheckName(prefix) == nil && CheckName(rest) == nil
}

// maxNamespace is the maximum length of a namespace.
const maxNamespace = 15

// placeholder matches what scripts and replacements fill in: ${X}, {{X}}, <%X%>, %%%X%%%, @X@ and __X__.
var placeholder = regexp.MustCompile(`\$\{[^{}\s]+\}|\{\{[^{}]+\}\}|<%[^<>%]+%>|%%%\w+%%%|@[A-Z][A-Z0-9_]*@|__[A-Z]([A-Z0-9]|_[A-Z0-9])*__`)

// Placeholder returns the first placeholder in a text, "" if it has none.
func Placeholder(text string) string { return placeholder.FindString(text) }

// otherNames are names that a Connected App, or published guidance, has for fields, by the other name.
var otherNames = map[string]string{
	"ipRelaxation": "ipRelaxationPolicyType", "refreshTokenPolicy": "refreshTokenPolicyType", "sessionTimeout": "sessionTimeoutInMinutes",
	"sessionLevel": "requiredSessionLevel", "isAdminApproved": "permittedUsersPolicyType", "permissionSetName": "commaSeparatedPermissionSet",
	"profileName": "commaSeparatedProfile", "scopes": "commaSeparatedOauthScopes", "oauthClientCredentialUser": "clientCredentialsFlowUser",
	"isClientCredentialEnabled": "isClientCredentialsFlowEnabled", "isClientCredentialsEnabled": "isClientCredentialsFlowEnabled",
	"isCodeCredentialEnabled": "isCodeCredFlowEnabled", "isCodeCredentialsEnabled": "isCodeCredFlowEnabled",
	"isCodeCredentialPostOnly": "isCodeCredPostOnly",
}

// Belongs returns the field that somebody meant by a name that a type does not have, and the type that has
// it: another one of an app, or the type itself. Both are "" if nobody knows.
func Belongs(typ, name string) (other, field string) {
	field = name
	if meant := otherNames[name]; meant != "" {
		field = meant
	}
	if Lookup(typ).Field(field) != nil {
		return typ, field
	}
	for _, t := range types {
		if t.Field(field) != nil && t.Name != Header && t.Name != RemoteSiteSetting {
			return t.Name, field
		}
	}
	return "", ""
}
