package audit

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"github.com/ecakit/ecakit/pkg/finding"
)

//go:embed RULES.md
var document string

// rules are those of RULES.md, without their sources.
var rules = sync.OnceValue(func() []finding.Rule {
	all := finding.ParseRules(document)
	for i := range all {
		all[i].Text, _, _ = strings.Cut(all[i].Text, "\n\nSource: ")
	}
	return all
})

// checks are the rules' checks of an app, by ID.
var checks = map[string]func(subject) []Finding{
	"not-installed":            notInstalled,
	"run-as-admin":             runAsAdmin,
	"username-password-flow":   usernamePasswordFlow,
	"scope-full":               scopeFull,
	"open-to-all":              openToAll,
	"ip-relaxed":               ipRelaxed,
	"scope-broad":              scopeBroad,
	"refresh-token-lives-long": longRefreshToken,
	"no-idle-limit":            noIdleLimit,
	"rotation-off":             rotationOff,
	"pkce-off":                 pkceOff,
	"secret-optional":          secretOptional,
	"insecure-callback":        insecureCallback,
	"token-allowlist":          tokenAllowlist,
	"dpop-off":                 dpopOff,
	"locked-out":               lockedOut,
	"profiles-only":            profileGrant,
	"run-as-user":              runAsInactive,
	"certificate-expires":      certificateExpires,
	"jwt-for-pipeline":         jwtForPipeline,
	"mcp-without-jwt":          mcpWithoutJWT,
	"plugin-off":               pluginOff,
	"unused":                   unused,
	"old-consumer":             oldConsumer,
	"has-to-move":              hasToMove,
	"undeclared":               undeclared,
	"drift":                    drift,
}

// orgChecks are the rules' checks of the org itself, by ID.
var orgChecks = map[string]func(subject) []Finding{
	"api-access-control-off": orgSetting("enableAdminApprovedAppsOnly", "true",
		"API Access Control is off: users can authorise apps that nobody has installed or approved",
		"install or approve the apps in use, then set enableAdminApprovedAppsOnly in ConnectedAppSettings"),
	"password-flow-allowed": orgSetting("blockOAuthUnPwFlow", "true",
		"the org accepts the username-password flow",
		"set blockOAuthUnPwFlow in OauthOidcSettings, in Setup (OAuth and OpenID Connect Settings)"),
	"user-agent-flow-allowed": orgSetting("blockOAuthUsrAgtFlow", "true",
		"the org accepts the user-agent flow, which returns tokens in URLs",
		"set blockOAuthUsrAgtFlow in OauthOidcSettings, in Setup (OAuth and OpenID Connect Settings)"),
	"secrets-over-rest": orgSetting("enableClientSecretInRestApiAccess", "false",
		"REST calls can read consumer secrets",
		"clear enableClientSecretInRestApiAccess in ExternalClientAppSettings, in Setup (External Client App Settings)"),
	"can-approve-apps": canApprove,
	"can-use-any-app":  anyClient,
	"can-manage-apps": holders("take the permissions from users who do not need them",
		"ManageRemoteAccess", "ExternalClientAppDeveloper", "ExternalClientAppAdmin"),
	"can-read-secrets": holders("take the permission from users who do not need it", "ViewClientSecret"),
}

// exists reports whether there is a rule of an ID.
func exists(id string) bool { return checks[id] != nil || orgChecks[id] != nil }

// rank returns the position of a rule in RULES.md, which begins with the most dangerous.
func rank(id string) int {
	return slices.IndexFunc(rules(), func(r finding.Rule) bool { return r.ID == id })
}

// Rules returns the rules, in the order of RULES.md.
func Rules() []finding.Rule { return slices.Clone(rules()) }
