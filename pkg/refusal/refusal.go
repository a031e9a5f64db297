// Package refusal is the table of the refusals of logins and sessions: what an org says, and the causes that it can
// have. It is data; package login decides which cause is the case.
package refusal

import "strings"

// Cause is the ID of a reason for which a login or a session is refused.
type Cause string

// The causes.
const (
	NewConsumer        Cause = "new-consumer"         // the token endpoint does not know it yet, see login.MaxPropagation
	UnknownConsumer    Cause = "unknown-consumer"     // the key is wrong, or of another org
	AppOff             Cause = "app-off"              // the app or its OAuth is switched off on the org
	WrongSecret        Cause = "wrong-secret"         // the secret does not belong to the key
	FlowOff            Cause = "flow-off"             // the client credentials flow is off in the global OAuth settings
	PoliciesFlowOff    Cause = "flow-off-in-policies" // the client credentials flow is off in the OAuth policies
	NoPolicies         Cause = "no-policies"          // the app has no OAuth policies on the org
	NoRunAsUser        Cause = "no-run-as-user"       // the policies name no user
	UnknownUser        Cause = "unknown-user"         // the org has no such user
	InactiveUser       Cause = "inactive-user"        // the run-as user, or the JWT's
	NoGrant            Cause = "no-grant"             // nothing grants the app
	NotAssigned        Cause = "not-assigned"         // the user has none of the permission sets that grant the app
	NotApproved        Cause = "not-approved"         // all users may authorise the app themselves, and this one never did
	NoRefreshScope     Cause = "no-refresh-scope"     // JWT bearer without the scope RefreshToken
	NoCertificate      Cause = "no-certificate"       // the app has none
	NotRSA             Cause = "not-rsa"              // the certificate has a key of another kind
	ShortKey           Cause = "short-key"            // the certificate has an RSA key of less than 2048 bits
	LargeCertificate   Cause = "large-certificate"    // the certificate has 4 KB or more
	ExpiredCertificate Cause = "expired-certificate"  // the certificate has expired
	OtherCertificate   Cause = "other-certificate"    // the certificate belongs to another private key
	WrongAssertion     Cause = "wrong-assertion"      // the JWT, for a reason that the org does not show
	WrongAudience      Cause = "wrong-audience"       // the JWT's
	WrongClock         Cause = "wrong-clock"          // the JWT is too old
	WrongHost          Cause = "wrong-host"           // it is not the org's My Domain
	ScopeSent          Cause = "scope-sent"           // client credentials take no scope
	WrongScope         Cause = "wrong-scope"          // the app lacks the requested scope
	IPRestricted       Cause = "ip-restricted"        // the address of this machine
	InactiveOrg        Cause = "inactive-org"         // the org is locked, closed or suspended
	RotatedAway        Cause = "rotated-away"         // a newer refresh token has replaced the one that was sent
	ExpiredToken       Cause = "expired-token"        // the token is revoked or too old
	NoChallenge        Cause = "no-challenge"         // the app requires PKCE
	WrongVerifier      Cause = "wrong-verifier"       // of PKCE
	WrongRequest       Cause = "wrong-request"        // not a POST over https of a flow that the host serves
	NotInstalled       Cause = "not-installed"        // the app is not on this org
	OtherOrg           Cause = "other-org"            // the app is a Local one of another org
	AppBlocked         Cause = "app-blocked"          // by an administrator
	WrongRedirect      Cause = "wrong-redirect"       // the redirect URL is none of the app's callback URLs
	NotApprovedAtAll   Cause = "approval-error"       // the authorize page's own answer for everything else
	DPoPRequired       Cause = "dpop-required"        // the app accepts no token without a DPoP proof
	MTLSRequired       Cause = "mtls-required"        // the app accepts no token without a client certificate
	NotForSOAP         Cause = "not-for-soap"         // SOAP refuses a JWT-based session before API 68.0
	SessionRestricted  Cause = "session-restricted"   // the org does not accept the session for API calls
	SessionEnded       Cause = "session-ended"        // the session has expired or was revoked
	OtherCause         Cause = "other"                // none of those that are known
)

// Refusal is what an org says to a login or a session, with its possible causes.
type Refusal struct {
	Code        string  // the error code, "" for any
	Description string  // a part of the description, as the org writes it; "" for any
	Where       Where   // who says it
	Causes      []Cause // in the order in which they are considered
}

// Where is the part of an org that refuses.
type Where string

// The parts.
const (
	Token     Where = "token"     // the token endpoint
	Authorize Where = "authorize" // the page on which a user approves the app, in the address that it redirects to
	API       Where = "API"       // REST or SOAP, of a session
)

// Unapproved is the description for users who did not approve an app, for apps that the endpoint does not know yet,
// and for JWTs of unknown users.
const Unapproved = "user hasn't approved this consumer"

// refusals are the known refusals. Of several that match, the first counts. Sources: Salesforce's documentation of
// its error codes, and answers of live orgs.
var refusals = []Refusal{
	{"invalid_client_id", "client identifier invalid", Token, []Cause{AppOff, NewConsumer, UnknownConsumer}},
	{"invalid_client", "invalid client credentials", Token, []Cause{WrongSecret}},
	{"invalid_grant", "no client credentials user enabled", Token, []Cause{NoPolicies, NoRunAsUser, UnknownUser, InactiveUser}},
	{"invalid_grant", "client credentials flow not enabled", Token, []Cause{FlowOff, NoPolicies, PoliciesFlowOff}},
	{"invalid_grant", "request not supported on this domain", Token, []Cause{WrongHost}},
	{"invalid_request", "scope parameter not supported", Token, []Cause{ScopeSent}},
	{"invalid_app_access", "user is not admin approved to access this app", Token, []Cause{NoGrant, NotAssigned}},
	{"invalid_grant", Unapproved, Token, []Cause{UnknownUser, InactiveUser, NotApproved, NoGrant, NotAssigned, NewConsumer}},
	{"invalid_request", "refresh_token scope is required", Token, []Cause{NoRefreshScope, NotApproved}},
	{"invalid_grant", "audience is invalid", Token, []Cause{WrongAudience}},
	{"invalid_grant", "invalid assertion", Token, []Cause{
		NoCertificate, NotRSA, ShortKey, LargeCertificate, ExpiredCertificate, OtherCertificate, UnknownUser, WrongAssertion,
	}},
	{"invalid_grant", "expired assertion", Token, []Cause{WrongClock}},
	{"invalid_grant", "ip restricted", Token, []Cause{IPRestricted}},
	{"inactive_user", "user is inactive", Token, []Cause{InactiveUser}},
	{"inactive_org", "org is locked, closed, or suspended", Token, []Cause{InactiveOrg}},
	{"invalid_grant", "expired access/refresh token", Token, []Cause{RotatedAway, ExpiredToken}},
	{"invalid_grant", "invalid code verifier", Token, []Cause{WrongVerifier}},
	{"unsupported_grant_type", "grant type not supported", Token, []Cause{WrongRequest}},
	{"", "External client app is not installed in this org", Token, []Cause{WrongHost, NotInstalled}},
	{"redirect_uri_mismatch", "", Authorize, []Cause{WrongRedirect}},
	{"invalid_request", "missing required code challenge", Authorize, []Cause{NoChallenge}},
	{"invalid_scope", "the requested scope is not allowed", Authorize, []Cause{WrongScope}},
	{"OAUTH_APP_ACCESS_DENIED", "user is not admin approved to access this app", Authorize, []Cause{NoGrant, NotAssigned}},
	{"OAUTH_APP_BLOCKED", "", Authorize, []Cause{AppBlocked}},
	{"OAUTH_EC_APP_NOT_FOUND", "", Authorize, []Cause{NotInstalled}},
	{"OAUTH_AUTHORIZATION_BLOCKED", "Cross-org OAuth flows are not supported", Authorize, []Cause{OtherOrg}},
	{"OAUTH_APPROVAL_ERROR_GENERIC", "", Authorize, []Cause{AppOff, NotApprovedAtAll}},
	{"", "This session is not valid for use with the API", API, []Cause{NotForSOAP, SessionRestricted}},
	{"INVALID_SESSION_ID", "This session is not valid for use with the REST API", API, []Cause{SessionRestricted}},
	{"INVALID_SESSION_ID", "", API, []Cause{SessionEnded}},
	{"Bad_OAuth_Token", "", API, []Cause{SessionEnded}},
}

// Foretold are the causes for which no refusal is known, because they are found before a login.
var Foretold = []Cause{DPoPRequired, MTLSRequired}

// Refusals returns the table of known refusals.
func Refusals() []Refusal { return refusals }

// Find returns the row of a code and a description. ok is false if the refusal is not known.
func Find(code, description string) (r Refusal, ok bool) {
	description = strings.ToLower(description)
	for _, r := range refusals {
		if (r.Code == code || r.Code == "") && strings.Contains(description, strings.ToLower(r.Description)) {
			return r, true
		}
	}
	return r, false
}

// ConsumerAccepted reports whether the refusal is about the flow or its user, so that the token endpoint can
// have accepted the consumer.
func (r Refusal) ConsumerAccepted() bool {
	for _, c := range r.Causes {
		switch c {
		case FlowOff, NoRunAsUser, NotAssigned, InactiveUser:
			return true
		}
	}
	return false
}
