package login

import (
	"errors"
	"strings"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Cause is the reason of a refusal, as far as the token endpoint's answer shows it.
type Cause string

// The causes. Diagnose asks the org about all but OtherCause.
const (
	UnknownConsumer Cause = "unknown-consumer" // the key is wrong, of another org, or not known yet
	FlowOff         Cause = "flow-off"         // the client credentials flow is off in the settings or the policies
	NoRunAsUser     Cause = "no-run-as-user"   // the policies name no user
	NotAuthorised   Cause = "not-authorised"   // no permission set of the user's grants the app
	InactiveUser    Cause = "inactive-user"    // the run-as user, or the JWT's
	WrongAssertion  Cause = "wrong-assertion"  // the JWT, as by a key of another certificate
	NotApproved     Cause = "not-approved"     // all users may authorise the app themselves, and this one never did
	NoRefreshScope  Cause = "no-refresh-scope" // JWT bearer without the scope RefreshToken
	OtherCause      Cause = "other"
)

// Refusal explains an answer of a token endpoint.
type Refusal struct {
	Code        string
	Description string // a part of it, in lower case
	Cause       Cause
	Means       string // what is wrong, in one sentence without its full stop
	Fix         string // what to do
}

// unapproved is the description for users who did not approve an app, and for apps that the endpoint
// does not know yet.
const unapproved = "user hasn't approved this consumer"

// refusals are the known refusals of the token endpoint. Sources: Salesforce's documentation of its
// error codes, and answers of live orgs.
var refusals = []Refusal{
	{"invalid_client_id", "client identifier invalid", UnknownConsumer, "the org does not know the consumer key", "a new consumer takes 2 to 10 minutes, at most 30, to be known everywhere: wait for it, or check that the key is of this org"},
	{"invalid_client", "invalid client credentials", OtherCause, "the secret is not the one that belongs to the key", "read both again"},
	{"invalid_grant", "no client credentials user enabled", NoRunAsUser, "the client credentials flow is on, and the OAuth policies name no user to run as", "name clientCredentialsFlowUser in the OAuth policies of this environment, and deploy them"},
	{"invalid_grant", "client credentials flow not enabled", FlowOff, "the client credentials flow is off", "set isClientCredentialsFlowEnabled to true in globalOauthSettings and in the OAuth policies"},
	{"invalid_grant", "request not supported on this domain", OtherCause, "the flow works on the org's My Domain only", "use the org's own domain as base URL, not login.salesforce.com or test.salesforce.com"},
	{"invalid_request", "scope parameter not supported", OtherCause, "the client credentials flow takes no scope", "remove the scope from the request; the app's scopes count"},
	{"invalid_app_access", "user is not admin approved to access this app", NotAuthorised, "only pre-authorised users may use the app, and this user has no permission set that grants it", "assign such a permission set to the user"},
	{"invalid_grant", unapproved, NotApproved, "the user has not approved the app, or the org does not know the app yet", "let only pre-authorised users in (permittedUsersPolicyType AdminApprovedPreAuthorized) and grant the app to a permission set of the user's; after a change, wait some minutes"},
	{"invalid_request", "refresh_token scope is required", NoRefreshScope, "JWT bearer needs the scope RefreshToken, and the user to be pre-authorised", "add RefreshToken to commaSeparatedOauthScopes, and let only pre-authorised users in"},
	{"invalid_grant", "audience is invalid", OtherCause, "the JWT names an audience that the org does not accept", "name the login host (https://login.salesforce.com, https://test.salesforce.com for sandboxes) or the org's own domain as aud"},
	{"invalid_grant", "invalid assertion", WrongAssertion, "the JWT is not signed by the key of the certificate that the app has", "check that the private key belongs to the certificate in globalOauthSettings, and that the clock is right"},
	{"invalid_grant", "expired assertion", OtherCause, "the JWT is too old", "check that the clock of this machine is right"},
	{"invalid_grant", "ip restricted", OtherCause, "the org does not let this machine's address in", "relax ipRelaxationPolicyType in the OAuth policies, or add the address to the trusted ranges"},
	{"inactive_user", "user is inactive", InactiveUser, "the user is not active", "activate the user, or name another one"},
	{"inactive_org", "org is locked, closed, or suspended", OtherCause, "the org is locked, closed or suspended", "have it opened again"},
	{"invalid_grant", "expired access/refresh token", OtherCause, "the token was revoked, or is too old", "log in again"},
	{"invalid_grant", "invalid code verifier", OtherCause, "the code verifier does not belong to the code challenge (PKCE)", "send the verifier from which the challenge was made"},
	{"unsupported_grant_type", "grant type not supported", OtherCause, "the host does not serve this flow, or was not called by POST over https", "call the org's own domain over https"},
	{"app_not_found", "external client app is not installed in this org", OtherCause, "the login host does not know the app", "use the org's own domain as base URL"},
	{"invalid_request", "missing required code challenge", OtherCause, "the app demands PKCE", "send code_challenge with code_challenge_method=S256"},
	{"OAUTH_APP_ACCESS_DENIED", "", NotAuthorised, "only pre-authorised users may use the app, and this user has no permission set that grants it", "assign such a permission set to the user"},
	{"OAUTH_APP_BLOCKED", "", OtherCause, "an administrator has blocked the app", "unblock it"},
	{"redirect_uri_mismatch", "", OtherCause, "the redirect URL is none of the app's callback URLs", "add it to callbackUrl of globalOauthSettings"},
}

// Explain explains an error of Verify. ok is false if it is not a known refusal.
func Explain(err error) (r Refusal, ok bool) {
	refused, is := errors.AsType[*salesforce.TokenRefusal](err)
	if !is {
		return r, false
	}
	for _, r := range refusals {
		if r.Code == refused.Code && strings.Contains(strings.ToLower(refused.Description), r.Description) {
			return r, true
		}
	}
	return r, false
}
