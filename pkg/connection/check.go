package connection

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/internal/literal"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
)

// The platform's errors of a callout.
const (
	SaysNoAccess     = `We couldn't access the credential(s). You might not have the required permissions, or the external credential might not exist.`
	SaysNoRead       = "You don't have read permissions on the User External Credential object"
	SaysUnconfigured = "The external credential isn't fully configured."
	saysScope        = "Unable to fetch the OAuth token. Error: invalid_request. Error description: scope parameter not supported."
	saysParameters   = `The authentication protocol "Oauth %s" requires the following external credential parameter types: AuthProtocolVariant, AuthProviderUrl.`
	saysTokenURL     = "The expired credentials couldn't be refreshed. Try again later."
)

// Check returns the findings about an external or a named credential by itself. Fields of findings
// are dotted paths, with the number of the parameter from 0; their file is not set.
func Check(c *metadata.Component) []finding.Finding {
	ch := &check{token: new(url.URL)}
	ch.secrets(c)
	switch c.Type {
	case ExternalCredential:
		ch.external(c)
	case NamedCredential:
		if c.Text("namedCredentialType") == securedEndpoint && External(c) == "" {
			ch.find("no-external-credential", "", "names no external credential", SaysNoAccess, "name one in its Authentication parameter")
		}
	}
	return ch.findings
}

// secrets reports the secrets in headers, parameters and addresses, whatever the protocol. Elements that
// hold nothing but a secret are metadata.SecretValue problems of the type.
func (ch *check) secrets(c *metadata.Component) {
	report := func(at, why string) {
		if why != "" {
			ch.find("secret-in-source", at, "holds a secret, "+why, "",
				"remove it, and replace the secret, because whoever reads the metadata has it; store it with a principal of the org")
		}
	}
	count := make(map[string]int)
	for _, f := range c.Fields {
		at := f.Name
		switch f.Name {
		case "endpoint", "authTokenEndpointUrl":
			report(at, literal.InURL(f.Text))
		case externalParameters, namedParameters:
			at = fmt.Sprintf("%s[%d].parameterValue", f.Name, count[f.Name])
			count[f.Name]++
			name, text := part(f, "parameterName"), part(f, "parameterValue")
			switch part(f, "parameterType") {
			case "AuthHeader", "AuthParameter", "AuthProviderUrlQueryParameter", "HttpHeader", "CustomParameter":
				report(at, literal.Named(name, text))
			case "AuthProviderUrl", "Url":
				report(at, literal.InURL(text))
			}
		}
	}
}

// CheckPair returns the findings about a named credential together with the external one that it
// names.
func CheckPair(named, external *metadata.Component) []finding.Finding {
	endpoint, err := url.Parse(Endpoint(named))
	token, tokenErr := url.Parse(TokenURL(external))
	if err != nil || tokenErr != nil || !isSalesforce(token) || isLoginHost(token) || endpoint.Host == "" || token.Host == "" ||
		strings.EqualFold(endpoint.Host, token.Host) {
		return nil
	}
	return []finding.Finding{{
		Rule: "token-url", Level: finding.Warning, Field: namedParameters,
		Problem: fmt.Sprintf("calls %s, and %s fetches tokens from %s", endpoint.Host, external.FullName, token.Host),
		Fix:     "use the own domain of one org for both",
	}}
}

// External returns the name of the external credential that a named credential uses, or "".
func External(named *metadata.Component) string {
	for _, f := range parameters(named, namedParameters, "Authentication") {
		return part(f, "externalCredential")
	}
	return ""
}

// Endpoint returns the address that a named credential calls, or "".
func Endpoint(named *metadata.Component) string { return value(named, namedParameters, "Url") }

// TokenURL returns the address from which an external credential gets tokens, or "".
func TokenURL(external *metadata.Component) string {
	return value(external, externalParameters, "AuthProviderUrl")
}

// NamedPrincipals returns the names of an external credential's named principals.
func NamedPrincipals(external *metadata.Component) (names []string) {
	for _, f := range parameters(external, externalParameters, "NamedPrincipal") {
		names = append(names, part(f, "parameterName"))
	}
	return names
}

// Variant returns the authentication protocol variant of an external credential, or "".
func Variant(external *metadata.Component) string {
	return value(external, externalParameters, "AuthProtocolVariant")
}

// value returns the value of the first parameter of a type.
func value(c *metadata.Component, field, typ string) string {
	for _, f := range parameters(c, field, typ) {
		return part(f, "parameterValue")
	}
	return ""
}

// isSalesforce reports whether a token URL is one of Salesforce's.
func isSalesforce(u *url.URL) bool { return strings.HasSuffix(u.Path, "/services/oauth2/token") }

func isLoginHost(u *url.URL) bool { return platform.IsLoginHost(u.Hostname()) }

// elsewhere reports whether an Auth. Provider or an identity provider issues the tokens.
func elsewhere(c *metadata.Component) bool {
	return len(parameters(c, externalParameters, "AuthProvider"))+len(parameters(c, externalParameters, "ExternalAuthIdentityProvider")) > 0
}

// Unmanaged returns the kind of a named credential with its external one that this module does not make and does
// not judge: a legacy one, or one with another protocol, another flow, per-user principals, an Auth. Provider, or
// tokens of another server than Salesforce. It returns "" for one that it may have made. external is nil if it is
// not read yet, or missing.
func Unmanaged(named, external *metadata.Component) string {
	if typ := named.Text("namedCredentialType"); IsLegacy(named) || typ != securedEndpoint {
		return "a named credential of the type " + cmp.Or(typ, legacy)
	}
	if external == nil {
		return ""
	}
	perUser := len(parameters(external, externalParameters, "PerUserPrincipal")) > 0
	token, err := url.Parse(TokenURL(external))
	switch protocol, variant := external.Text("authenticationProtocol"), Variant(external); {
	case protocol != "Oauth" && protocol != "JwtExchange": // which Check corrects
		return "an external credential with the protocol " + protocol
	case elsewhere(external):
		return "an external credential with an Auth. Provider or identity provider"
	case perUser && len(NamedPrincipals(external)) == 0:
		return "an external credential with per-user principals"
	case variant != "" && variant != jwtVariant && !strings.HasPrefix(variant, secretVariant):
		return "an external credential with the variant " + variant
	case err == nil && token.Host != "" && !isSalesforce(token):
		return "an external credential with tokens of " + token.Hostname()
	}
	return ""
}

// check collects the findings about an external credential.
type check struct {
	findings []finding.Finding
	token    *url.URL // from which it gets tokens; without a host if it is not a URL
	flow     string   // its authentication protocol variant
}

func (ch *check) find(rule, field, problem, says, fix string) {
	ch.findings = append(ch.findings, finding.Finding{Rule: rule, Level: finding.Error, Field: field, Problem: problem, Says: says, Fix: fix})
}

func (ch *check) external(c *metadata.Component) {
	protocol := c.Text("authenticationProtocol")
	if protocol == "JwtExchange" {
		ch.find("credential-protocol", "authenticationProtocol", "external credentials do not support JwtExchange",
			`External Credentials don't support the "JwtExchange" authentication protocol`,
			"write Oauth, with a parameter AuthProtocolVariant of the value JwtBearer")
	}
	if protocol != "Oauth" || elsewhere(c) {
		return
	}
	ch.variant(c)
	if token, err := url.Parse(TokenURL(c)); err == nil {
		ch.token = token
	}
	number := 0
	for _, f := range c.Fields {
		if f.Name == externalParameters {
			ch.parameter(f, fmt.Sprintf("%s[%d].parameterValue", externalParameters, number))
			number++
		}
	}
}

// variant checks for the parameters that the protocol Oauth requires.
func (ch *check) variant(c *metadata.Component) {
	ch.flow = Variant(c)
	switch variant := ch.flow; {
	case variant == "":
		ch.find("credential-protocol", externalParameters, "has neither a parameter AuthProtocolVariant nor an Auth. Provider", "",
			"add AuthProtocolVariant with the value ClientCredentialsClientSecret or JwtBearer")
		ch.findings[len(ch.findings)-1].Level = finding.Warning // it may deploy
	case len(parameters(c, externalParameters, "AuthProviderUrl")) == 0:
		ch.find("credential-protocol", externalParameters, "has no parameter AuthProviderUrl",
			fmt.Sprintf(saysParameters, variant),
			"add one with the token URL, like "+exampleTokenURL)
	}
}

const exampleTokenURL = "https://acme.my.salesforce.com/services/oauth2/token"

// parameter checks a parameter, whose value is at a path.
func (ch *check) parameter(f metadata.Field, at string) {
	name, text := part(f, "parameterName"), part(f, "parameterValue")
	isFormula := strings.Contains(text, "{!")
	switch part(f, "parameterType") {
	case "AuthProviderUrl":
		ch.tokenURL(text, at)
	case "AuthParameter":
		if strings.EqualFold(name, "Scope") && isSalesforce(ch.token) {
			ch.find("scope-against-salesforce", at, "sends a scope, which Salesforce's token endpoint refuses",
				saysScope, "remove the parameter "+name)
		}
	case "JwtBodyClaim":
		if name == "aud" && !json.Valid([]byte(text)) && !isFormula && literal.Placeholder(text) == "" {
			ch.find("claim-json", at, "the value of aud is not JSON",
				"The JWT aud claim has invalid JSON syntax", "put it in quotation marks")
		}
	}
}

func (ch *check) tokenURL(text, at string) {
	switch {
	case literal.Placeholder(text) != "":
	case ch.token.Host == "":
		ch.find("token-url", at, "is not a URL", saysTokenURL, "write the token URL of the org that is called, like "+exampleTokenURL)
	case ch.token.Scheme == "http" && !platform.IsLoopbackHost(ch.token.Hostname()):
		ch.find("token-url", at, "sends the secret without encryption, by http", "", "use https")
	case isLoginHost(ch.token) && strings.HasPrefix(ch.flow, "ClientCredentials"):
		ch.find("token-url", at, text+" is the login host, which does not serve the flow",
			saysTokenURL, "use the own domain of the org that is called")
	case isLoginHost(ch.token) && ch.flow == jwtVariant:
		ch.find("token-url", at, text+" is the login host, which serves JWT bearer of Connected Apps, and perhaps not of External Client Apps",
			"", "use the own domain of the org that is called, which serves both")
		ch.findings[len(ch.findings)-1].Level = finding.Warning
	}
}
