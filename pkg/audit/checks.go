package audit

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/platform"
)

// The ages from which rules find something.
const (
	longRefresh = 90  // days
	idleLimit   = 30  // days
	unusedFor   = 90  // days
	consumerAge = 365 // days
	recentUse   = 30  // days in which a login proves that an app works
	setupTime   = 7   // days in which a new app may wait for its users

	certificateNotice = 30 * 24 * time.Hour
)

// maxTokenAddresses is the most addresses of an allowlist of refresh tokens of partner apps. Source:
// Salesforce's requirements of May 2026 for partner apps.
const maxTokenAddresses = 256

// subject is the app that a rule checks, with what the check depends on. For rules about the org
// itself, the app is nil.
type subject struct {
	*App
	options  Options
	kind     platform.Kind // of the org, "" if it is not known
	snapshot *Snapshot
	apps     []*App // all apps of the org
}

// age returns how many days ago a time was; 0 for an unknown time.
func (s subject) age(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(s.options.Now.Sub(t).Hours() / 24)
}

// sees reports whether the org showed all of some sources.
func (s subject) sees(what ...source) bool {
	return !slices.ContainsFunc(what, func(w source) bool { return s.snapshot.hidden[w] })
}

// isOwn reports whether the app is an External Client App of the org itself.
func (s subject) isOwn() bool { return s.Kind == External && s.Namespace == "" && !s.Packaged }

// isDeclared reports whether the project declares the app.
func (s subject) isDeclared() bool {
	return s.isOwn() && slices.ContainsFunc(s.options.Declared, func(d string) bool { return strings.EqualFold(d, s.Name) })
}

// usesCode reports whether users log in to the app in a browser: by its flows, or because such logins
// are on record. An app of a server or a pipeline has a callback URL only because every app needs one.
func (s subject) usesCode() bool {
	machine := func(flow string) bool { return flow == clientCredentials || flow == jwtBearer || flow == tokenExchange }
	pipeline := len(s.Callbacks) == 1 && s.Callbacks[0] == cliCallback
	return s.codeLogins || !pipeline && !slices.ContainsFunc(s.Flows, machine) ||
		slices.ContainsFunc(s.Flows, func(flow string) bool { return !machine(flow) })
}

// cliCallback is the callback URL that Salesforce's instructions for sf org login jwt give to the app of a
// pipeline. Such an app logs in with JWT bearer, also if the org hides its certificate.
const cliCallback = "http://localhost:1717/OauthRedirect"

// getsRefreshTokens reports whether clients of the app get refresh tokens.
func (s subject) getsRefreshTokens() bool {
	return s.usesCode() && s.RefreshToken != never && eca.HasRefreshToken(s.Scopes)
}

// recentlyUsed reports whether a login or a token proves that somebody can use the app.
func (s subject) recentlyUsed() bool { return !s.LastUsed.IsZero() && s.age(s.LastUsed) <= recentUse }

// fix returns what to do in Setup, or for an External Client App of the project in its source.
func (s subject) fix(inSetup, inProject string) string {
	switch {
	case s.isDeclared():
		return inProject
	case s.isOwn():
		return inSetup + " in Setup (External Client App Manager)"
	case s.Kind == External:
		return inSetup + " in Setup (External Client App Manager), or ask the vendor of its package"
	}
	return inSetup + " in Setup (Manage Connected Apps)"
}

// found returns one finding.
func found(problem, fix string) []Finding {
	return []Finding{{Finding: finding.Finding{Problem: problem, Fix: fix}}}
}

// foundIn returns one finding of a level about a field.
func foundIn(level finding.Level, field, problem, fix string) []Finding {
	return []Finding{{Finding: finding.Finding{Level: level, Field: field, Problem: problem, Fix: fix}}}
}

func openToAll(s subject) []Finding {
	if s.Access != Everybody {
		return nil
	}
	return found("every user can authorise the app", s.fix(
		"set Permitted Users to admin-approved and grant the app with a permission set",
		"set permittedUsersPolicyType to AdminApprovedPreAuthorized in the OAuth policies, "+
			"and grant the app with permissionSets in plugins.eca"))
}

func lockedOut(s subject) []Finding {
	// Only the record of a Connected App shows what grants it.
	if s.Access != PreAuthorised || s.ID == "" || s.Namespace != "" || s.recentlyUsed() ||
		slices.ContainsFunc(s.Granted, isProfile) || !s.sees(fromAccess, fromAssigned, fromPolicies, fromGlobals) {
		return nil
	}
	refused := ""
	if !s.LastRefused.IsZero() {
		refused = fmt.Sprintf("; the org refused a login on %s (%s)", s.LastRefused.Format(time.DateOnly), s.Refusal)
	}
	switch {
	case len(s.Granted) == 0:
		return found("only pre-authorised users can use the app, and no permission set grants it"+refused, s.fix(
			"grant it with a permission set, or delete the app,",
			"grant it with permissionSets in plugins.eca, or delete the app"))
	case s.Grantees == 0 && s.recorded && (s.created.IsZero() || s.age(s.created) >= setupTime):
		return found("only pre-authorised users can use the app, and no active user has "+strings.Join(s.Granted, ", ")+refused,
			"assign the permission set to the users of the app, or delete the app")
	}
	return nil
}

func profileGrant(s subject) []Finding {
	if s.Kind != External || s.Access != PreAuthorised || s.Namespace != "" || s.recentlyUsed() || len(s.Granted) == 0 ||
		slices.ContainsFunc(s.Granted, isPermissionSet) {
		return nil
	}
	return found("only profiles grant the app ("+strings.Join(s.Granted, ", ")+"); "+eca.ProfilesDoubt, s.fix(
		"if its users cannot log in, grant it with a permission set",
		"if its users cannot log in, grant it with permissionSets in plugins.eca"))
}

func scopeFull(s subject) []Finding {
	if !slices.Contains(s.Scopes, "Full") {
		return nil
	}
	return found("it has the scope full",
		s.fix("select narrower scopes", "set commaSeparatedOauthScopes in oauthSettings of plugins.eca"))
}

func scopeBroad(s subject) []Finding {
	if len(s.Flows) != 1 || s.Flows[0] != clientCredentials || s.codeLogins {
		return nil
	}
	var useless []string
	for _, scope := range []string{"Web", "RefreshToken", "OfflineAccess"} {
		// Salesforce's documentation of the Agent API and the Models API names RefreshToken among their scopes.
		documented := scope == "RefreshToken" && slices.Contains(s.Scopes, "SFApiPlatform")
		if slices.Contains(s.Scopes, scope) && !documented {
			useless = append(useless, scope)
		}
	}
	if len(useless) == 0 {
		return nil
	}
	return found("it logs in with client credentials, which cannot use "+strings.Join(useless, ", "), s.fix(
		"remove these scopes",
		"remove them from commaSeparatedOauthScopes, or disable client credentials if users log in, too"))
}

func ipRelaxed(s subject) []Finding {
	if s.IP == "" || s.IP == "Enforce" || s.TrustedRanges > 0 || !s.sees(fromTrusted) && s.Kind == External {
		return nil
	}
	return found("it relaxes IP ranges ("+s.IP+")",
		s.fix("enforce IP restrictions", "set ipRelaxationPolicyType to Enforce in the OAuth policies"))
}

// endsWhenIdle reports whether the app's own limit of 30 idle days is on, which applies whatever its
// policies state.
func (s subject) endsWhenIdle() bool { return s.IdleLimit != nil && *s.IdleLimit }

func longRefreshToken(s subject) []Finding {
	if s.refreshDays != -1 && s.refreshDays <= longRefresh || s.endsWhenIdle() || !s.getsRefreshTokens() {
		return nil
	}
	return found("refresh tokens live "+s.RefreshToken, s.fix("let refresh tokens expire after 30 days without use",
		"set refreshTokenPolicyType to SpecificInactivity with 30 Days in the OAuth policies"))
}

func noIdleLimit(s subject) []Finding {
	if s.options.ISV {
		if s.IdleLimit == nil || *s.IdleLimit || !s.getsRefreshTokens() {
			return nil
		}
		return foundIn(finding.Error, "isEnforceRefreshTokenTTL", "the app does not end refresh tokens after 30 idle days", s.fix(
			"enforce the 30-day idle limit of refresh tokens", "set isEnforceRefreshTokenTTL to true in globalOauthSettings of plugins.eca"))
	}
	if s.refreshDays <= idleLimit || s.refreshDays > longRefresh || s.endsWhenIdle() || !s.getsRefreshTokens() {
		return nil // longer ones are those of longRefreshToken
	}
	return found("refresh tokens live "+s.RefreshToken+", and no limit of at most 30 idle days ends them", s.fix(
		"let refresh tokens expire after 30 days without use",
		"set refreshTokenPolicyType to SpecificInactivity with 30 Days in the OAuth policies"))
}

func rotationOff(s subject) []Finding {
	if s.Rotation == nil || *s.Rotation || !s.getsRefreshTokens() {
		return nil
	}
	return foundIn(s.isvLevel(), "", "refresh tokens are not replaced when they are used", s.fix("enable refresh token rotation",
		"set isRefreshTokenRotationEnabled to true in globalOauthSettings of plugins.eca"))
}

func mcpWithoutJWT(s subject) []Finding {
	scope := eca.NeedsJWT(s.Scopes)
	if s.JWTTokens == nil || *s.JWTTokens || scope == "" {
		return nil
	}
	return found("it has the scope "+scope+", but issues no JWT-based tokens", s.fix("turn JWT-based access tokens on",
		"set isNamedUserJwtEnabled to true in globalOauthSettings of plugins.eca"))
}

// isvLevel returns the level of a control that partner apps must have; "" is that of the rule.
func (s subject) isvLevel() finding.Level {
	if s.options.ISV {
		return finding.Error
	}
	return ""
}

func tokenAllowlist(s subject) []Finding {
	fix := "list the addresses of your servers, at most 256, as token IP ranges in the app's OAuth security settings in Setup"
	switch {
	case !s.options.ISV || !s.getsRefreshTokens() || s.Kind == External && !s.sees(fromAllowed):
		return nil
	case s.TokenAddresses == 0:
		return found("refresh tokens can be used from every IP address", fix)
	case s.TokenAddresses > maxTokenAddresses:
		return found(fmt.Sprintf("refresh tokens can be used from %d IP addresses", s.TokenAddresses), fix)
	}
	return nil
}

func dpopOff(s subject) []Finding {
	if !s.options.ISV || s.DPoP == nil || *s.DPoP {
		return nil
	}
	return found("it does not require DPoP", s.fix("require DPoP once all clients send a proof",
		"set isDPopEnabled to true in globalOauthSettings of plugins.eca once all clients send a proof"))
}

func jwtForPipeline(s subject) []Finding {
	if s.JWTTokens == nil || !*s.JWTTokens || !slices.Contains(s.Flows, jwtBearer) || eca.NeedsJWT(s.Scopes) != "" {
		return nil
	}
	return found("it logs in with JWT bearer and gets JWT-based access tokens, which SOAP calls refuse below API version 68.0", s.fix(
		"turn JWT-based access tokens off", "set isNamedUserJwtEnabled to false in globalOauthSettings of plugins.eca"))
}

func pkceOff(s subject) []Finding {
	if s.PKCE == nil || *s.PKCE || !s.usesCode() || s.snapshot.orgWide["isPkceRequired"] == "true" {
		return nil
	}
	return foundIn(s.isvLevel(), "", "it does not require PKCE", s.fix("require Proof Key for Code Exchange",
		"set isPkceRequired to true in globalOauthSettings of plugins.eca"))
}

func secretOptional(s subject) []Finding {
	if s.SecretOptional == nil || !*s.SecretOptional || !slices.Contains(s.Flows, clientCredentials) {
		return nil
	}
	return found("its secret is optional, although a server logs in with it", s.fix(
		"require the secret for the web server flow",
		"set isConsumerSecretOptional to false in globalOauthSettings of plugins.eca, "+
			"and create another app for a public client"))
}

func insecureCallback(s subject) (all []Finding) {
	if !s.usesCode() {
		return nil
	}
	fix := s.fix("remove it", "remove it from callbackUrl in globalOauthSettings of plugins.eca")
	withPKCE := s.PKCE != nil && *s.PKCE || s.snapshot.orgWide["isPkceRequired"] == "true"
	for _, callback := range s.Callbacks {
		u, err := url.Parse(callback)
		if err != nil {
			continue
		}
		local := slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, strings.ToLower(u.Hostname()))
		problem := ""
		switch {
		case local && s.kind == platform.Production && !withPKCE:
			problem = "the callback URL leads to the user's own machine without PKCE, on a production org"
		case !local && strings.EqualFold(u.Scheme, "http"):
			problem = "the callback URL is plain http"
		default:
			continue
		}
		all = append(all, foundIn("", callback, problem, fix)...)
	}
	return all
}

func usernamePasswordFlow(s subject) []Finding {
	if s.LastPasswordLogin.IsZero() {
		return nil
	}
	return found("the username-password flow was used on "+s.LastPasswordLogin.Format(time.DateOnly),
		"use client credentials or JWT bearer")
}

func certificateExpires(s subject) []Finding {
	if s.CertificateExpires.IsZero() || s.CertificateExpires.Sub(s.options.Now) > certificateNotice {
		return nil
	}
	verb, level := "expires", finding.Warning
	if s.options.Now.After(s.CertificateExpires) {
		verb, level = "expired", finding.Error
	}
	return foundIn(level, "", fmt.Sprintf("its certificate %s on %s", verb, s.CertificateExpires.Format(time.DateOnly)),
		s.fix("upload a new one", "set a new one in globalOauthSettings.certificate of plugins.eca"))
}

func runAsAdmin(s subject) []Finding {
	if s.RunAs == nil || !s.RunAs.Admin {
		return nil
	}
	problem := fmt.Sprintf("client credentials run as %s (%s), who may modify all data", s.RunAs.Username, s.RunAs.Profile)
	return foundIn("", s.RunAs.Username, problem, s.fix("take Modify All Data from the user, or name a user without it",
		"take Modify All Data from the user, or name a user without it in clientCredentialsFlowUser of the OAuth policies"))
}

func runAsInactive(s subject) []Finding {
	if s.RunAs == nil || !s.RunAs.Inactive && !s.RunAs.Missing {
		return nil
	}
	problem := fmt.Sprintf("client credentials run as %s, who is inactive", s.RunAs.Username)
	if s.RunAs.Missing {
		problem = fmt.Sprintf("client credentials run as %s, which is not a user of this org", s.RunAs.Username)
	}
	return foundIn("", s.RunAs.Username, problem,
		s.fix("name another user", "name another user in clientCredentialsFlowUser of the OAuth policies"))
}

func notInstalled(s subject) []Finding {
	if s.Kind != NotInstalled || s.Tokens == 0 || !s.sees(fromConnected, fromSources, fromApps) {
		return nil
	}
	problem := fmt.Sprintf("it is not installed, and %s %s %s of it", plural(s.Users, "user"),
		map[bool]string{true: "has", false: "have"}[s.Users == 1], plural(s.Tokens, "token"))
	if holders := s.holders(); holders != "" {
		problem += ": " + holders
	}
	if !s.LastUsed.IsZero() {
		problem += "; last used on " + s.LastUsed.Format(time.DateOnly)
	}
	fix := "ask the users what the app is for; block it in Setup (Connected Apps OAuth Usage) and revoke its tokens, or install it there and set its policies"
	if s.snapshot.orgWide["enableAdminApprovedAppsOnly"] == "true" && s.sees(fromPermitted) && len(s.snapshot.permitted[useAnyClient]) == 0 &&
		!slices.Contains(s.snapshot.noColumns, useAnyClientLabel) {
		return foundIn(finding.Warning, "", problem+"; API Access Control blocks it", fix)
	}
	return found(problem, fix)
}

// holders names the first users with tokens of the app.
func (s subject) holders() string {
	const most = 3
	var names []string
	for _, h := range s.Holders[:min(most, len(s.Holders))] {
		name := h.Username
		if h.Admin {
			name += " (administrator)"
		}
		names = append(names, name)
	}
	if more := s.Users - len(names); len(names) > 0 && more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return strings.Join(names, ", ")
}

func unused(s subject) []Finding {
	// The age of an app that the org does not show is not known.
	if !s.sees(fromTokens, fromLogins, fromMenu) || s.options.seesOwnTokens(s.snapshot) || s.NoOAuth ||
		s.age(s.created) < unusedFor || s.isOff() {
		return nil
	}
	fix := "delete it, if nobody needs it"
	switch {
	case s.Kind == External:
		fix = "disable it, and delete it if nobody misses it"
	case s.Tokens > 0:
		fix = "revoke its tokens, and delete it if nobody misses it"
	}
	switch {
	case s.LastUsed.IsZero() && s.Tokens > 0:
		return nil // an org that does not show when tokens were used
	case s.LastUsed.IsZero():
		return found("the org has no record of any use", fix)
	case s.age(s.LastUsed) > unusedFor:
		return found("it was last used on "+s.LastUsed.Format(time.DateOnly), fix)
	}
	return nil
}

// Cases of has-to-move.
const (
	CaseConvert   = "convert"   // eca can convert the app
	CaseSuccessor = "successor" // an External Client App of the name exists
	CaseNoOAuth   = "no-oauth"
	CaseVendor    = "vendor"
	CaseByHand    = "by-hand" // a setting has no equivalent
)

func hasToMove(s subject) []Finding {
	if s.Kind != Connected {
		return nil
	}
	problem, fix, which := "it is a Connected App, whose support Salesforce intends to end", "", CaseConvert
	if len(s.Lost) > 0 {
		problem += "; an External Client App has no equivalent for " + strings.Join(s.Lost, ", ")
	}
	switch {
	case s.hasSuccessor():
		which, fix = CaseSuccessor, "move the remaining users to the External Client App of the same name"
	case s.NoOAuth:
		which, fix = CaseNoOAuth, "create an External Client App for SAML or Canvas in Setup"
	case s.Namespace != "" || s.opaque && s.sees(fromSources):
		which, fix = CaseVendor, "ask its vendor for the External Client App: the app belongs to a package, or its settings cannot be read"
	case s.opaque || s.wrong:
		which, fix = CaseByHand, "use Migrate to External Client App in Setup"
	default:
		fix = "migrate it to an External Client App"
	}
	all := found(problem, fix)
	all[0].Case = which
	return all
}

// hasSuccessor reports whether the org has an External Client App of a Connected App's name.
func (s subject) hasSuccessor() bool {
	return slices.ContainsFunc(s.snapshot.external, func(a *apps.App) bool {
		return strings.EqualFold(a.FullName(), s.Name)
	})
}

func oldConsumer(s subject) []Finding {
	if s.Packaged || s.opaque || s.NoOAuth || s.age(s.ConsumerCreated) <= consumerAge {
		return nil
	}
	problem := "its consumer was created on " + s.ConsumerCreated.Format(time.DateOnly)
	switch rotated := s.rotated(); {
	case s.Kind == External && rotated.IsZero():
		problem += "; whether it was rotated since is not known"
	case !rotated.IsZero() && s.age(rotated) <= consumerAge:
		return nil
	case !rotated.IsZero():
		problem += " and last rotated on " + rotated.Format(time.DateOnly)
	}
	fix := "rotate key and secret"
	if s.Kind == Connected {
		fix = "rotate key and secret in Setup (Manage Consumer Details)"
	}
	return found(problem, fix)
}

// rotated returns when the app's credentials were last rotated, zero if neither the org nor the options
// tell.
func (s subject) rotated() time.Time {
	rotated := s.ConsumerModified
	if s.options.Rotated != nil {
		if noted := s.options.Rotated(s.Name, s.ConsumerKey); noted.After(rotated) {
			rotated = noted
		}
	}
	return rotated
}

func pluginOff(s subject) []Finding {
	if !s.isOff() {
		return nil
	}
	const fix = "delete the app, or enable it if it is still needed"
	return found("the app or its OAuth plugin is disabled, so nobody can log in", s.fix(fix, fix))
}

// isOff reports whether the app or its OAuth plugin is disabled.
func (s subject) isOff() bool { return s.Enabled != nil && !*s.Enabled }

func undeclared(s subject) []Finding {
	if !s.isOwn() || s.options.Declared == nil || s.isDeclared() {
		return nil
	}
	return found("no package of the project declares it", "add it to the project, or delete the app")
}

func drift(s subject) (all []Finding) {
	if s.Kind != External {
		return nil
	}
	for name, changes := range s.options.Drift {
		if !strings.EqualFold(name, s.Name) {
			continue
		}
		for _, change := range changes {
			all = append(all, foundIn("", change.Field, "it differs from the project: "+change.What,
				"deploy the project's settings, or change the project")...)
		}
	}
	return all
}
