package simorg

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apiversion"
	"github.com/ecakit/ecakit/pkg/connection"
)

// storedCredential is what an org keeps of a principal, and never shows but for the client ID.
type storedCredential struct {
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	Variant      string `json:"variant"`
}

// parameter is one of the parameters of an external or named credential.
type parameter struct{ typ, name, text, credential string }

func parameters(rec *record, field string) (all []parameter) {
	for _, v := range rec.fields {
		if v.Name == field {
			all = append(all, parameter{
				typ: v.at("parameterType"), name: v.at("parameterName"), text: v.at("parameterValue"),
				credential: v.at("externalCredential"),
			})
		}
	}
	return all
}

// firstOf returns the first parameter of a type, or an empty one.
func firstOf(all []parameter, typ string) parameter {
	for _, p := range all {
		if p.typ == typ {
			return p
		}
	}
	return parameter{}
}

func credentialKey(external, principal string) string {
	return strings.ToLower(external) + "\x00" + strings.ToLower(principal)
}

// checkExternalCredential checks an external credential, and forgets the secrets of principals
// that it no longer has: a deploy or an upsert replaces the whole.
func (o *Org) checkExternalCredential(rec *record) error {
	all := parameters(rec, "externalCredentialParameters")
	protocol := rec.text("authenticationProtocol")
	if protocol == "JwtExchange" {
		return refuse(invalid, "External Credentials don't support the \"JwtExchange\" authentication protocol")
	}
	if variant := firstOf(all, "AuthProtocolVariant"); protocol == "Oauth" && strings.HasPrefix(variant.text, "ClientCredentials") && firstOf(all, "AuthProviderUrl").text == "" {
		return refuse(invalid, "The authentication protocol \"Oauth %s\" requires the following external credential parameter types: AuthProtocolVariant, AuthProviderUrl.", variant.text)
	}
	for _, p := range all {
		if p.typ == "JwtBodyClaim" && (p.name == "aud" || o.is("jwt-claims", "all")) && !json.Valid([]byte(p.text)) {
			return refuse(invalid, "The JWT %s claim has invalid JSON syntax", p.name)
		}
	}
	var kept []string
	for _, p := range all {
		if p.typ == "NamedPrincipal" {
			kept = append(kept, p.name)
			if key := credentialKey(rec.fullName, p.name); o.state.Principals[key] == "" {
				o.state.Principals[key] = o.nextID("4Rm")
			}
		}
	}
	o.forgetSecrets(rec.fullName, kept)
	return nil
}

// forgetSecrets deletes the principals of an external credential but some, with their secrets and
// whoever has access to them.
func (o *Org) forgetSecrets(external string, kept []string) {
	keep := make(map[string]bool)
	for _, name := range kept {
		keep[credentialKey(external, name)] = true
	}
	for _, key := range slices.Sorted(maps.Keys(o.state.Principals)) {
		if strings.HasPrefix(key, strings.ToLower(external)+"\x00") && !keep[key] {
			id := o.state.Principals[key]
			o.state.Access = slices.DeleteFunc(o.state.Access, func(r row) bool { return r["setupentityid"] == id })
			delete(o.state.Principals, key)
			delete(o.state.Stored, key)
		}
	}
}

func (o *Org) checkNamedCredential(rec *record) error {
	if external := firstOf(parameters(rec, "namedCredentialParameters"), "Authentication").credential; external != "" && o.find(connection.ExternalCredential, external) == nil {
		return refuse("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id: %s", external) // assumed
	}
	return nil
}

func (o *Org) isPrincipal(id string) bool {
	return slices.Contains(slices.Collect(maps.Values(o.state.Principals)), id)
}

// credentialBody is the body of the resource credential.
type credentialBody struct {
	ExternalCredential            string `json:"externalCredential"`
	PrincipalName                 string `json:"principalName"`
	PrincipalType                 string `json:"principalType"`
	AuthenticationProtocol        string `json:"authenticationProtocol"`
	AuthenticationProtocolVariant string `json:"authenticationProtocolVariant"`
	Credentials                   map[string]struct {
		Value     string `json:"value"`
		Encrypted bool   `json:"encrypted"`
	} `json:"credentials"`
}

// namedCredentials answers the resources below /named-credentials, from API 56 on.
func (o *Org) namedCredentials(r *http.Request, path string, body []byte, version apiversion.Version) (any, *restError) {
	if version < 56 {
		return nil, notFoundREST
	}
	resource, name, _ := strings.Cut(path, "/")
	switch {
	case resource == "credential" && r.Method == http.MethodGet:
		q := r.URL.Query()
		return o.credential(q.Get("externalCredential"), q.Get("principalName"))
	case resource == "credential" && (r.Method == http.MethodPost || r.Method == http.MethodPut):
		return o.storeCredential(r.Method, body)
	case resource == "external-credentials" && name != "" && r.Method == http.MethodGet:
		rec := o.find(connection.ExternalCredential, name)
		if rec == nil {
			return nil, notFoundREST
		}
		principals := []any{}
		for _, p := range parameters(rec, "externalCredentialParameters") {
			if p.typ == "NamedPrincipal" {
				principals = append(principals, map[string]any{
					"id": o.state.Principals[credentialKey(name, p.name)], "principalName": p.name,
					"principalType": "NamedPrincipal", "authenticationStatus": o.status(rec, p.name),
				})
			}
		}
		return map[string]any{"developerName": rec.fullName, "authenticationProtocol": "OAuth", "principals": principals}, nil
	}
	return nil, notFoundREST
}

// status is whether a principal can log in: with a stored secret, or by a certificate.
func (o *Org) status(external *record, principal string) string {
	variant := firstOf(parameters(external, "externalCredentialParameters"), "AuthProtocolVariant").text
	if o.state.Stored[credentialKey(external.fullName, principal)] != nil || variant == "JwtBearer" {
		return "Configured"
	}
	return "NotConfigured"
}

func (o *Org) principalOf(external, principal string) (*record, bool) {
	rec := o.find(connection.ExternalCredential, external)
	return rec, rec != nil && o.state.Principals[credentialKey(external, principal)] != ""
}

func (o *Org) credential(external, principal string) (any, *restError) {
	rec, known := o.principalOf(external, principal)
	stored := o.state.Stored[credentialKey(external, principal)]
	if !known || stored == nil && o.is("no-stored-credential", "not-found") {
		return nil, notFoundREST
	}
	credentials := map[string]any{}
	if stored != nil {
		id := map[string]any{"encrypted": false}
		if o.is("client-id-shown", "shown") {
			id["value"] = stored.ClientID
		}
		credentials["clientId"], credentials["clientSecret"] = id, map[string]any{"encrypted": true}
	}
	return map[string]any{
		"externalCredential": rec.fullName, "principalName": principal, "principalType": "NamedPrincipal", "authenticationProtocol": "OAuth",
		"authenticationStatus": o.status(rec, principal), "credentials": credentials,
	}, nil
}

func (o *Org) storeCredential(method string, body []byte) (any, *restError) {
	b, failure := decodeBody[credentialBody](body)
	if failure != nil {
		return nil, failure
	}
	wrong := func(format string, args ...any) (any, *restError) {
		return nil, &restError{http.StatusBadRequest, "INVALID_API_INPUT", fmt.Sprintf(format, args...)}
	}
	rec, known := o.principalOf(b.ExternalCredential, b.PrincipalName)
	if !known {
		return nil, notFoundREST
	}
	if b.AuthenticationProtocol != "OAuth" {
		return wrong("Invalid authentication protocol: %s", b.AuthenticationProtocol) // assumed wording
	}
	if b.Credentials["clientId"].Encrypted {
		return wrong("The credential clientId can't be encrypted") // assumed wording
	}
	key := credentialKey(b.ExternalCredential, b.PrincipalName)
	if method == http.MethodPost && o.state.Stored[key] != nil {
		status := http.StatusConflict
		if o.is("stored-credential-conflict", "400") {
			status = http.StatusBadRequest
		}
		return nil, &restError{status, "CONFLICT", fmt.Sprintf("Authentication credentials for %s already exist. Use the PUT method to overwrite them.", rec.fullName)}
	}
	id, secret := b.Credentials["clientId"].Value, b.Credentials["clientSecret"].Value
	o.state.Stored[key] = &storedCredential{id, secret, b.AuthenticationProtocolVariant}
	return o.credential(b.ExternalCredential, b.PrincipalName)
}

// permitObject makes or changes what a permission set may do with an object.
func (o *Org) permitObject(id string, body []byte) (any, *restError) {
	fields, failure := decodeBody[struct {
		ParentID        string `json:"ParentId"`
		SObjectType     string `json:"SobjectType"`
		PermissionsRead bool
	}](body)
	if failure != nil {
		return nil, failure
	}
	if id != "" {
		permission := by(o.state.ObjectPermissions, id)
		if permission == nil {
			return nil, notFoundREST
		}
		permission["permissionsread"] = fields.PermissionsRead
		return noContent, nil
	}
	if !o.hasPermissionSet(fields.ParentID) {
		return nil, invalidReference
	}
	return o.insert(&o.state.ObjectPermissions, "110", row{"parentid": fields.ParentID, "sobjecttype": fields.SObjectType, "permissionsread": fields.PermissionsRead})
}

// Stored returns the client ID and secret that the org keeps for a principal, "" where there are
// none.
func (o *Org) Stored(external, principal string) (clientID, clientSecret string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if stored := o.state.Stored[credentialKey(external, principal)]; stored != nil {
		return stored.ClientID, stored.ClientSecret
	}
	return "", ""
}

// calloutError is the platform's text.
type calloutError string

func (e calloutError) Error() string { return string(e) }

// Callout is what Apex meets that calls callout:NAME as a user: it fetches a token from where the
// external credential says. The error is the platform's. It stands for a callout, whose answer
// does not matter.
func (o *Org) Callout(named, username string) error {
	tokenURL, form, err := o.prepareCallout(named, username)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.PostForm(tokenURL, form)
	if err != nil {
		return calloutError("The expired credentials couldn't be refreshed. Try again later.")
	}
	defer resp.Body.Close()
	data, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if resp.StatusCode == http.StatusOK {
		return nil
	}
	var refused struct {
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if json.Unmarshal(data, &refused) != nil || refused.Error == "" {
		return calloutError("The expired credentials couldn't be refreshed. Try again later.")
	}
	return calloutError(fmt.Sprintf("Unable to fetch the OAuth token. Error: %s. Error description: %s.", refused.Error, refused.Description))
}

func (o *Org) prepareCallout(named, username string) (tokenURL string, form url.Values, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rec := o.find(connection.NamedCredential, named)
	if rec == nil {
		return "", nil, calloutError(fmt.Sprintf("The callout couldn't access the endpoint. The named credential \"%s\" might not exist.", named)) // assumed
	}
	externalName := firstOf(parameters(rec, "namedCredentialParameters"), "Authentication").credential
	external := o.find(connection.ExternalCredential, externalName)
	noAccess := calloutError(fmt.Sprintf("We couldn't access the credential(s). You might not have the required permissions, or the external credential \"%s\" might not exist.", externalName))
	user := o.userIndex(username)
	if external == nil || user < 0 {
		return "", nil, noAccess
	}
	all := parameters(external, "externalCredentialParameters")
	principal := firstOf(all, "NamedPrincipal").name
	var reads, has bool
	for _, rec := range o.permissionSets() {
		set := rec.id
		if !o.isAssigned(user, set) {
			continue
		}
		has = has || o.hasAccess(set, o.state.Principals[credentialKey(externalName, principal)])
		reads = reads || slices.ContainsFunc(o.state.ObjectPermissions, func(r row) bool {
			return r["parentid"] == set && r["sobjecttype"] == "UserExternalCredential" && r["permissionsread"] == true
		})
	}
	stored := o.state.Stored[credentialKey(externalName, principal)]
	switch {
	case !has:
		return "", nil, noAccess
	case !reads:
		return "", nil, calloutError("You don't have read permissions on the User External Credential object")
	case stored == nil:
		return "", nil, calloutError("The external credential isn't fully configured.")
	}
	form = url.Values{"grant_type": {"client_credentials"}, "client_id": {stored.ClientID}, "client_secret": {stored.ClientSecret}}
	if scope := firstOf(all, "AuthParameter"); strings.EqualFold(scope.name, "Scope") {
		form.Set("scope", scope.text)
	}
	return firstOf(all, "AuthProviderUrl").text, form, nil
}
