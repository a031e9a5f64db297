package audit

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/ecakit/ecakit/pkg/apps"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/platform"
)

// Rules returns the rules, in the order of RULES.md.
func Rules() (all []finding.Rule) {
	for _, r := range rules {
		all = append(all, r.Rule)
	}
	return all
}

// Document returns the content of RULES.md.
func Document() string {
	var sections []finding.Section
	for _, r := range rules {
		if n := len(sections); n == 0 || sections[n-1].Title != r.section {
			sections = append(sections, finding.Section{Title: r.section})
		}
		last := &sections[len(sections)-1]
		rule := r.Rule
		rule.Text += "\n\nSource: " + r.source + "."
		last.Rules = append(last.Rules, rule)
	}
	return finding.Document("The rules of `eca audit`", intro, sections)
}

const intro = `Each rule shows the level of most of its findings. ` + "`audit.rules`" + ` in ` + "`plugins.eca`" + ` sets another
one, or ` + "`off`" + `, and ` + "`audit.accept`" + ` accepts a finding until a day; see pkg/project/SETTINGS.md.

What the session may not see, or an org does not have, is said in the report, and rules that need it
find nothing.`

// The ages at which rules begin to find something, in days.
const (
	longRefresh = 90
	unusedFor   = 90
	oldConsumer = 365

	certificateIn = 30 * 24 * time.Hour // ahead
)

// subject is what a rule judges.
type subject struct {
	*App
	options Options
	kind    platform.Kind
	survey  *Survey
}

// age is how long ago something was, in days; 0 for an unknown time.
func (s subject) age(t time.Time) int {
	if t.IsZero() {
		return 0
	}
	return int(s.options.Now.Sub(t).Hours() / 24)
}

// knows reports whether the org let something be seen.
func (s subject) knows(what ...string) bool {
	return !slices.ContainsFunc(what, func(w string) bool { return s.survey.hidden[w] })
}

// setting names where an app's setting is changed.
func (s subject) setting(connected, external string) string {
	switch {
	case s.Kind == Connected:
		return connected + " in Setup (Manage Connected Apps), or move it: eca migrate"
	case s.Namespace != "" || s.Packaged:
		return connected + " in Setup (External Client App Manager), or ask who makes its package"
	}
	return external
}

// rule is a rule of the table.
type rule struct {
	finding.Rule
	section string
	source  string // where it is documented
	check   func(s subject) []finding.Finding
}

// found makes a finding.
func found(problem, fix string) []finding.Finding {
	return []finding.Finding{{Problem: problem, Fix: fix}}
}

const (
	whoMayUse = "Who may use an app"
	howLong   = "How an app logs in"
	asWhom    = "Client credentials"
	inUse     = "Use and age"
	project   = "The project"
)

// rules is the table. It is made by init, because its checks lead back to it.
var rules []rule

func init() {
	rules = []rule{
		{section: whoMayUse, source: "Salesforce's documentation of PermittedUsersPolicyType and isAdminApproved",
			Rule: finding.Rule{ID: "open-to-all", Level: finding.Warning,
				Summary: "Every user of the org may authorise himself to use the app.",
				Text:    "Whoever persuades one user to press Allow has that user's data. Admit only users whom a permission set\ngrants the app. Find out who uses it before: the report shows users and tokens."},
			check: func(s subject) []finding.Finding {
				if s.Access != Everybody {
					return nil
				}
				return found("every user may authorise himself", s.setting("set Permitted Users to admin-approved and grant the app by a permission set", "set permittedUsersPolicyType to AdminApprovedPreAuthorized in the OAuth policies, and grant the app with permissionSets in plugins.eca: eca bootstrap --apply-policies"))
			}},
		{section: whoMayUse, source: "Salesforce's documentation of admin-approved users",
			Rule: finding.Rule{ID: "locked-out", Level: finding.Error, But: "a warning where only profiles grant an External Client App",
				Summary: "Only pre-authorised users may use the app, and nobody is.",
				Text:    "No permission set and no profile grants it, or nobody has them, so every login is refused with `user is\nnot admin approved to access this app`. Grant it, or remove the app."},
			check: func(s subject) []finding.Finding {
				// Without its record, nothing tells what grants a Connected App.
				if s.Access != PreAuthorised || s.ID == "" || s.Namespace != "" || !s.knows(fromAccess, fromAssigned, fromPolicies, fromGlobals) {
					return nil
				}
				profiles := slices.ContainsFunc(s.Granted, func(g string) bool { return strings.HasPrefix(g, profilePrefix) })
				sets := slices.ContainsFunc(s.Granted, func(g string) bool { return !strings.HasPrefix(g, profilePrefix) })
				switch {
				case len(s.Granted) == 0:
					return found("only pre-authorised users may use it, and no permission set grants it", s.setting("grant it by a permission set, or remove the app,", "grant it with permissionSets in plugins.eca: eca bootstrap; or remove the app"))
				case profiles && !sets && s.Kind == External:
					return []finding.Finding{{Level: finding.Warning, Problem: "only profiles grant it, which the platform has been seen to ignore for External Client Apps", Fix: "grant it with a permission set: permissionSets in plugins.eca"}}
				case !profiles && s.Grantees == 0 && s.recorded:
					return found(fmt.Sprintf("only pre-authorised users may use it, and no active user has %s", strings.Join(s.Granted, ", ")), "assign the permission set to its users: sf org assign permset; or remove the app")
				}
				return nil
			}},
		{section: whoMayUse, source: "an integrator's manual: such apps have their token requests refused now",
			Rule: finding.Rule{ID: "scope-full", Level: finding.Error,
				Summary: "The app has the scope `full`.",
				Text:    "A token with it may do whatever its user may, and apps with overly broad scopes have their token requests\nrefused now. Most need `Api` alone, and `RefreshToken` beside it."},
			check: func(s subject) []finding.Finding {
				if !slices.Contains(s.Scopes, "Full") {
					return nil
				}
				return found("it has the scope full", s.setting("choose narrower scopes", "state commaSeparatedOauthScopes in oauthSettings of plugins.eca: eca bootstrap"))
			}},
		{section: whoMayUse, source: "Salesforce's documentation of the flows: client credentials give neither a refresh token nor web",
			Rule: finding.Rule{ID: "scope-broad", Level: finding.Warning,
				Summary: "The app's scopes are broader than its flows can use.",
				Text:    "An app that logs in by client credentials alone gets no refresh token and no web session, so `Web` and\n`RefreshToken` only serve somebody who has stolen its key."},
			check: func(s subject) []finding.Finding {
				if len(s.Flows) != 1 || s.Flows[0] != "client credentials" {
					return nil
				}
				var more []string
				for _, scope := range []string{"Web", "RefreshToken", "OfflineAccess"} {
					if slices.Contains(s.Scopes, scope) {
						more = append(more, scope)
					}
				}
				if len(more) == 0 {
					return nil
				}
				return found(fmt.Sprintf("it logs in by client credentials, which %s cannot serve", strings.Join(more, ", ")), s.setting("take them away", "take them out of commaSeparatedOauthScopes: eca bootstrap; or leave the flow off if users log in, too"))
			}},
		{section: whoMayUse, source: "Salesforce's documentation of ipRelaxationPolicyType",
			Rule: finding.Rule{ID: "ip-relaxed", Level: finding.Warning,
				Summary: "The app relaxes the IP ranges that its users are bound to.",
				Text:    "A stolen token works from everywhere. Enforce the ranges, or add the app's own to `trustedIpRanges`."},
			check: func(s subject) []finding.Finding {
				if s.IP == "" || s.IP == "Enforce" {
					return nil
				}
				return found("it relaxes IP ranges ("+s.IP+")", s.setting("enforce IP restrictions", "set ipRelaxationPolicyType to Enforce in the OAuth policies"))
			}},

		{section: howLong, source: "Salesforce's documentation of refreshTokenPolicyType",
			Rule: finding.Rule{ID: "refresh-token-lives-long", Level: finding.Warning,
				Summary: "Refresh tokens never expire, or live longer than 90 days.",
				Text:    "Whoever has one logs in as its user until somebody revokes it. Apps whose scopes give no refresh tokens are\nnot looked at."},
			check: func(s subject) []finding.Finding {
				gets := slices.ContainsFunc(s.Scopes, func(scope string) bool { return scope == "RefreshToken" || scope == "OfflineAccess" || scope == "Full" })
				if s.refreshDays != -1 && s.refreshDays <= longRefresh || !gets {
					return nil
				}
				return found("refresh tokens live "+s.RefreshToken, s.setting("let refresh tokens expire", "state refreshTokenPolicyType SpecificLifetime with at most 90 Days in the OAuth policies"))
			}},
		{section: howLong, source: "Salesforce's documentation of isPkceRequired, which is true by default",
			Rule: finding.Rule{ID: "pkce-off", Level: finding.Warning,
				Summary: "The app does not require PKCE.",
				Text:    "An authorization code that is caught on its way can be exchanged by whoever caught it. Require PKCE once\nall clients send a code challenge. Apps for flows without a code alone are not looked at."},
			check: func(s subject) []finding.Finding {
				machines := len(s.Flows) > 0 && !slices.ContainsFunc(s.Flows, func(flow string) bool {
					return flow != "client credentials" && flow != "JWT bearer" && flow != "token exchange"
				})
				if s.PKCE == nil || *s.PKCE || machines {
					return nil
				}
				return found("it does not require PKCE", s.setting("require Proof Key for Code Exchange", "set isPkceRequired to true in globalOauthSettings of plugins.eca: eca bootstrap"))
			}},
		{section: howLong, source: "Salesforce's documentation of isConsumerSecretOptional",
			Rule: finding.Rule{ID: "secret-optional", Level: finding.Warning,
				Summary: "The app has a confidential client, and its secret is optional.",
				Text:    "A server can keep a secret, so an authorization code need not be exchanged without one."},
			check: func(s subject) []finding.Finding {
				if s.SecretOptional == nil || !*s.SecretOptional || !slices.Contains(s.Flows, "client credentials") {
					return nil
				}
				return found("its secret is optional, although a server logs in by it", s.setting("require the secret for the web server flow", "set isConsumerSecretOptional to false in globalOauthSettings of plugins.eca: eca bootstrap; a public client gets an app of its own"))
			}},
		{section: howLong, source: "RFC 8252, and Salesforce's documentation of callback URLs",
			Rule: finding.Rule{ID: "insecure-callback", Level: finding.Warning,
				Summary: "A callback URL is plain http, or leads to a developer's machine in production.",
				Text:    "The authorization code goes there."},
			check: func(s subject) (all []finding.Finding) {
				for _, callback := range s.Callbacks {
					u, err := url.Parse(callback)
					if err != nil {
						continue
					}
					local := slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, strings.ToLower(u.Hostname()))
					if local && s.kind != platform.Production || !local && !strings.EqualFold(u.Scheme, "http") {
						continue
					}
					what := "goes over plain http"
					if local {
						what = "leads to a developer's machine, on a production org"
					}
					all = append(all, finding.Finding{Field: callback, Problem: "the callback URL " + what, Fix: s.setting("remove it", "remove it from callbackUrl in globalOauthSettings of plugins.eca: eca bootstrap")})
				}
				return all
			}},
		{section: howLong, source: "Salesforce's release notes: the flow ends in February 2027",
			Rule: finding.Rule{ID: "username-password-flow", Level: finding.Error,
				Summary: "Somebody logs in with username and password in the request.",
				Text:    "The flow ends in February 2027, External Client Apps do not have it, and the password is in the client's\nconfiguration. Use client credentials or JWT bearer."},
			check: func(s subject) []finding.Finding {
				if s.LastPasswordLogin.IsZero() {
					return nil
				}
				return found("the username-password flow was used on "+s.LastPasswordLogin.Format(time.DateOnly), "log in by client credentials or JWT bearer: eca init --preset server, or ci")
			}},
		{section: howLong, source: "RFC 7523; a JWT that is signed with the key of an expired certificate is refused",
			Rule: finding.Rule{ID: "certificate-expires", Level: finding.Error,
				Summary: "The app's certificate has expired, or does so within 30 days.",
				Text:    "Logins by JWT bearer are refused then."},
			check: func(s subject) []finding.Finding {
				if s.CertificateExpires.IsZero() || s.CertificateExpires.Sub(s.options.Now) > certificateIn {
					return nil
				}
				what := "expires on "
				if s.options.Now.After(s.CertificateExpires) {
					what = "expired on "
				}
				return found("its certificate "+what+s.CertificateExpires.Format(time.DateOnly), s.setting("upload a new one", "state a new one in globalOauthSettings.certificate of plugins.eca: eca bootstrap"))
			}},

		{section: asWhom, source: "the OWASP advice of least privilege; Salesforce's own, of an integration user",
			Rule: finding.Rule{ID: "run-as-admin", Level: finding.Error,
				Summary: "Client credentials run as a user who may modify all data.",
				Text:    "Whoever has key and secret has the org. Give the app an integration user of its own, with a permission set\nthat has what it needs."},
			check: func(s subject) []finding.Finding {
				if s.RunAs == nil || !s.RunAs.Admin {
					return nil
				}
				return about(s.RunAs.Username, fmt.Sprintf("client credentials run as %s (%s), who may modify all data", s.RunAs.Username, s.RunAs.Profile), s.setting("name an integration user", "name an integration user in clientCredentialsFlowUser of the OAuth policies"))
			}},
		{section: asWhom, source: "the token endpoint's answer inactive_user",
			Rule: finding.Rule{ID: "run-as-inactive", Level: finding.Error,
				Summary: "Client credentials run as a user who is inactive, or does not exist.",
				Text:    "Each login is refused with `user is inactive`."},
			check: func(s subject) []finding.Finding {
				if s.RunAs == nil || !s.RunAs.Inactive && !s.RunAs.Missing {
					return nil
				}
				why := "is inactive"
				if s.RunAs.Missing {
					why = "is no user of this org"
				}
				return about(s.RunAs.Username, fmt.Sprintf("client credentials run as %s, who %s", s.RunAs.Username, why), s.setting("name another user", "name another user in clientCredentialsFlowUser of the OAuth policies"))
			}},

		{section: inUse, source: "Salesforce's release notes: since September 2025 such apps need the permission Approve Uninstalled Connected Apps",
			Rule: finding.Rule{ID: "not-installed", Level: finding.Warning,
				Summary: "Users have tokens of an app that is not installed in the org.",
				Text:    "Nobody in the org governs it. Install the app and set its policies, or revoke its tokens."},
			check: func(s subject) []finding.Finding {
				if s.Kind != NotInstalled || s.Tokens == 0 || !s.knows(fromConnected, fromSources, fromApps) {
					return nil
				}
				return found(fmt.Sprintf("it is not installed, and users have tokens of it: %s, %s", plural(s.Users, "user"), plural(s.Tokens, "token")), "install it in Setup (Connected Apps OAuth Usage) and set its policies, or block it there")
			}},
		{section: inUse, source: "LoginHistory and OauthToken, which tell of six months and of each token",
			Rule: finding.Rule{ID: "unused", Level: finding.Warning,
				Summary: "Nobody has used the app for 90 days.",
				Text:    "What nobody uses, nobody watches. An app younger than that is not looked at."},
			check: func(s subject) []finding.Finding {
				if s.Kind == NotInstalled || s.Kind == NotShown || !s.knows(fromTokens, fromLogins, fromMenu) || s.age(s.created) < unusedFor {
					return nil
				}
				switch {
				case s.LastUsed.IsZero():
					return found("the org knows of no use of it", "remove it, if nobody needs it")
				case s.age(s.LastUsed) > unusedFor:
					return found("it was last used on "+s.LastUsed.Format(time.DateOnly), "remove it, if nobody needs it")
				}
				return nil
			}},
		{section: inUse, source: "Salesforce's release notes: the support of Connected Apps ends with Summer '27",
			Rule: finding.Rule{ID: "has-to-move", Level: finding.Warning,
				Summary: "A Connected App has to become an External Client App before Summer '27.",
				Text:    "`eca migrate -o ORG --app NAME` shows what becomes of it and what would be lost. Where key and secret have\nto stay, use Setup's own migration."},
			check: func(s subject) []finding.Finding {
				if s.Kind != Connected {
					return nil
				}
				problem := "Connected Apps end with Summer '27"
				if len(s.Lost) > 0 {
					problem += "; moving it loses " + strings.Join(s.Lost, ", ")
				}
				switch {
				case s.successor():
					return found(problem+", and an External Client App of the same name is there", "eca migrate --status -o ORG --app "+s.Name+" shows who has not moved yet")
				case s.noOAuth:
					return found(problem+"; it has no OAuth", "make an External Client App for SAML or Canvas in Setup")
				case s.opaque && s.knows(fromSources):
					return found(problem+"; its settings cannot be read, so it is another vendor's", "ask its vendor for the External Client App")
				}
				return found(problem, "eca migrate -o ORG --app "+s.Name)
			}},
		{section: inUse, source: "Salesforce's advice to rotate secrets; CreatedDate of the app's OAuth settings or record",
			Rule: finding.Rule{ID: "old-consumer", Level: finding.Warning,
				Summary: "The app's consumer is older than a year.",
				Text:    "Nobody knows by then who has its secret. The org does not tell when a secret was last rotated: where it\nwas, accept the finding."},
			check: func(s subject) []finding.Finding {
				if s.Packaged || s.opaque || s.noOAuth || s.age(s.ConsumerMade) <= oldConsumer {
					return nil
				}
				fix := "eca rotate -o ORG --app " + s.Name
				if s.Kind == Connected {
					fix = "rotate it in Setup (Manage Consumer Details), or move the app: eca migrate"
				}
				return found("its consumer was made on "+s.ConsumerMade.Format(time.DateOnly), fix)
			}},
		{section: inUse, source: "Salesforce's documentation of ExtlClntAppConfigurablePolicies",
			Rule: finding.Rule{ID: "plugin-off", Level: finding.Warning,
				Summary: "The app or its OAuth plugin is off.",
				Text:    "Nobody logs in by it. If that is meant, remove the app."},
			check: func(s subject) []finding.Finding {
				if s.On == nil || *s.On {
					return nil
				}
				return found("the app or its OAuth plugin is off", "state isEnabled and isOauthPluginEnabled in pluginPolicies of plugins.eca: eca bootstrap; or remove the app")
			}},

		{section: project, source: "the project in the working directory",
			Rule: finding.Rule{ID: "undeclared", Level: finding.Warning,
				Summary: "The org has an External Client App that the project does not declare.",
				Text:    "Somebody made it in Setup, so no refresh brings it back. Found only where `eca audit` runs in a project."},
			check: func(s subject) []finding.Finding {
				if s.Kind != External || s.Namespace != "" || s.Packaged || s.options.Declared == nil || slices.ContainsFunc(s.options.Declared, func(d string) bool { return strings.EqualFold(d, s.Name) }) {
					return nil
				}
				return found("no package of the project declares it", "retrieve its header into the project, or remove the app")
			}},
		{section: project, source: "the project in the working directory",
			Rule: finding.Rule{ID: "drift", Level: finding.Warning,
				Summary: "An app's settings differ from what the project states.",
				Text:    "Found only where `eca audit` runs in a project. `eca plan` shows the same field by field."},
			check: func(s subject) (all []finding.Finding) {
				if s.Kind != External {
					return nil
				}
				for name, changes := range s.options.Drift {
					for _, change := range changes {
						if strings.EqualFold(name, s.Name) {
							all = append(all, finding.Finding{Field: change.Field, Problem: "it differs from the project: " + change.What, Fix: "eca bootstrap, or change the project"})
						}
					}
				}
				return all
			}},
	}
}

// about makes a finding about something of the app, which tells it from others of the same rule.
func about(field, problem, fix string) []finding.Finding {
	return []finding.Finding{{Field: field, Problem: problem, Fix: fix}}
}

// successor reports whether an External Client App of a Connected App's name is there.
func (s subject) successor() bool {
	return slices.ContainsFunc(s.survey.external, func(a *apps.App) bool { return strings.EqualFold(a.FullName(), s.Name) })
}
