// Package connection describes how one org calls another: an External Credential with the login, and
// a Named Credential with the address. It is data and rules; it calls no org.
//
//	c := connection.Connection{NamedCredential: "Crm", ProviderURL: "https://crm.my.salesforce.com"}
//	components, err := c.Components()
package connection

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/platform"
)

// Connection is how an org calls another one.
type Connection struct {
	NamedCredential    string // the name that Apex calls, as in callout:NAME
	ExternalCredential string // "" is the same name
	Principal          string // who logs in; "" is Integration
	Label              string // "" is the named credential's name

	// ProviderURL is the My Domain of the org that is called.
	ProviderURL string

	// Certificate is the name of a certificate of the calling org, for JWT bearer. "" uses
	// client credentials with a secret.
	Certificate string
	// Username is whom a JWT logs in as, and Audience whom it is for: "" is ProviderURL.
	Username, Audience string
	// JSONClaims writes the claims of a JWT that are new or differ as JSON. Default: aud alone. Orgs
	// may differ, see jwt-claims of pkg/platform.
	JSONClaims bool

	// PermissionSets let their users call.
	PermissionSets []string
}

// DefaultPrincipal is the name of a principal that nobody named.
const DefaultPrincipal = "Integration"

// Complete returns the connection with the defaults of fields that are left out.
func (c Connection) Complete() Connection {
	c.ExternalCredential = cmp.Or(c.ExternalCredential, c.NamedCredential)
	c.Principal = cmp.Or(c.Principal, DefaultPrincipal)
	c.Label = cmp.Or(c.Label, strings.ReplaceAll(c.NamedCredential, "_", " "))
	c.ProviderURL = strings.TrimSuffix(c.ProviderURL, "/")
	c.Audience = cmp.Or(c.Audience, c.ProviderURL)
	return c
}

// Check returns an error if the connection is invalid on any org.
func (c Connection) Check() error {
	c = c.Complete()
	for i, name := range []string{c.NamedCredential, c.ExternalCredential, c.Principal} {
		if err := eca.CheckName(name); err != nil {
			what := []string{"named credential", "external credential", "principal"}[i]
			return fmt.Errorf("%q cannot be the name of the %s: %w", name, what, err)
		}
	}
	if _, err := platform.ParseInstance(c.ProviderURL); err != nil {
		return err
	}
	if c.Certificate != "" && c.Username == "" {
		return errors.New("JWT bearer needs the user to log in as")
	}
	return nil
}

// The values of parameters. Those for a secret are as they work against another org; those of
// JWT bearer are Salesforce's documentation's.
const (
	secretVariant = "ClientCredentialsClientSecret"
	jwtVariant    = "JwtBearer"
	group         = "DefaultGroup"
)

// Variant returns the authentication protocol variant: JWT bearer with a certificate, client
// credentials with a secret without one.
func (c Connection) Variant() string {
	if c.Certificate != "" {
		return jwtVariant
	}
	return secretVariant
}

func (c Connection) tokenURL() string { return c.ProviderURL + "/services/oauth2/token" }

// parameter builds a value of externalCredentialParameters or namedCredentialParameters from
// names and texts in turn; "" texts are left out.
func parameter(field string, pairs ...string) metadata.Field {
	f := metadata.Field{Name: field}
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			f.Fields = append(f.Fields, metadata.Field{Name: pairs[i], Text: pairs[i+1]})
		}
	}
	f.Fields = metadata.InOrder(f.Fields)
	return f
}

const (
	externalParameters = "externalCredentialParameters"
	namedParameters    = "namedCredentialParameters"
)

// part returns a text within a structure.
func part(f metadata.Field, name string) string {
	for _, p := range f.Fields {
		if p.Name == name {
			return strings.TrimSpace(p.Text)
		}
	}
	return ""
}

// parameters returns a component's parameters of a type.
func parameters(c *metadata.Component, field, typ string) (found []metadata.Field) {
	if c == nil {
		return nil
	}
	for _, f := range c.Fields {
		if f.Name == field && part(f, "parameterType") == typ {
			found = append(found, f)
		}
	}
	return found
}

// unquote returns the text of a claim. Retrieved files have claims bare, except for aud; quoted ones
// are read too. Source: platform-named.md, "Source".
func unquote(claim string) string {
	var text string
	if json.Unmarshal([]byte(claim), &text) == nil {
		return text
	}
	return claim
}

// Issuer returns the consumer key with which an external credential signs JWTs, or "".
func Issuer(c *metadata.Component) (key string) {
	for _, f := range parameters(c, externalParameters, "JwtBodyClaim") {
		if part(f, "parameterName") == "iss" {
			key = unquote(part(f, "parameterValue"))
		}
	}
	return key
}

// kept returns a text of the org's parameter of a type if there is exactly one, or otherwise.
func kept(existing *metadata.Component, field, typ, name, otherwise string) string {
	if found := parameters(existing, field, typ); len(found) == 1 {
		return part(found[0], name)
	}
	return otherwise
}

// external returns the wanted fields of the external credential. Parameters of which there is one
// keep the name that the org has for it.
func (c Connection) external(existing *metadata.Component, key string) metadata.Fields {
	fields := make(metadata.Fields)
	fields.Set("authenticationProtocol", "Oauth")
	add := func(typ, named string, more ...string) {
		all := append([]string{"parameterType", typ, "parameterName", named}, more...)
		fields[externalParameters] = append(fields[externalParameters], parameter(externalParameters, all...))
	}
	single := func(typ, name, what, text string) {
		name = kept(existing, externalParameters, typ, "parameterName", name)
		add(typ, name, what, text, "parameterGroup", kept(existing, externalParameters, typ, "parameterGroup", group))
	}
	single("AuthProtocolVariant", "Oauth", "parameterValue", c.Variant())
	single("AuthProviderUrl", "AuthProviderUrl", "parameterValue", c.tokenURL())
	if c.Certificate != "" {
		single("SigningCertificate", "SigningCertificate", "certificate", c.Certificate)
		for _, claim := range [][2]string{{"iss", key}, {"sub", c.Username}, {"aud", c.Audience}} {
			text := claim[1]
			if c.JSONClaims || claim[0] == "aud" {
				quoted, _ := json.Marshal(text)
				text = string(quoted)
			}
			for _, f := range parameters(existing, externalParameters, "JwtBodyClaim") {
				if was := part(f, "parameterValue"); part(f, "parameterName") == claim[0] && unquote(was) == unquote(text) {
					text = was // the same claim keeps its spelling
				}
			}
			add("JwtBodyClaim", claim[0], "parameterValue", text, "parameterGroup", group)
		}
	}
	principal := []string{"sequenceNumber", "1", "parameterGroup", c.Principal}
	for _, f := range parameters(existing, externalParameters, "NamedPrincipal") {
		if strings.EqualFold(part(f, "parameterName"), c.Principal) {
			principal = []string{"parameterGroup", part(f, "parameterGroup")} // whatever else it has stays
		}
	}
	add("NamedPrincipal", c.Principal, principal...)
	return fields
}

// named returns the wanted fields of the named credential.
func (c Connection) named(existing *metadata.Component) metadata.Fields {
	fields := make(metadata.Fields)
	add := func(typ, name, what, text string) {
		name = kept(existing, namedParameters, typ, "parameterName", name)
		f := parameter(namedParameters, "parameterType", typ, "parameterName", name, what, text)
		fields[namedParameters] = append(fields[namedParameters], f)
	}
	add("Url", "Url", "parameterValue", c.ProviderURL)
	add("Authentication", "ExternalCredential", "externalCredential", c.ExternalCredential)
	fields.Set("calloutStatus", "Enabled")
	return fields
}

// defaults returns the fields of new credentials that are left alone on existing ones.
func (c Connection) defaults() (external, named metadata.Fields) {
	return metadata.Stated("label", c.Label), metadata.Stated("label", c.Label, "namedCredentialType", securedEndpoint,
		"generateAuthorizationHeader", "true", "allowMergeFieldsInBody", "false", "allowMergeFieldsInHeader", "false")
}

// Components returns the external and the named credential of a connection as Connect makes them
// on an org that has neither. They hold no secret; those of JWT bearer hold no consumer key either,
// without which they are not complete.
func (c Connection) Components() ([]*metadata.Component, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	c = c.Complete()
	external, named := c.defaults()
	return []*metadata.Component{
		metadata.New(ExternalCredential, c.ExternalCredential, c.external(nil, "").Over(external)),
		metadata.New(NamedCredential, c.NamedCredential, c.named(nil).Over(named)),
	}, nil
}

// Wants returns what the org that calls should have: the external credential, then the named one.
// existing are its present credentials, or nil; key is the consumer key, which JWTs have as issuer.
func (c Connection) Wants(external, named *metadata.Component, key string) []*metadata.Want {
	externalDefaults, namedDefaults := c.defaults()
	login := &metadata.Want{
		Type: Lookup(ExternalCredential), Names: []string{c.ExternalCredential},
		Fields: c.external(external, key), Defaults: externalDefaults,
	}
	return []*metadata.Want{login, {
		Type: Lookup(NamedCredential), Names: []string{c.NamedCredential},
		Fields: c.named(named), Defaults: namedDefaults, After: []*metadata.Want{login},
	}}
}

// Replacing is Wants for credentials of which those that serve another purpose are replaced: of them,
// nothing stays.
func (c Connection) Replacing(external, named *metadata.Component, key string) []*metadata.Want {
	replaced := []bool{len(c.Conflicts(external, nil)) > 0, len(c.Conflicts(nil, named)) > 0}
	existing := []*metadata.Component{external, named}
	for i, isReplaced := range replaced {
		if isReplaced {
			existing[i] = nil
		}
	}
	wants := c.Wants(existing[0], existing[1], key)
	for i, old := range []*metadata.Component{external, named} {
		if replaced[i] {
			wants[i].Type = unkeyed(wants[i].Type)
			fields := wants[i].Fields.Over(wants[i].Defaults)
			for _, f := range old.Fields {
				if !fields.Has(f.Name) {
					fields[f.Name] = nil
				}
			}
			wants[i].Fields = fields
		}
	}
	return wants
}

// unkeyed returns a type of which stated values replace all values of a field.
func unkeyed(typ *metadata.Type) *metadata.Type {
	same := *typ
	same.Fields = slices.Clone(typ.Fields)
	for i := range same.Fields {
		same.Fields[i].Keys = nil
	}
	return &same
}

// Difference is something in which an org's credential is for something else.
type Difference struct {
	Component string `json:"component"` // its type and name
	What      string `json:"what"`
	Is        string `json:"is"`
	Wanted    string `json:"wanted"`
}

// ConflictError says that the names are taken by credentials for something else.
type ConflictError struct{ Differences []Difference }

func (e *ConflictError) Error() string {
	d := e.Differences[0]
	text := fmt.Sprintf("%s is for something else: its %s is %s, and %s is wanted", d.Component, d.What, d.Is, cmp.Or(d.Wanted, "none"))
	if more := len(e.Differences) - 1; more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

// legacy is the type of named credentials that hold address and login themselves. Retrieved ones have no
// namedCredentialType. Source: platform-named.md, the last section.
const legacy = "Legacy"

// securedEndpoint is the type of named credentials that leave the login to an external credential.
const securedEndpoint = "SecuredEndpoint"

// legacyFields are the fields that only legacy named credentials have.
var legacyFields = []string{
	"endpoint", "protocol", "principalType", "username", "authProvider", "authTokenEndpointUrl", "oauthScope",
	"awsAccessKey", "awsRegion", "awsService", "certificate", "jwtIssuer", "jwtAudience", "jwtFormulaSubject", "jwtTextSubject", "jwtSigningCertificate",
}

// IsLegacy reports whether a named credential holds address and login itself.
func IsLegacy(named *metadata.Component) bool {
	typ := named.Text("namedCredentialType")
	return typ == "" || typ == legacy || slices.ContainsFunc(legacyFields[:3], func(field string) bool { return named.Text(field) != "" })
}

// Conflicts returns the differences between an org's credentials and those of the connection that
// show that the org's are for something else.
func (c Connection) Conflicts(external, named *metadata.Component) (all []Difference) {
	differ := func(of *metadata.Component, what, is, wanted string) {
		if is != "" && !strings.EqualFold(strings.TrimSuffix(is, "/"), strings.TrimSuffix(wanted, "/")) {
			all = append(all, Difference{of.Type + " " + of.FullName, what, is, wanted})
		}
	}
	each := func(of *metadata.Component, field, typ, name, what, wanted string) {
		for _, f := range parameters(of, field, typ) {
			differ(of, what, part(f, name), wanted)
		}
	}
	if external != nil {
		differ(external, "protocol", external.Text("authenticationProtocol"), "Oauth")
		each(external, externalParameters, "AuthProtocolVariant", "parameterValue", "variant", c.Variant())
		each(external, externalParameters, "AuthProviderUrl", "parameterValue", "token URL", c.tokenURL())
		each(external, externalParameters, "AuthProvider", "authProvider", "Auth. Provider", "")
		each(external, externalParameters, "ExternalAuthIdentityProvider", "externalAuthIdentityProvider", "identity provider", "")
		if len(parameters(external, externalParameters, "PerUserPrincipal")) > 0 {
			differ(external, "principal", "per user", "one for all")
		}
	}
	if named != nil {
		differ(named, "type", cmp.Or(named.Text("namedCredentialType"), legacy), securedEndpoint)
		if IsLegacy(named) {
			for _, field := range legacyFields {
				differ(named, field, named.Text(field), "")
			}
		}
		each(named, namedParameters, "Url", "parameterValue", "endpoint", c.ProviderURL)
		each(named, namedParameters, "Authentication", "externalCredential", "external credential", c.ExternalCredential)
	}
	return all
}
