package platform

// Sources that several facts have.
const (
	docs      = "Salesforce's documentation"
	guide     = "flxbl's External Client Apps guide"
	retrieved = "retrieved files of public projects"
	hardis    = "sfdx-hardis, which runs against live orgs"
	infisical = "Infisical's rotation, which runs against live orgs"
	assumed   = "nobody confirms it; the expected answer is assumed"
)

// facts is the table. An assumption of the product that is not a row is a mistake.
var facts = []Fact{
	// Metadata of apps
	{
		ID: "certificate-shown", Askable: true,
		Question: "Does readMetadata of ExtlClntAppGlobalOauthSettings return the certificate?",
		Answers:  []string{"shown", "withheld"}, Expected: "shown",
		Sources: []string{"shown: " + retrieved, "withheld: one tool lost a JWT login to an update that left the certificate out"},
	},
	{
		ID: "certificate-form", Askable: true,
		Question: "In which form does readMetadata return a certificate that was sent as PEM?",
		Answers:  []string{"as-sent", "pem", "body", "base64"}, Expected: "as-sent",
		Sources: []string{"all three forms are in " + retrieved},
	},
	{
		ID: "policies-with-consumer", Askable: true,
		Question: "Does the org create both policy records of an app together with its consumer?",
		Answers:  []string{"none", "created"}, Expected: "none",
		Sources: []string{"none: " + guide, "created, as App_defaultPolicy: reports of several orgs"},
	},
	{
		ID: "security-settings-with-consumer", Askable: true,
		Question: "Does the org create ExtlClntAppOauthSecuritySettings together with the consumer?",
		Answers:  []string{"none", "created"}, Expected: "none",
		Sources: []string{"that the platform creates the component: " + retrieved, "when: " + assumed},
	},
	{
		ID: "pkce-forced", Askable: true,
		Question: "Does the org keep isPkceRequired at true whatever is sent?",
		Answers:  []string{"kept-as-sent", "forced"}, Expected: "kept-as-sent",
		Sources: []string{"kept as sent: four " + retrieved, "forced: reports of some orgs, and " + docs + " for partner apps"},
	},
	{
		ID: "components-listed", Askable: true,
		Question: "Does listMetadata list the components of External Client Apps?",
		Answers:  []string{"listed", "empty"}, Expected: "listed",
		Sources: []string{"listed: " + docs, "empty although there are some: reports of some orgs"},
	},
	{
		ID: "older-version-resets", Askable: true,
		Question: "Does an upsert in an older API version reset fields that only a newer version has?",
		Answers:  []string{"kept", "reset"}, Expected: "kept",
		Sources: []string{assumed + ", because an upsert replaces the whole record"},
	},
	{
		ID: "consumer-key-at-creation", Askable: true,
		Question: "Is a consumerKey honoured that is sent when the consumer is created?",
		Answers:  []string{"honoured", "ignored"}, Expected: "honoured",
		Sources: []string{"honoured: " + hardis + ", which logs in with such keys", "ignored: " + assumed},
	},
	{
		ID: "consumer-secret-at-creation", Askable: true,
		Question: "Is a consumerSecret honoured that is sent when the consumer is created?",
		Answers:  []string{"ignored", "honoured"}, Expected: "ignored",
		Sources: []string{"honoured: " + hardis + " sends it", "ignored: one project got no usable secret from it"},
	},
	{
		ID:       "local-on-scratch-deploy",
		Question: "Does a scratch org accept global OAuth settings of a Local app through a deploy?",
		Answers:  []string{"accepted", "refused"}, Expected: "accepted",
		Sources: []string{"accepted: four public projects, one of which notes that it checked", "refused: " + guide},
	},
	{
		ID: "foreign-org-scope", Askable: true,
		Question: "Does the org accept a header whose orgScopedExternalApp names another org?",
		Answers:  []string{"refused", "accepted"}, Expected: "refused",
		Sources: []string{"refused: two public projects", "accepted: " + hardis + " sends the old org's value after a refresh"},
	},
	{
		ID: "repeated-element", Askable: true,
		Question: "Does the org accept a component in which an element that can occur once occurs twice?",
		Answers:  []string{"refused", "accepted"}, Expected: "refused",
		Sources: []string{assumed},
	},
	{
		ID: "disabled-app-policies", Askable: true,
		Question: "Does an app with isEnabled false accept OAuth policies?",
		Answers:  []string{"accepted", "refused"}, Expected: "accepted",
		Sources: []string{"refused if the OAuth plugin is off: " + guide, "if the whole app is off: " + assumed},
	},
	{
		ID: "jwt-switch-in-policies", Askable: true,
		Question: "Does API version 64.0 still know isNamedUserJwtEnabled of the OAuth policies?",
		Answers:  []string{"known", "unknown"}, Expected: "known",
		Sources: []string{"known: " + retrieved + " with API 64.0", "unknown: " + hardis + " limits it to 61.0 to 63.0"},
	},
	{
		ID: "unknown-profile", Askable: true,
		Question: "Does the org accept OAuth policies that name a profile which does not exist?",
		Answers:  []string{"refused", "accepted"}, Expected: "refused",
		Sources: []string{"refused like permission sets: " + assumed},
	},
	{
		ID:       "packaged-after-refresh",
		Question: "Does a packaged app keep its OAuth over a sandbox refresh?",
		Answers:  []string{"kept", "lost"}, Expected: "kept",
		Sources: []string{"kept: " + guide, "lost: a known issue of Salesforce"},
	},
	{
		ID: "settings-absent", Askable: true,
		Question: "What does readMetadata answer for an org settings type that the org lacks?",
		Answers:  []string{"empty-record", "fault"}, Expected: "empty-record",
		Sources: []string{assumed},
	},

	// Who may use an app
	{
		ID:       "profiles-authorise",
		Question: "Does commaSeparatedProfile pre-authorise the users of the profiles?",
		Answers:  []string{"yes", "no"}, Expected: "yes",
		Sources: []string{"yes: the field is documented", "no: one report"},
	},
	{
		ID:       "policies-grant",
		Question: "Does commaSeparatedPermissionSet alone grant the app, without a SetupEntityAccess record?",
		Answers:  []string{"yes", "no"}, Expected: "yes",
		Sources: []string{"yes: " + docs, "no: one report about JWT bearer"},
	},

	// Consumers and their credentials
	{
		ID: "key-without-setting", Askable: true,
		Question: "Does REST answer with consumer keys while access to secrets is off?",
		Answers:  []string{"refused", "answered"}, Expected: "refused",
		Sources: []string{assumed},
	},
	{
		ID: "secret-after-setting", Askable: true,
		Question: "Is the secret there at once after the setting was switched on?",
		Answers:  []string{"at-once", "later"}, Expected: "at-once",
		Sources: []string{"later: one report of answers without the secret"},
	},
	{
		ID:       "no-right-status",
		Question: "With which HTTP status are consumers refused to a user without the permission?",
		Answers:  []string{"403", "400"}, Expected: "403",
		Sources: []string{assumed},
	},
	{
		ID: "second-staging", Askable: true,
		Question: "What does a second POST of staged credentials do while the slot holds staged ones?",
		Answers:  []string{"refused", "replaces"}, Expected: "refused",
		Sources: []string{assumed},
	},
	{
		ID: "staging-over-rotated", Askable: true,
		Question: "What does a POST of staged credentials do while the slot holds rotated ones?",
		Answers:  []string{"refused", "replaces"}, Expected: "refused",
		Sources: []string{"replaces: " + infisical + " does so", "refused: " + hardis + " deletes them first"},
	},
	{
		ID: "staged-id-after-swap", Askable: true,
		Question: "Does the slot keep its ID when the credentials are swapped?",
		Answers:  []string{"kept", "new"}, Expected: "kept",
		Sources: []string{"kept: " + infisical + " uses it later", "new: " + hardis + " looks it up again"},
	},
	{
		ID: "nothing-staged", Askable: true,
		Question: "What does GET of staged credentials answer if nothing is staged?",
		Answers:  []string{"empty-list", "not-found"}, Expected: "empty-list",
		Sources: []string{"both were seen by clients"},
	},
	{
		ID: "staged-shape", Askable: true,
		Question: "Where in the answer are staged credentials?",
		Answers:  []string{"list", "top"}, Expected: "list",
		Sources: []string{"list: " + docs, "top: one client reads them there"},
	},
	{
		ID: "settings-created-date", Askable: true,
		Question: "Does ExtlClntAppOauthSettings have CreatedDate in SOQL?",
		Answers:  []string{"yes", "no"}, Expected: "yes",
		Sources: []string{"yes: the describe results of an org with API 67", "no: the documentation does not name it"},
	},
	{
		ID: "consumer-dates-move", Askable: true,
		Question: "Does a rotation move LastModifiedDate of ExtlClntAppOauthConsumer?",
		Answers:  []string{"no", "yes"}, Expected: "no",
		Sources: []string{assumed},
	},
	{
		ID: "unused-app-in-usage", Askable: true,
		Question: "Does /apps/oauth/usage list an app that nobody has used?",
		Answers:  []string{"no", "yes"}, Expected: "no",
		Sources: []string{"no: " + docs, "yes: two tools find an app there right after creating it"},
	},
	{
		ID:       "propagation",
		Question: "Does the token endpoint know a new consumer at once?",
		Answers:  []string{"at-once", "later"}, Expected: "later",
		Sources: []string{"two to ten minutes: " + docs, "up to thirty minutes: reports"},
	},

	// Token endpoint
	{
		ID:       "jwt-at-login-host",
		Question: "Does JWT bearer of an External Client App work at the login host?",
		Answers:  []string{"no", "yes"}, Expected: "no",
		Sources: []string{"no: several reports of app_not_found", "yes: one report"},
	},
	{
		ID: "jwt-unknown-user", Askable: true,
		Question: "How does the token endpoint refuse a JWT for a user who does not exist?",
		Answers:  []string{"user hasn't approved this consumer", "invalid assertion"}, Expected: "user hasn't approved this consumer",
		Sources: []string{assumed},
	},
	{
		ID: "jwt-expired-certificate", Askable: true,
		Question: "How does the token endpoint refuse a JWT whose certificate has expired?",
		Answers:  []string{"invalid assertion", "accepted"}, Expected: "invalid assertion",
		Sources: []string{assumed},
	},
	{
		ID: "revoke-without-session", Askable: true,
		Question: "Does the revoke endpoint accept a DeleteToken without a session?",
		Answers:  []string{"yes", "no"}, Expected: "yes",
		Sources: []string{"yes: " + assumed, "no: " + hardis + " sends a session"},
	},
	{
		ID:       "disabling-ends-access-tokens",
		Question: "Does isOauthPluginEnabled false end access tokens that are already issued?",
		Answers:  []string{"no", "yes"}, Expected: "no",
		Sources: []string{"yes: " + infisical + " relies on it for tokens and secrets", "otherwise " + assumed},
	},
	{
		ID:       "usage-delete-ends-access-tokens",
		Question: "Does DELETE of usage tokens end access tokens at once?",
		Answers:  []string{"no", "yes"}, Expected: "no",
		Sources: []string{"the documentation names refresh tokens only"},
	},
	{
		ID: "usage-delete-status", Askable: true,
		Question: "With which status does DELETE of usage tokens answer?",
		Answers:  []string{"204", "200"}, Expected: "204",
		Sources: []string{"204: " + docs, "200: Salesforce's Postman collection"},
	},

	// Queries
	{
		ID: "token-id", Askable: true,
		Question: "Has OauthToken a value in Id?",
		Answers:  []string{"null", "value"}, Expected: "null",
		Sources: []string{"null: " + docs, "value: " + hardis + " uses it as a key"},
	},
	{
		ID: "client-credentials-token-row", Askable: true,
		Question: "Does a login with client credentials leave a row in OauthToken?",
		Answers:  []string{"no", "yes"}, Expected: "no",
		Sources: []string{assumed},
	},
	{
		ID:       "token-menu-item",
		Question: "Has OauthToken of an External Client App an AppMenuItemId?",
		Answers:  []string{"yes", "no"}, Expected: "yes",
		Sources: []string{"often null: reports"},
	},
	{
		ID:       "unreadable-app-spoils-batch",
		Question: "Does a Connected App that cannot be read let readMetadata of others in the same call fail?",
		Answers:  []string{"no", "yes"}, Expected: "no",
		Sources: []string{"'Load of metadata from db failed': several tools", "whether it spoils others: " + assumed},
	},

	// Named credentials
	{
		ID: "no-stored-credential", Askable: true,
		Question: "What does GET of a principal's credential answer if none is stored?",
		Answers:  []string{"empty", "not-found"}, Expected: "empty",
		Sources: []string{"both were seen by clients"},
	},
	{
		ID: "client-id-shown", Askable: true,
		Question: "Does GET of a stored credential return the client ID?",
		Answers:  []string{"shown", "hidden"}, Expected: "shown",
		Sources: []string{assumed + ", because it is not encrypted"},
	},
	{
		ID: "jwt-claims", Askable: true,
		Question: "Which claims of an external credential must be JSON?",
		Answers:  []string{"aud", "all"}, Expected: "aud",
		Sources: []string{"aud: two " + retrieved + " have all others bare", "all: nobody reports it"},
	},

	// AI clients
	{
		ID:       "mcp-authorization-server",
		Question: "Which authorization server does the resource metadata of a hosted MCP server name?",
		Answers:  []string{"login-host", "resource"}, Expected: "login-host",
		Sources: []string{"the login host: two reports", "the resource itself: one report"},
	},
	{
		ID:       "mcp-environment-segment",
		Question: "Does the environment segment of an MCP address matter with a valid token?",
		Answers:  []string{"yes", "no"}, Expected: "yes",
		Sources: []string{"yes: Salesforce's skills", "no: one report"},
	},
	{
		ID:       "jwt-scope-claim",
		Question: "In which claim does a JWT-based access token hold its scopes?",
		Answers:  []string{"scp", "scope"}, Expected: "scp",
		Sources: []string{"both were seen"},
	},
}
