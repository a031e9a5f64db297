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
	unusedFor   = 90  // days
	consumerAge = 365 // days

	certificateNotice = 30 * 24 * time.Hour
)

// subject is the app that a rule checks, with what the check depends on.
type subject struct {
	*App
	options  Options
	kind     platform.Kind // of the org
	snapshot *Snapshot
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

// fix returns what to do in Setup, or for the org's own External Client Apps in the project.
func (s subject) fix(inSetup, inProject string) string {
	switch {
	case s.isOwn():
		return inProject
	case s.Kind == External:
		return inSetup + " in Setup (External Client App Manager), or ask the vendor of its package"
	}
	return inSetup + " in Setup (Manage Connected Apps)"
}

// found returns one finding.
func found(problem, fix string) []finding.Finding {
	return []finding.Finding{{Problem: problem, Fix: fix}}
}

func openToAll(s subject) []finding.Finding {
	if s.Access != Everybody {
		return nil
	}
	return found("every user can authorise the app", s.fix(
		"set Permitted Users to admin-approved and grant the app with a permission set",
		"set permittedUsersPolicyType to AdminApprovedPreAuthorized in the OAuth policies, "+
			"and grant the app with permissionSets in plugins.eca"))
}

func lockedOut(s subject) []finding.Finding {
	// Only the record of a Connected App shows what grants it.
	if s.Access != PreAuthorised || s.ID == "" || s.Namespace != "" ||
		!s.sees(fromAccess, fromAssigned, fromPolicies, fromGlobals) {
		return nil
	}
	profiles := slices.ContainsFunc(s.Granted, isProfile)
	sets := slices.ContainsFunc(s.Granted, func(g string) bool { return !isProfile(g) })
	switch {
	case len(s.Granted) == 0:
		return found("only pre-authorised users can use the app, and no permission set grants it", s.fix(
			"grant it with a permission set, or delete the app,",
			"grant it with permissionSets in plugins.eca, or delete the app"))
	case profiles && !sets && s.Kind == External:
		return []finding.Finding{{Level: finding.Warning,
			Problem: "only profiles grant the app; " + eca.ProfilesDoubt,
			Fix:     "grant it with a permission set: permissionSets in plugins.eca"}}
	case !profiles && s.Grantees == 0 && s.recorded:
		return found("only pre-authorised users can use the app, and no active user has "+strings.Join(s.Granted, ", "),
			"assign the permission set to the users of the app, or delete the app")
	}
	return nil
}

func scopeFull(s subject) []finding.Finding {
	if !slices.Contains(s.Scopes, "Full") {
		return nil
	}
	return found("it has the scope full",
		s.fix("select narrower scopes", "set commaSeparatedOauthScopes in oauthSettings of plugins.eca"))
}

func scopeBroad(s subject) []finding.Finding {
	if len(s.Flows) != 1 || s.Flows[0] != clientCredentials {
		return nil
	}
	var useless []string
	for _, scope := range []string{"Web", "RefreshToken", "OfflineAccess"} {
		if slices.Contains(s.Scopes, scope) {
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

func ipRelaxed(s subject) []finding.Finding {
	if s.IP == "" || s.IP == "Enforce" {
		return nil
	}
	return found("it relaxes IP ranges ("+s.IP+")",
		s.fix("enforce IP restrictions", "set ipRelaxationPolicyType to Enforce in the OAuth policies"))
}

func longRefreshToken(s subject) []finding.Finding {
	gets := slices.ContainsFunc(s.Scopes, func(scope string) bool {
		return scope == "RefreshToken" || scope == "OfflineAccess" || scope == "Full"
	})
	if s.refreshDays != -1 && s.refreshDays <= longRefresh || !gets {
		return nil
	}
	return found("refresh tokens live "+s.RefreshToken, s.fix("let refresh tokens expire",
		"set refreshTokenPolicyType to SpecificLifetime with at most 90 Days in the OAuth policies"))
}

func pkceOff(s subject) []finding.Finding {
	withCode := len(s.Flows) == 0 || slices.ContainsFunc(s.Flows, func(flow string) bool {
		return flow != clientCredentials && flow != jwtBearer && flow != tokenExchange
	})
	if s.PKCE == nil || *s.PKCE || !withCode {
		return nil
	}
	return found("it does not require PKCE", s.fix("require Proof Key for Code Exchange",
		"set isPkceRequired to true in globalOauthSettings of plugins.eca"))
}

func secretOptional(s subject) []finding.Finding {
	if s.SecretOptional == nil || !*s.SecretOptional || !slices.Contains(s.Flows, clientCredentials) {
		return nil
	}
	return found("its secret is optional, although a server logs in with it", s.fix(
		"require the secret for the web server flow",
		"set isConsumerSecretOptional to false in globalOauthSettings of plugins.eca, "+
			"and create another app for a public client"))
}

func insecureCallback(s subject) (all []finding.Finding) {
	fix := s.fix("remove it", "remove it from callbackUrl in globalOauthSettings of plugins.eca")
	for _, callback := range s.Callbacks {
		u, err := url.Parse(callback)
		if err != nil {
			continue
		}
		local := slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, strings.ToLower(u.Hostname()))
		problem := ""
		switch {
		case local && s.kind == platform.Production:
			problem = "the callback URL leads to a developer's machine, on a production org"
		case !local && strings.EqualFold(u.Scheme, "http"):
			problem = "the callback URL is plain http"
		default:
			continue
		}
		all = append(all, finding.Finding{Field: callback, Problem: problem, Fix: fix})
	}
	return all
}

func usernamePasswordFlow(s subject) []finding.Finding {
	if s.LastPasswordLogin.IsZero() {
		return nil
	}
	return found("the username-password flow was used on "+s.LastPasswordLogin.Format(time.DateOnly),
		"use client credentials or JWT bearer")
}

func certificateExpires(s subject) []finding.Finding {
	if s.CertificateExpires.IsZero() || s.CertificateExpires.Sub(s.options.Now) > certificateNotice {
		return nil
	}
	verb := "expires"
	if s.options.Now.After(s.CertificateExpires) {
		verb = "expired"
	}
	return found(fmt.Sprintf("its certificate %s on %s", verb, s.CertificateExpires.Format(time.DateOnly)),
		s.fix("upload a new one", "set a new one in globalOauthSettings.certificate of plugins.eca"))
}

func runAsAdmin(s subject) []finding.Finding {
	if s.RunAs == nil || !s.RunAs.Admin {
		return nil
	}
	problem := fmt.Sprintf("client credentials run as %s (%s), who may modify all data", s.RunAs.Username, s.RunAs.Profile)
	return []finding.Finding{{Field: s.RunAs.Username, Problem: problem, Fix: s.fix("name an integration user",
		"name an integration user in clientCredentialsFlowUser of the OAuth policies")}}
}

func runAsInactive(s subject) []finding.Finding {
	if s.RunAs == nil || !s.RunAs.Inactive && !s.RunAs.Missing {
		return nil
	}
	problem := fmt.Sprintf("client credentials run as %s, who is inactive", s.RunAs.Username)
	if s.RunAs.Missing {
		problem = fmt.Sprintf("client credentials run as %s, which is not a user of this org", s.RunAs.Username)
	}
	return []finding.Finding{{Field: s.RunAs.Username, Problem: problem,
		Fix: s.fix("name another user", "name another user in clientCredentialsFlowUser of the OAuth policies")}}
}

func notInstalled(s subject) []finding.Finding {
	if s.Kind != NotInstalled || s.Tokens == 0 || !s.sees(fromConnected, fromSources, fromApps) {
		return nil
	}
	tokens := plural(s.Users, "user") + ", " + plural(s.Tokens, "token")
	return found("it is not installed, and users have tokens of it: "+tokens,
		"install it in Setup (Connected Apps OAuth Usage) and set its policies, or block it there")
}

func unused(s subject) []finding.Finding {
	// The age of an app that the org does not show is not known.
	if !s.sees(fromTokens, fromLogins, fromMenu) || s.age(s.created) < unusedFor {
		return nil
	}
	switch {
	case s.LastUsed.IsZero():
		return found("the org has no record of any use", "delete it, if nobody needs it")
	case s.age(s.LastUsed) > unusedFor:
		return found("it was last used on "+s.LastUsed.Format(time.DateOnly), "delete it, if nobody needs it")
	}
	return nil
}

func hasToMove(s subject) []finding.Finding {
	if s.Kind != Connected {
		return nil
	}
	problem := "it is a Connected App, whose support Salesforce intends to end"
	if len(s.Lost) > 0 {
		problem += "; an External Client App has no equivalent for " + strings.Join(s.Lost, ", ")
	}
	switch {
	case s.hasSuccessor():
		return found(problem+"; an External Client App of the same name exists",
			"move the remaining users to the External Client App")
	case s.noOAuth:
		return found(problem+"; it has no OAuth", "create an External Client App for SAML or Canvas in Setup")
	case s.opaque && s.sees(fromSources):
		return found(problem+"; its settings cannot be read, so it belongs to another vendor",
			"ask its vendor for the External Client App")
	}
	return found(problem, "migrate it to an External Client App")
}

// hasSuccessor reports whether the org has an External Client App of a Connected App's name.
func (s subject) hasSuccessor() bool {
	return slices.ContainsFunc(s.snapshot.external, func(a *apps.App) bool {
		return strings.EqualFold(a.FullName(), s.Name)
	})
}

func oldConsumer(s subject) []finding.Finding {
	if s.Packaged || s.opaque || s.noOAuth || s.age(s.ConsumerCreated) <= consumerAge {
		return nil
	}
	fix := "rotate key and secret"
	if s.Kind == Connected {
		fix = "rotate key and secret in Setup (Manage Consumer Details)"
	}
	return found("its consumer was created on "+s.ConsumerCreated.Format(time.DateOnly), fix)
}

func pluginOff(s subject) []finding.Finding {
	if s.Enabled == nil || *s.Enabled {
		return nil
	}
	return found("the app or its OAuth plugin is disabled",
		"set isEnabled and isOauthPluginEnabled in pluginPolicies of plugins.eca, or delete the app")
}

func undeclared(s subject) []finding.Finding {
	if !s.isOwn() || s.options.Declared == nil ||
		slices.ContainsFunc(s.options.Declared, func(d string) bool { return strings.EqualFold(d, s.Name) }) {
		return nil
	}
	return found("no package of the project declares it", "retrieve its header into the project, or delete the app")
}

func drift(s subject) (all []finding.Finding) {
	if s.Kind != External {
		return nil
	}
	for name, changes := range s.options.Drift {
		if !strings.EqualFold(name, s.Name) {
			continue
		}
		for _, change := range changes {
			all = append(all, finding.Finding{Field: change.Field, Problem: "it differs from the project: " + change.What,
				Fix: "deploy the project's settings, or change the project"})
		}
	}
	return all
}
