package login

import (
	"errors"
	"strings"

	"github.com/ecakit/ecakit/pkg/salesforce"
)

// Cause is the ID of a reason for which a login is refused.
type Cause string

// The causes. A State decides about those that an org shows.
const (
	NewConsumer        Cause = "new-consumer"         // the token endpoint does not know it yet, see MaxPropagation
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
	LargeCertificate   Cause = "large-certificate"    // the certificate has more than 4 KB
	ExpiredCertificate Cause = "expired-certificate"  // the certificate has expired
	OtherCertificate   Cause = "other-certificate"    // the certificate belongs to another private key
	WrongAssertion     Cause = "wrong-assertion"      // the JWT, for a reason that the org does not show
	WrongAudience      Cause = "wrong-audience"       // the JWT's
	WrongClock         Cause = "wrong-clock"          // the JWT is too old
	WrongHost          Cause = "wrong-host"           // the flow works on the org's My Domain only
	ScopeSent          Cause = "scope-sent"           // client credentials take no scope
	WrongScope         Cause = "wrong-scope"          // the app lacks the requested scope
	IPRestricted       Cause = "ip-restricted"        // the address of this machine
	InactiveOrg        Cause = "inactive-org"         // the org is locked, closed or suspended
	ExpiredToken       Cause = "expired-token"        // the token is revoked, rotated or too old
	NoChallenge        Cause = "no-challenge"         // the app requires PKCE
	WrongVerifier      Cause = "wrong-verifier"       // of PKCE
	WrongRequest       Cause = "wrong-request"        // not a POST over https of a flow that the host serves
	NotInstalled       Cause = "not-installed"        // the app is not on this org
	OtherOrg           Cause = "other-org"            // the user's org is not the one of the flow
	AppBlocked         Cause = "app-blocked"          // by an administrator
	WrongRedirect      Cause = "wrong-redirect"       // the redirect URL is none of the app's callback URLs
	NotApprovedAtAll   Cause = "approval-error"       // the authorize page's own answer for everything else
	NotForAPI          Cause = "not-for-api"          // SOAP refuses a JWT-based session before API 68.0
	OtherCause         Cause = "other"                // none of those that are known
)

// Refusal is an answer of a token endpoint or its neighbours, with its possible causes.
type Refusal struct {
	Code        string
	Description string  // a part of it, in lower case
	Causes      []Cause // in the order in which they are considered
}

// unapproved is the description for users who did not approve an app, and for apps that the endpoint
// does not know yet.
const unapproved = "user hasn't approved this consumer"

// refusals are the known refusals. Sources: Salesforce's documentation of its error codes, and answers
// of live orgs.
var refusals = []Refusal{
	{"invalid_client_id", "client identifier invalid", []Cause{AppOff, NewConsumer, UnknownConsumer}},
	{"invalid_client", "invalid client credentials", []Cause{WrongSecret}},
	{"invalid_grant", "no client credentials user enabled", []Cause{NoPolicies, NoRunAsUser, UnknownUser, InactiveUser}},
	{"invalid_grant", "client credentials flow not enabled", []Cause{FlowOff, NoPolicies, PoliciesFlowOff}},
	{"invalid_grant", "request not supported on this domain", []Cause{WrongHost}},
	{"invalid_request", "scope parameter not supported", []Cause{ScopeSent}},
	{"invalid_app_access", "user is not admin approved to access this app", []Cause{NoGrant, NotAssigned}},
	{"invalid_grant", unapproved, []Cause{UnknownUser, InactiveUser, NotApproved, NoGrant, NotAssigned, NewConsumer}},
	{"invalid_request", "refresh_token scope is required", []Cause{NoRefreshScope, NotApproved}},
	{"invalid_grant", "audience is invalid", []Cause{WrongAudience}},
	{"invalid_grant", "invalid assertion", []Cause{NoCertificate, NotRSA, ExpiredCertificate, OtherCertificate, ShortKey, LargeCertificate, UnknownUser, WrongAssertion}},
	{"invalid_grant", "expired assertion", []Cause{WrongClock}},
	{"invalid_grant", "ip restricted", []Cause{IPRestricted}},
	{"inactive_user", "user is inactive", []Cause{InactiveUser}},
	{"inactive_org", "org is locked, closed, or suspended", []Cause{InactiveOrg}},
	{"invalid_grant", "expired access/refresh token", []Cause{ExpiredToken}},
	{"invalid_grant", "invalid code verifier", []Cause{WrongVerifier}},
	{"unsupported_grant_type", "grant type not supported", []Cause{WrongRequest}},
	{"app_not_found", "external client app is not installed in this org", []Cause{WrongHost}},
	{"invalid_request", "missing required code challenge", []Cause{NoChallenge}},
	{"invalid_scope", "", []Cause{WrongScope}},
	{"OAUTH_EC_APP_NOT_FOUND", "", []Cause{NotInstalled}},
	{"OAUTH_APP_ACCESS_DENIED", "", []Cause{NoGrant, NotAssigned}},
	{"OAUTH_APP_BLOCKED", "", []Cause{AppBlocked}},
	{"OAUTH_APPROVAL_ERROR_GENERIC", "", []Cause{AppOff, NotApprovedAtAll}},
	{"redirect_uri_mismatch", "", []Cause{WrongRedirect}},
	{"", "external client app is not installed in this org", []Cause{NotInstalled}},
	{"", "cross-org oauth flows are not supported", []Cause{OtherOrg}},
	{"", "this session is not valid for use with the api", []Cause{NotForAPI}},
}

// Refusals returns the table of known refusals.
func Refusals() []Refusal { return refusals }

// Explain returns the row of an error of Verify in the table of refusals. ok is false if the error is not a
// known refusal.
func Explain(err error) (r Refusal, ok bool) {
	refused, is := errors.AsType[*salesforce.TokenRefusal](err)
	if !is {
		return r, false
	}
	for _, r := range refusals {
		if (r.Code == refused.Code || r.Code == "") && strings.Contains(strings.ToLower(refused.Description), r.Description) {
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
