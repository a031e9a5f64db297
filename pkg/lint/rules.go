package lint

import (
	"github.com/ecakit/ecakit/pkg/connection"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/preflight"
)

// Rules returns all rules in the order of RULES.md: those of this package, of credentials, and of the
// preflight.
func Rules() []finding.Rule { return finding.All(sections()) }

func sections() []finding.Section {
	return append(ownSections(), connection.Section(), preflight.Section())
}

// document returns the content of RULES.md.
func document() string {
	return finding.Document("The rules of `eca lint`", intro, sections())
}

const intro = `Each rule shows the level of most of its findings. An *error* means that the
deployment or the bootstrap will fail, that OAuth breaks, or that a secret is
exposed. A *warning* means that it may fail, or that the result is rarely intended.

Pattern 1 deploys a Packaged app together with the link to its consumer. Pattern 2
deploys the header of a Local app, and ` + "`eca`" + ` creates a consumer in each org.

A Local app can also be deployed as source as a whole: header, OAuth settings without
a link, global OAuth settings and policies, all in one package. The platform then
creates the link, the key and the secret, and no hook is needed: ` + "`script-not-wired`" + `
and ` + "`package-order`" + ` do not apply.`

// ownSections returns the rules of this package, grouped by topic.
func ownSections() []finding.Section {
	return []finding.Section{
		{Title: "Pattern 2: Local apps", Rules: []finding.Rule{
			{ID: "settings-without-link", Level: finding.Error, But: "a warning for a link in the settings of a Local app",
				Summary: "ExtlClntAppOauthSettings have no `oauthLink`, and the package has no global OAuth settings of the app.",
				Text: "Deployed like this, they break the app's OAuth plugin permanently: every later call fails with\n" +
					"`Cannot invoke \"String.split(String)\" because \"oauthLink\" is null`, until the metadata is deleted.\n" +
					"The platform creates the link, a different one in each org, so source cannot hold that of a Local app.\n\n" +
					"Remove the file and state its fields in `oauthSettings` of the app in `plugins.eca`. Or deploy the whole\n" +
					"app as source, with its global OAuth settings in the same package; the platform then creates the link. A\n" +
					"link in the settings of a Local app leads to the consumer of one org, and the deployment fails on others."},
			{ID: "global-settings-in-source", Level: finding.Error,
				Summary: "ExtlClntAppGlobalOauthSettings are in a package without the app's OAuth settings, or belong to a Packaged app.",
				Text: "They create the consumer: key, secret and flows, different in each org. Without OAuth settings the platform\n" +
					"refuses them (`… doesn't have a valid OAuth settings configuration`). Scratch orgs refuse those of a\n" +
					"Packaged app (`Ephemeral orgs such as scratch orgs can't be used to deploy packaged ECAs`), and its\n" +
					"package cannot be built.\n\n" +
					"Remove the file and state its fields in `globalOauthSettings` of the app in `plugins.eca`; or deploy the\n" +
					"whole app as source, with its OAuth settings in the same package."},
			{ID: "secret-in-source", Level: finding.Error,
				Summary: "A package holds a consumer secret, a consumer key or a private key.",
				Text: "The platform creates key and secret in each org. A private key must not be in a repository; of a key pair,\n" +
					"only the certificate is needed. Remove it from the history as well, and replace it: whoever read the\n" +
					"repository has it."},
			{ID: "header-not-local", Level: finding.Error,
				Summary: "A package with the hook, or an app with settings in `plugins.eca`, has a header that is not Local.",
				Text: "The hook skips such an app, because a Packaged app gets its OAuth from its package. Set\n" +
					"`distributionState` to Local, or deploy the app by Pattern 1."},
			{ID: "org-scoped", Level: finding.Error,
				Summary: "`orgScopedExternalApp` names an org, and the header is deployed to others.",
				Text: "The platform fills it in with its own org's ID and the app's name; a retrieve brings it into source.\n" +
					"Remove the element from the header of a Local app. In a Packaged app it must name the org that the\n" +
					"`oauthLink` leads to."},
			{ID: "script-not-wired", Level: finding.Error, But: "a warning for a script in which no call of `eca` is found",
				Summary: "The package of a Local app does not run `eca` after its deployment.",
				Text: "Nothing enables OAuth then, and the policies that are deployed next fail with `The OAuth settings are\n" +
					"missing for this external client app.` Name `scripts/bootstrap-eca-oauth.sh` as `postDeploymentScript` of\n" +
					"the package. A file for `cmd.exe` serves pools alone: sfp copies a `postDeploymentScript` into the\n" +
					"artifact without its extension, and `cmd.exe` runs no such file."},
			{ID: "package-order", Level: finding.Error,
				Summary: "Policies are deployed before the app has OAuth.",
				Text: "Packages are installed in the order of `packageDirectories`. Put the package with the policies after the\n" +
					"one with the header. OAuth policies of a Local app cannot be in the header's own package, because the\n" +
					"script runs after all of it."},
			{ID: "no-default", Level: finding.Warning, But: "an error where sfp would take another environment's directory for it",
				Summary: "An aliasfied package with policies has no folder `default`.",
				Text: "sfp fails the package on every sandbox and scratch org without a folder of its own: `Aliasfied package …\n" +
					"does not have an alias with … or 'default' directory`. Add one, with client credentials off."},
			{ID: "default-client-credentials", Level: finding.Warning,
				Summary: "The folder `default` turns client credentials on.",
				Text: "It serves all sandboxes and scratch orgs without a folder of their own, and few of them have the user that\n" +
					"it names. On the others the deployment fails with `Enter a valid execution user for the OAuth client\n" +
					"credentials flow`. With `applyPolicies`, `{username}` as the user is filled in on scratch orgs and is not\n" +
					"reported."},
			{ID: "run-as-user", Level: finding.Error,
				Summary: "Client credentials are on, and no user is named to run them as.",
				Text: "Name `clientCredentialsFlowUser`, or switch the flow off. `{username}` is filled in on scratch orgs where\n" +
					"`plugins.eca` sets `applyPolicies`, and nowhere else."},
			{ID: "folder-unreachable", Level: finding.Error,
				Summary: "A file of an aliasfied package is in no environment's folder.",
				Text: "sfp deploys one folder of such a package: the one named like the org's alias, or `default`. Files beside\n" +
					"these folders are never deployed."},
			{ID: "folder-shadowed", Level: finding.Error, But: "a warning for folders that differ by case alone",
				Summary: "An environment's folder is never used, because another one of the same name comes first.",
				Text: "sfp takes the first folder named like the alias, anywhere below the package, depth first. Names are\n" +
					"case-sensitive."},
		}},
		{Title: "Local apps as source as a whole", Rules: []finding.Rule{
			{ID: "resets-on-deploy", Level: finding.Warning,
				Summary: "A file of the app leaves out fields whose defaults are weaker than what may be set in Setup.",
				Text: "A deployment replaces the whole record and resets what the file leaves out. A policy that somebody\n" +
					"tightened in Setup is loosened by the next deployment. State these fields."},
			{ID: "user-of-one-org", Level: finding.Warning,
				Summary: "OAuth policies that go to every org name one user for client credentials.",
				Text: "Usernames differ by org, so the deployment fails on all orgs but one (`Enter a valid execution user for\n" +
					"the OAuth client credentials flow`). Move the policies to an aliasfied package with a folder for each\n" +
					"environment, or let `replacements` of `sfdx-project.json` fill the user in."},
		}},
		{Title: "Pattern 1: Packaged apps", Rules: []finding.Rule{
			{ID: "packaged-without-link", Level: finding.Error,
				Summary: "A Packaged app has no OAuth settings with an `oauthLink` in source.",
				Text: "It would be installed without OAuth. Retrieve its ExtlClntAppOauthSettings, with the link, from the org\n" +
					"that has the consumer."},
			{ID: "bad-link", Level: finding.Error,
				Summary: "An `oauthLink` does not have the form that the platform creates.",
				Text: "It is the ID of the org that has the consumer, a colon, and the ID of the consumer's record, which begins\n" +
					"with 888. It cannot be written by hand."},
			{ID: "mixed-stages", Level: finding.Warning,
				Summary: "One package holds Packaged apps for production and for other environments.",
				Text: "Wherever it is installed, production gets the apps of the other environments, or they get production's.\n" +
					"The signs are links that lead to several orgs, and apps whose names end in prod and in nonprod or\n" +
					"preprod. Split the package."},
		}},
		{Title: "All apps", Rules: []finding.Rule{
			{ID: "malformed", Level: finding.Error,
				Summary: "A file does not hold a component of the type that its name says.",
				Text: "It is not well-formed XML, its root element is of another type, or its `fullName` differs from the file's\n" +
					"name."},
			{ID: "unknown-element", Level: finding.Warning,
				Summary: "The type has no such element in the API versions that eca knows, or the element is deprecated.",
				Text: "The element is sent as it is, and the org decides. An org that does not have it refuses the whole component.\n" +
					"A finding suggests a similar name if there is one."},
			{ID: "unknown-value", Level: finding.Warning,
				Summary: "The enumeration has no such value, or there is no such OAuth scope, in the API versions that eca knows.",
				Text:    "The value is sent as it is, and the org decides. A finding suggests a similar one if there is one."},
			{ID: "wrong-value", Level: finding.Error, Summary: "The value is not of the element's kind."},
			{ID: "repeated-element", Level: finding.Error, Summary: "An element occurs twice that may occur only once."},
			{ID: "missing-element", Level: finding.Error, Summary: "An element that the type requires is missing."},
			{ID: "newer-than-project", Level: finding.Warning, Summary: "The element came with a later API version than the project's `sourceApiVersion`."},
			{ID: "wrong-suffix", Level: finding.Error,
				Summary: "A file holds a component of an External Client App, and its name does not say so.",
				Text:    "sf knows the type of a component by the suffix of its file, and silently skips a file with another suffix."},
			{ID: "wrong-folder", Level: finding.Warning,
				Summary: "A component is in the folder of another type.",
				Text:    "sf deploys the component anyway, but people look for it elsewhere."},
			{ID: "unknown-app", Level: finding.Warning, But: "an error where `externalClientApplication` is missing, or differs from an app by case alone",
				Summary: "Policies or settings are for an app that the project does not have."},
			{ID: "mcp-without-jwt", Level: finding.Warning,
				Summary: "An app with the scope MCP issues no JWT-based tokens.",
				Text: "The login succeeds, and calls of the MCP servers fail with `INVALID_AUTH_HEADER` or `INVALID_JWT_FORMAT`.\n" +
					"Set `globalOauthSettings.isNamedUserJwtEnabled`."},
			{ID: "public-client", Level: finding.Warning,
				Summary: "A public client (`isConsumerSecretOptional`) demands the secret for refresh tokens, or does not require PKCE.",
				Text: "A browser, phone or desktop client cannot keep a secret. Without one it cannot refresh its token, unless\n" +
					"`isSecretRequiredForRefreshToken` is false; without PKCE, an intercepted code is a login."},
			{ID: "full-scope", Level: finding.Warning,
				Summary: "An app has the scope Full.",
				Text:    "It covers all that the user may do. Integrators report that token requests of such apps are refused now."},
			{ID: "hand-over-locked", Level: finding.Warning,
				Summary: "`handOver` is stated, and the project's ExternalClientAppSettings do not let REST read consumer secrets.",
				Text:    "The hand-over fails after each deployment of these settings. Set `enableClientSecretInRestApiAccess` to true."},
			{ID: "certificate-expires", Level: finding.Warning, But: "an error if it has expired",
				Summary: "The certificate of an app expires within 30 days.",
				Text:    "JWT bearer fails from then on. Create a new key and certificate, and replace the file."},
			{ID: "duplicate", Level: finding.Error,
				Summary: "An app has two headers, or two OAuth policies in one folder.",
				Text:    "The platform allows one record of OAuth policies for an app, and refuses the second with `DUPLICATE_VALUE`."},
			{ID: "unreadable", Level: finding.Warning, Summary: "A file or directory of a package cannot be read, so it was not checked."},
			{ID: "settings", Level: finding.Error, But: "a warning for settings without an effect or with a new name",
				Summary: "`sfdx-project.json` or its `plugins.eca` is wrong.",
				Text: "These are what the hook would refuse before it sends anything: a setting that does not exist, a value of\n" +
					"the wrong kind, settings that contradict the policies, a package without its directory, a\n" +
					"`sourceApiVersion` older than External Client Apps. Settings of an environment whose name differs from a\n" +
					"folder's by case alone are not used."},
		}},
	}
}
