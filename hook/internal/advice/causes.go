package advice

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/login"
	"github.com/ecakit/ecakit/pkg/orgauth"
	"github.com/ecakit/ecakit/pkg/refusal"
)

// words are the sentence about a cause, and the hint that fixes it. ORG, APP, USER, SETS, DATE and MADE stand
// for what the diagnosis says.
type words struct {
	cause      refusal.Cause
	says, hint string
}

// causes are the words for the causes of refused logins.
var causes = []words{
	{refusal.NewConsumer, "the consumer was created DATE ago, and the token endpoint does not know it yet", "wait: it takes 2 to 10 minutes, at most 30"},
	{refusal.UnknownConsumer, "the org does not know the consumer key", "check that the key is of this org, and read it again with eca credentials -o ORG --app APP"},
	{refusal.AppOff, "APP or its OAuth is switched off on the org", "eca enable -o ORG --app APP"},
	{refusal.WrongSecret, "the secret does not belong to the key", "read both again with eca credentials -o ORG --app APP"},
	{refusal.FlowOff, "the client credentials flow is off in the global OAuth settings of APP", "set isClientCredentialsFlowEnabled to true in globalOauthSettings and run eca bootstrap -o ORG"},
	{refusal.PoliciesFlowOff, "the client credentials flow is off: isClientCredentialsFlowEnabled is false in the OAuth policies of APP", "set it to true in the OAuth policies and run eca bootstrap -o ORG --apply-policies"},
	{refusal.NoPolicies, "APP has no OAuth policies on the org", "eca bootstrap -o ORG --apply-policies"},
	{refusal.NoRunAsUser, "the client credentials flow is on, and the OAuth policies name no user to run as", "set clientCredentialsFlowUser in the OAuth policies and run eca bootstrap -o ORG --apply-policies"},
	{refusal.UnknownUser, "the org has no user USER", "correct the username; in a sandbox it ends with the name of the sandbox"},
	{refusal.InactiveUser, "the user USER is not active", "activate the user in Setup (Users), or name another user"},
	{refusal.NoGrant, "only pre-authorised users may use APP, and no permission set grants it", "add a permission set to permissionSets of APP in plugins.eca, assign it to USER, and run eca bootstrap -o ORG"},
	{refusal.NotAssigned, "only pre-authorised users may use APP, and USER has no permission set that grants it", "assign SETS to USER"},
	{refusal.NotApproved, "all users may authorise APP themselves, and USER never did", "set permittedUsersPolicyType to AdminApprovedPreAuthorized in the OAuth policies, grant APP to a permission set of USER, and run eca bootstrap -o ORG --apply-policies"},
	{refusal.NoRefreshScope, "JWT bearer needs the scope RefreshToken", "add RefreshToken to commaSeparatedOauthScopes in the OAuth settings and deploy them"},
	{refusal.NoCertificate, "the org shows no certificate for APP", "set certificate in globalOauthSettings and run eca bootstrap -o ORG"},
	{refusal.NotRSA, "the certificate of APP has no RSA key, which JWT bearer needs", "replace the certificate with one that has an RSA key of 2048 bits or more, and run eca bootstrap -o ORG"},
	{refusal.ShortKey, "the certificate of APP has an RSA key of less than 2048 bits", "replace the certificate with one that has an RSA key of 2048 bits or more, and run eca bootstrap -o ORG"},
	{refusal.LargeCertificate, "the certificate of APP is larger than 4 KB", "replace the certificate with a smaller one, without its chain, and run eca bootstrap -o ORG"},
	{refusal.ExpiredCertificate, "the certificate of APP expired on EXPIRY", "set a new certificate in globalOauthSettings and run eca bootstrap -o ORG"},
	{refusal.OtherCertificate, "the certificate of APP, valid until EXPIRY, belongs to another private key", "give the private key of that certificate, or set the certificate of this key in globalOauthSettings and run eca bootstrap -o ORG"},
	{refusal.WrongAssertion, "the org does not accept the JWT", "check that the private key belongs to the certificate in globalOauthSettings, and the clock of this machine"},
	{refusal.WrongAudience, "the JWT names an audience that the org does not accept", "use the org's My Domain, https://login.salesforce.com, or https://test.salesforce.com for sandboxes, as the audience"},
	{refusal.WrongClock, "the JWT is too old", "check the clock of this machine"},
	{refusal.WrongHost, "the login works on the My Domain of the org only, and HOST is not DOMAIN", "log in at the My Domain: sf org login web --instance-url DOMAIN --alias ORG"},
	{refusal.ScopeSent, "the client credentials flow takes no scope", "remove the scope from the request, because the scopes of the app apply"},
	{refusal.WrongScope, "APP does not have the requested scope", "add it to commaSeparatedOauthScopes in the OAuth settings, or request fewer scopes"},
	{refusal.IPRestricted, "the org does not admit the IP address of this machine", "set ipRelaxationPolicyType in the OAuth policies, or add the address to the trusted IP ranges of the org"},
	{refusal.InactiveOrg, "the org is locked, closed or suspended", "have an administrator or Salesforce Customer Support reopen it"},
	{refusal.RotatedAway, "the refresh token was revoked, or replaced by a newer one that was not stored, as sfp 39.2.2 leaves it", "log in again: sf org login web --instance-url DOMAIN --alias ORG"},
	{refusal.ExpiredToken, "the token was revoked or is too old", "log in again: sf org login web --instance-url DOMAIN --alias ORG"},
	{refusal.NoChallenge, "APP requires PKCE", "send code_challenge with code_challenge_method=S256"},
	{refusal.WrongVerifier, "the code verifier does not belong to the code challenge (PKCE)", "send the verifier from which the challenge was made"},
	{refusal.WrongRequest, "the host does not serve this flow, or the request was no POST over https", "send a POST to the org's My Domain over https"},
	{refusal.NotInstalled, "the org does not have APP, for example after a refresh", "eca bootstrap -o ORG --headers"},
	{refusal.OtherOrg, "APP is a Local app of another org than the one of the login", "use the consumer key of APP on this org, or package the app"},
	{refusal.AppBlocked, "an administrator has blocked APP", "unblock it in Setup (Connected Apps OAuth Usage)"},
	{refusal.WrongRedirect, "the redirect URL is none of the callback URLs of APP", "add it to callbackUrl in globalOauthSettings and run eca bootstrap -o ORG"},
	{refusal.NotApprovedAtAll, "the org does not let USER approve APP", "check in Setup (Login History) why the login failed"},
	{refusal.DPoPRequired, "APP accepts no token without a DPoP proof, and eca sends none: isDPopEnabled is true in its global OAuth settings", "test the login with the client of the app, or set isDPopEnabled to false in globalOauthSettings and run eca bootstrap -o ORG"},
	{refusal.MTLSRequired, "APP requires mutual TLS, and eca has no client certificate: isMtlsEnabled is true in its global OAuth settings", "test the login with the client of the app, or set isMtlsEnabled to false in globalOauthSettings and run eca bootstrap -o ORG"},
	{refusal.NotForSOAP, "SOAP does not accept JWT-based access tokens before API version 68.0", "use an API version from 68.0 on, or log in with an app whose isNamedUserJwtEnabled is false"},
	{refusal.SessionRestricted, "the org does not accept the session for API calls, because an IP policy excludes this machine or the app of the session lacks the scope Api", "allow the address of this machine in the login IP ranges of the user's profile and in ipRelaxationPolicyType of the app, or log in with another app"},
	{refusal.SessionEnded, "the session has expired or was revoked, or an IP policy locks it to another address", "log in again: sf org login web --instance-url DOMAIN --alias ORG"},
	{refusal.OtherCause, "the settings, policies, permission sets and user of APP show no reason", "check in Setup (Login History) why the login failed; after a change of the policies, try again in some minutes"},
}

// commandOf returns the command that fixes a cause, with ORG and APP, "" if a command alone does not.
func commandOf(cause refusal.Cause) string {
	for _, w := range causes {
		if w.cause == cause && strings.HasPrefix(w.hint, "eca ") {
			return w.hint
		}
	}
	return ""
}

// Cause returns a sentence about the cause of a refused login, without its full stop, and a hint. org is the
// org's alias.
func Cause(d *login.Diagnosis, org string) (says, hint string) {
	for _, w := range causes {
		if w.cause == d.Cause {
			says, hint = w.says, w.hint
		}
	}
	if d.Cause == refusal.NewConsumer && d.Created.IsZero() {
		says = "the token endpoint may not know the consumer yet"
	}
	domain := d.MyDomain
	if d.Cause == refusal.WrongHost && domain == "" {
		says, hint = "the login works on the My Domain of the org only", "use the My Domain URL of the org, like https://acme.my.salesforce.com, not login.salesforce.com or test.salesforce.com"
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
		"HOST", d.Host, "DOMAIN", domain, "DATE", age, "EXPIRY", expiry)
	says, hint = fill.Replace(says), fill.Replace(hint)
	if domain == "" {
		hint = strings.ReplaceAll(hint, " --instance-url ", "")
	}
	if flow := d.MadeFor(); d.Cause == refusal.FlowOff && flow != login.ByClientCredentials {
		hint = MadeFor("verify", flow, d.App, org)
	}
	return says, hint
}

// Session returns a sentence about the cause of a refused session, without its full stop, and a hint. The sentence
// is "" if the error says it itself.
func Session(err error) (says, hint string) {
	if d := login.DiagnoseSession(err); d != nil && d.Cause != refusal.SessionEnded {
		return Cause(d, "")
	}
	failed, _ := errors.AsType[*orgauth.Error](err)
	if failed == nil || failed.Reason != orgauth.ErrExpired || failed.Login == "" {
		return "", ""
	}
	d := &login.Diagnosis{State: &login.State{MyDomain: failed.InstanceURL}, Cause: refusal.SessionEnded}
	if failed.RefreshRefused {
		d.Cause = refusal.RotatedAway
	}
	says, hint = Cause(d, aliasOf(failed.Login))
	if !failed.RefreshRefused {
		says = ""
	}
	return says, hint
}

// aliasOf returns the alias of a login for a command, of which "" and a username have none.
func aliasOf(name string) string {
	if name == "" || strings.Contains(name, "@") {
		return "ALIAS"
	}
	return name
}

// MadeFor returns a hint for a command, verify or token, and an app that is made for a flow other than client
// credentials. A token by authorization code is not requested for a command, so verify is named.
func MadeFor(command string, flow login.Flow, app, org string) string {
	if flow == login.ByJWT {
		return fmt.Sprintf("eca %s -o %s --app %s --jwt-key FILE --username USER", command, org, app)
	}
	return fmt.Sprintf("eca verify -o %s --app %s --browser", org, app)
}
