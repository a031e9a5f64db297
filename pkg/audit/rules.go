package audit

import "github.com/ecakit/ecakit/pkg/finding"

// rule is a row of the table of rules.
type rule struct {
	finding.Rule
	section string
	source  string // where it is documented
	check   func(s subject) []finding.Finding
}

// The sections of RULES.md.
const (
	whoCanUse = "Who can use an app"
	howLogin  = "How an app logs in"
	runAs     = "Client credentials"
	useAndAge = "Use and age"
	inProject = "The project"
)

var rules = []rule{
	{check: openToAll, section: whoCanUse,
		source: "Salesforce's documentation of PermittedUsersPolicyType and isAdminApproved",
		Rule: finding.Rule{ID: "open-to-all", Level: finding.Warning,
			Summary: "Every user of the org can authorise the app.",
			Text: `An attacker who persuades one user to press Allow has that user's data. Admit only users whom a permission
set grants the app. First find out who uses the app: the report shows users and tokens.`}},
	{check: lockedOut, section: whoCanUse, source: "Salesforce's documentation of admin-approved users",
		Rule: finding.Rule{ID: "locked-out", Level: finding.Error,
			But:     "a warning if only profiles grant an External Client App",
			Summary: "Only pre-authorised users can use the app, and there are none.",
			Text: "No permission set and no profile grants the app, or nobody has them, so every login is refused with\n" +
				"`user is not admin approved to access this app`. Grant the app, or delete it."}},
	{check: scopeFull, section: whoCanUse, source: "an integrator's manual: token requests of such apps are now refused",
		Rule: finding.Rule{ID: "scope-full", Level: finding.Error,
			Summary: "The app has the scope `full`.",
			Text: "A token with this scope can do whatever its user can. Token requests of apps with overly broad scopes are\n" +
				"now refused. Most apps need only `Api`, and `RefreshToken` with it."}},
	{check: scopeBroad, section: whoCanUse,
		source: "Salesforce's documentation of the flows: client credentials give neither a refresh token nor web",
		Rule: finding.Rule{ID: "scope-broad", Level: finding.Warning,
			Summary: "The app's scopes are broader than its flows can use.",
			Text: "An app with client credentials alone gets no refresh token and no web session, so `Web` and `RefreshToken`\n" +
				"serve only somebody who has stolen its key."}},
	{check: ipRelaxed, section: whoCanUse, source: "Salesforce's documentation of ipRelaxationPolicyType",
		Rule: finding.Rule{ID: "ip-relaxed", Level: finding.Warning,
			Summary: "The app relaxes the IP ranges of its users.",
			Text:    "A stolen token works from everywhere. Enforce the ranges, or add the app's own to `trustedIpRanges`."}},

	{check: longRefreshToken, section: howLogin, source: "Salesforce's documentation of refreshTokenPolicyType",
		Rule: finding.Rule{ID: "refresh-token-lives-long", Level: finding.Warning,
			Summary: "Refresh tokens never expire, or live longer than 90 days.",
			Text: `Somebody who has stolen one logs in as its user until it is revoked. Apps whose scopes give no refresh
tokens are not checked.`}},
	{check: pkceOff, section: howLogin, source: "Salesforce's documentation of isPkceRequired, which is true by default",
		Rule: finding.Rule{ID: "pkce-off", Level: finding.Warning,
			Summary: "The app does not require PKCE.",
			Text: `An intercepted authorization code can be exchanged by the attacker. Require PKCE once all clients send a
code challenge. Apps that only have flows without a code are not checked.`}},
	{check: secretOptional, section: howLogin, source: "Salesforce's documentation of isConsumerSecretOptional",
		Rule: finding.Rule{ID: "secret-optional", Level: finding.Warning,
			Summary: "The app has a confidential client, and its secret is optional.",
			Text:    "A server can keep a secret, so an authorization code need not be exchanged without one."}},
	{check: insecureCallback, section: howLogin, source: "RFC 8252, and Salesforce's documentation of callback URLs",
		Rule: finding.Rule{ID: "insecure-callback", Level: finding.Warning,
			Summary: "A callback URL is plain http, or leads to a developer's machine in production.",
			Text:    "Salesforce sends the authorization code there."}},
	{check: usernamePasswordFlow, section: howLogin, source: "Salesforce's release notes: the flow ends on 20 February 2027",
		Rule: finding.Rule{ID: "username-password-flow", Level: finding.Error,
			Summary: "Somebody logs in with username and password in the request.",
			Text: `The flow ends on 20 February 2027, External Client Apps do not have it, and the password is in the client's
configuration. Use client credentials or JWT bearer.`}},
	{check: certificateExpires, section: howLogin,
		source: "RFC 7523; a JWT that is signed with the key of an expired certificate is refused",
		Rule: finding.Rule{ID: "certificate-expires", Level: finding.Error,
			Summary: "The app's certificate has expired, or expires within 30 days.",
			Text:    "Logins with JWT bearer are then refused."}},

	{check: runAsAdmin, section: runAs,
		source: "OWASP's advice of least privilege, and Salesforce's advice of an integration user",
		Rule: finding.Rule{ID: "run-as-admin", Level: finding.Error,
			Summary: "Client credentials run as a user who may modify all data.",
			Text: `Somebody with the app's key and secret controls the org. Give the app an integration user of its own, with a
permission set for what the app needs.`}},
	{check: runAsInactive, section: runAs, source: "the token endpoint's error inactive_user",
		Rule: finding.Rule{ID: "run-as-inactive", Level: finding.Error,
			Summary: "Client credentials run as a user who is inactive or does not exist.",
			Text:    "Each login is refused with `user is inactive`."}},

	{check: notInstalled, section: useAndAge,
		source: "Salesforce's release notes: since September 2025 such apps need the permission " +
			"Approve Uninstalled Connected Apps",
		Rule: finding.Rule{ID: "not-installed", Level: finding.Warning,
			Summary: "Users have tokens of an app that is not installed in the org.",
			Text:    "Nobody in the org controls the app. Install it and set its policies, or revoke its tokens."}},
	{check: unused, section: useAndAge, source: "LoginHistory, which covers six months, and OauthToken",
		Rule: finding.Rule{ID: "unused", Level: finding.Warning,
			Summary: "Nobody has used the app for 90 days.",
			Text:    "Nobody watches an app that nobody uses. Apps younger than 90 days are not checked."}},
	{check: hasToMove, section: useAndAge,
		source: "Salesforce's release notes since Spring '26, and its help article of April 2026",
		Rule: finding.Rule{ID: "has-to-move", Level: finding.Warning,
			Summary: "A Connected App should be migrated to an External Client App.",
			Text: `Since Spring '26 no Connected App can be created. Existing ones continue to work. Salesforce intends to end
their support and has announced no date. If key and secret have to stay, use *Migrate to External Client App*
in Setup.`}},
	{check: oldConsumer, section: useAndAge,
		source: "Salesforce's advice to rotate secrets; CreatedDate of the app's OAuth settings or record",
		Rule: finding.Rule{ID: "old-consumer", Level: finding.Warning,
			Summary: "The app's consumer is older than a year.",
			Text: `After a year nobody knows who has its secret. Salesforce does not expose the date of the last rotation: if the
secret has been rotated, accept the finding.`}},
	{check: pluginOff, section: useAndAge, source: "Salesforce's documentation of ExtlClntAppConfigurablePolicies",
		Rule: finding.Rule{ID: "plugin-off", Level: finding.Warning,
			Summary: "The app or its OAuth plugin is disabled.",
			Text:    "Nobody can log in with the app. If that is intended, delete the app."}},

	{check: undeclared, section: inProject, source: "the project in the working directory",
		Rule: finding.Rule{ID: "undeclared", Level: finding.Warning,
			Summary: "The org has an External Client App that the project does not declare.",
			Text:    "Somebody created it in Setup, so it does not come back after a refresh. Checked only inside a project."}},
	{check: drift, section: inProject, source: "the project in the working directory",
		Rule: finding.Rule{ID: "drift", Level: finding.Warning,
			Summary: "An app's settings differ from the project.",
			Text:    "Checked only inside a project."}},
}

// Rules returns the rules, in the order of RULES.md.
func Rules() (all []finding.Rule) {
	for _, r := range rules {
		all = append(all, r.Rule)
	}
	return all
}

// document returns the content of RULES.md.
func document() string {
	var sections []finding.Section
	for _, r := range rules {
		if n := len(sections); n == 0 || sections[n-1].Title != r.section {
			sections = append(sections, finding.Section{Title: r.section})
		}
		last := &sections[len(sections)-1]
		r.Text += "\n\nSource: " + r.source + "."
		last.Rules = append(last.Rules, r.Rule)
	}
	return finding.Document("The rules of `eca audit`", intro, sections)
}

const intro = "Each rule shows the level of most of its findings. `audit.rules` in `plugins.eca` sets another\n" +
	"one, or `off`, and `audit.accept` accepts a finding until a day; see pkg/project/SETTINGS.md.\n\n" +
	"The report lists what the session cannot see or the org does not have. Rules that need it find\nnothing."
