package advice

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/login"
)

// words are the sentence about a cause, and the hint that fixes it. ORG, APP, USER, SETS, DATE and MADE stand
// for what the diagnosis says.
type words struct {
	cause      login.Cause
	says, hint string
}

// causes are the words for the causes of refused logins.
var causes = []words{
	{login.NewConsumer, "the consumer was created DATE ago, and the token endpoint does not know it yet", "wait: it takes 2 to 10 minutes, at most 30"},
	{login.UnknownConsumer, "the org does not know the consumer key", "check that the key is of this org, and read it again with eca credentials -o ORG --app APP"},
	{login.AppOff, "APP or its OAuth is switched off on the org", "eca enable -o ORG --app APP"},
	{login.WrongSecret, "the secret does not belong to the key", "read both again with eca credentials -o ORG --app APP"},
	{login.FlowOff, "the client credentials flow is off in the global OAuth settings of APP", "set isClientCredentialsFlowEnabled to true in globalOauthSettings and run eca bootstrap -o ORG"},
	{login.PoliciesFlowOff, "the client credentials flow is off: isClientCredentialsFlowEnabled is false in the OAuth policies of APP", "set it to true in the OAuth policies and run eca bootstrap -o ORG --apply-policies"},
	{login.NoPolicies, "APP has no OAuth policies on the org", "eca bootstrap -o ORG --apply-policies"},
	{login.NoRunAsUser, "the client credentials flow is on, and the OAuth policies name no user to run as", "set clientCredentialsFlowUser in the OAuth policies and run eca bootstrap -o ORG --apply-policies"},
	{login.UnknownUser, "the org has no user USER", "correct the username; in a sandbox it ends with the name of the sandbox"},
	{login.InactiveUser, "the user USER is not active", "activate the user in Setup (Users), or name another user"},
	{login.NoGrant, "only pre-authorised users may use APP, and no permission set grants it", "add a permission set to permissionSets of APP in plugins.eca, assign it to USER, and run eca bootstrap -o ORG"},
	{login.NotAssigned, "only pre-authorised users may use APP, and USER has no permission set that grants it", "assign SETS to USER"},
	{login.NotApproved, "all users may authorise APP themselves, and USER never did", "set permittedUsersPolicyType to AdminApprovedPreAuthorized in the OAuth policies, grant APP to a permission set of USER, and run eca bootstrap -o ORG --apply-policies"},
	{login.NoRefreshScope, "JWT bearer needs the scope RefreshToken", "add RefreshToken to commaSeparatedOauthScopes in the OAuth settings and deploy them"},
	{login.NoCertificate, "the org shows no certificate for APP", "set certificate in globalOauthSettings and run eca bootstrap -o ORG"},
	{login.NotRSA, "the certificate of APP has no RSA key, which JWT bearer needs", "replace the certificate with one that has an RSA key of 2048 bits or more, and run eca bootstrap -o ORG"},
	{login.ShortKey, "the certificate of APP has an RSA key of less than 2048 bits", "replace the certificate with one that has an RSA key of 2048 bits or more, and run eca bootstrap -o ORG"},
	{login.LargeCertificate, "the certificate of APP is larger than 4 KB", "replace the certificate with a smaller one, without its chain, and run eca bootstrap -o ORG"},
	{login.ExpiredCertificate, "the certificate of APP expired on EXPIRY", "set a new certificate in globalOauthSettings and run eca bootstrap -o ORG"},
	{login.OtherCertificate, "the certificate of APP, valid until EXPIRY, belongs to another private key", "give the private key of that certificate, or set the certificate of this key in globalOauthSettings and run eca bootstrap -o ORG"},
	{login.WrongAssertion, "the org does not accept the JWT", "check that the private key belongs to the certificate in globalOauthSettings, and the clock of this machine"},
	{login.WrongAudience, "the JWT names an audience that the org does not accept", "use the org's My Domain, https://login.salesforce.com, or https://test.salesforce.com for sandboxes, as the audience"},
	{login.WrongClock, "the JWT is too old", "check the clock of this machine"},
	{login.WrongHost, "the login works on the org's My Domain only", "use the org's My Domain URL, not login.salesforce.com or test.salesforce.com"},
	{login.ScopeSent, "the client credentials flow takes no scope", "remove the scope from the request, because the scopes of the app apply"},
	{login.WrongScope, "APP does not have the requested scope", "add it to commaSeparatedOauthScopes in the OAuth settings, or request fewer scopes"},
	{login.IPRestricted, "the org does not admit the IP address of this machine", "set ipRelaxationPolicyType in the OAuth policies, or add the address to the trusted IP ranges of the org"},
	{login.InactiveOrg, "the org is locked, closed or suspended", "have an administrator or Salesforce Customer Support reopen it"},
	{login.ExpiredToken, "the token was revoked or rotated, or is too old", "log in again, for example with: sf org login web --alias ORG"},
	{login.NoChallenge, "APP requires PKCE", "send code_challenge with code_challenge_method=S256"},
	{login.WrongVerifier, "the code verifier does not belong to the code challenge (PKCE)", "send the verifier from which the challenge was made"},
	{login.WrongRequest, "the host does not serve this flow, or the request was no POST over https", "send a POST to the org's My Domain over https"},
	{login.NotInstalled, "the org does not have APP, for example after a refresh", "eca bootstrap -o ORG --headers"},
	{login.OtherOrg, "the user belongs to another org than the login", "log in to the org of the user"},
	{login.AppBlocked, "an administrator has blocked APP", "unblock it in Setup (Connected Apps OAuth Usage)"},
	{login.WrongRedirect, "the redirect URL is none of the callback URLs of APP", "add it to callbackUrl in globalOauthSettings and run eca bootstrap -o ORG"},
	{login.NotApprovedAtAll, "the org does not let USER approve APP", "check in Setup (Login History) why the login failed"},
	{login.NotForAPI, "SOAP does not accept JWT-based access tokens before API version 68.0", "use API version 68.0, or an app whose isNamedUserJwtEnabled is false"},
	{login.OtherCause, "the settings, policies, permission sets and user of APP show no reason", "check in Setup (Login History) why the login failed; after a change of the policies, try again in some minutes"},
}

// Cause returns a sentence about the cause of a refused login, without its full stop, and a hint. org is the
// org's alias.
func Cause(d *login.Diagnosis, org string) (says, hint string) {
	for _, w := range causes {
		if w.cause == d.Cause {
			says, hint = w.says, w.hint
		}
	}
	if d.Cause == login.NewConsumer && d.Created.IsZero() {
		says = "the token endpoint may not know the consumer yet"
	}
	if flow := d.MadeFor(); d.Cause == login.FlowOff && flow != login.ByClientCredentials {
		hint = MadeFor("verify", flow, d.App, org)
	}
	age, expiry := "less than a minute", ""
	if old := time.Since(d.Created); old >= time.Minute {
		age = spoken(old)
	}
	if d.Certificate != nil {
		expiry = d.Certificate.NotAfter.Format(time.DateOnly)
	}
	fill := strings.NewReplacer(
		"ORG", org, "APP", d.App, "USER", cmp.Or(d.Username, "the user"), "SETS", cmp.Or(strings.Join(d.Granting, " or "), "one"),
		"DATE", age, "EXPIRY", expiry)
	return fill.Replace(says), fill.Replace(hint)
}

// MadeFor returns a hint for a command, verify or token, and an app that is made for a flow other than client
// credentials. A token by authorization code is not requested for a command, so verify is named.
func MadeFor(command string, flow login.Flow, app, org string) string {
	if flow == login.ByJWT {
		return fmt.Sprintf("eca %s -o %s --app %s --jwt-key FILE --username USER", command, org, app)
	}
	return fmt.Sprintf("eca verify -o %s --app %s --browser", org, app)
}
