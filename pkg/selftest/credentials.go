package selftest

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/mdapi"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/salesforce"
)

// credentialProbes ask about external credentials.
var credentialProbes = []probe{
	{[]string{"no-stored-credential", "client-id-shown", "stored-credential-conflict"}, askStored},
	{[]string{"jwt-claims"}, askClaims},
}

// external returns a throw-away external credential for the org itself.
func (r *run) external(name, certificate string) (*metadata.Component, error) {
	components, err := connection.Connection{
		NamedCredential: name, ProviderURL: r.conn.InstanceURL, Certificate: certificate, Username: r.user.Username,
	}.Components()
	if err != nil {
		return nil, err
	}
	return components[0], nil
}

// askStored stores made-up credentials with a throw-away principal.
func askStored(ctx context.Context, r *run) error {
	if err := r.mainHeader(ctx); err != nil {
		return err
	}
	external, err := r.external(r.name, "")
	if err != nil {
		return err
	}
	if err := upsert(ctx, r.meta, external); err != nil {
		return err
	}
	const resource = "named-credentials/credential"
	query := "?externalCredential=" + url.QueryEscape(r.name) + "&principalName=" + connection.DefaultPrincipal + "&principalType=NamedPrincipal"
	none, err := r.call(ctx, http.MethodGet, resource+query, nil)
	switch {
	case salesforce.Code(err) == "NOT_FOUND":
		r.saw("no-stored-credential", "not-found", "%s", says(err))
	case err != nil:
		return err
	default:
		r.saw("no-stored-credential", "empty", "HTTP %d with credentials %s", none.status, none.body["credentials"])
	}
	clientID := "selftest" + random(8)
	type value struct {
		Value     string `json:"value"`
		Encrypted bool   `json:"encrypted"`
	}
	stored := map[string]any{
		"externalCredential": r.name, "principalName": connection.DefaultPrincipal, "principalType": "NamedPrincipal",
		"authenticationProtocol": "OAuth", "authenticationProtocolVariant": connection.Variant(external),
		"credentials": map[string]value{"clientId": {clientID, false}, "clientSecret": {random(8), true}},
	}
	if _, err := r.call(ctx, http.MethodPost, resource, stored); err != nil {
		return err
	}
	shown, err := r.call(ctx, http.MethodGet, resource+query, nil)
	if err != nil {
		return err
	}
	if strings.Contains(string(shown.body["credentials"]), clientID) {
		r.saw("client-id-shown", "shown", "the answer has the client ID that was stored")
	} else {
		r.saw("client-id-shown", "hidden", "the answer has no value of clientId")
	}
	_, err = r.call(ctx, http.MethodPost, resource, stored)
	if refused, ok := err.(*salesforce.Error); ok {
		r.saw("stored-credential-conflict", map[int]string{http.StatusConflict: "409", http.StatusBadRequest: "400"}[refused.Status], "%s", says(err))
		return nil
	}
	if err == nil {
		r.unknown("stored-credential-conflict", "the org accepts a second POST")
	}
	return err
}

// askClaims sends a JWT bearer credential with bare claims. It names a certificate that the org need not
// have: what it says about the claims counts.
func askClaims(ctx context.Context, r *run) error {
	if err := r.mainHeader(ctx); err != nil {
		return err
	}
	external, err := r.external(r.name+jwtCredential, "Selftest")
	if err != nil {
		return err
	}
	external.Fields = append(external.Fields, metadata.Field{Name: "externalCredentialParameters", Fields: []metadata.Field{
		{Name: "parameterGroup", Text: "DefaultGroup"}, {Name: "parameterName", Text: "iss"}, {Name: "parameterType", Text: "JwtBodyClaim"}, {Name: "parameterValue", Text: "bare"},
	}})
	err = upsert(ctx, r.meta, external)
	refused, isRefused := err.(*mdapi.ComponentError)
	switch {
	case err == nil:
		r.saw("jwt-claims", "aud", "bare claims iss and sub are accepted")
	case isRefused && strings.Contains(refused.Message, "invalid JSON syntax"):
		r.saw("jwt-claims", "all", "%s", says(err))
	case isRefused:
		r.unknown("jwt-claims", "refused for another reason: %s", says(err))
	default:
		return err
	}
	return nil
}
