package advice

import (
	"regexp"
	"strings"

	"github.com/ecakit/ecakit/pkg/audit"
	"github.com/ecakit/ecakit/pkg/finding"
	"github.com/ecakit/ecakit/pkg/repair"
)

// findings are the hints for findings, by rule, and for problems of package repair, by kind. ORG
// and APP stand for the org and the app.
var findings = map[string]string{
	// pkg/lint
	"certificate-expires": "eca bootstrap",

	// pkg/credential
	"no-named-credential":    "eca connect creates it",
	"no-external-credential": "eca connect creates it",
	"no-principal":           "eca connect adds one",
	"not-configured":         "eca connect --principal NAME stores the secret",
	"no-read":                "eca connect --permission-set NAME gives it",
	"no-access":              "eca connect --permission-set NAME gives it",

	// pkg/connectedapp
	"consumer-key":   "eca credentials",
	"no-run-as-user": "eca migrate --env ALIAS=USERNAME",

	// pkg/lint
	"org-scoped": "eca lint --fix removes it from Local apps",
	"stale-sum":  "eca lint --fix",

	// pkg/repair
	string(repair.NullLink):   "eca repair -o ORG --app APP --yes",
	string(repair.NoConsumer): "eca bootstrap -o ORG, or after an interrupted repair eca repair -o ORG --app APP --restore FILE",
	string(repair.NoOAuth):    "eca repair -o ORG --app APP --restore FILE, or eca bootstrap -o ORG --apply-policies",
	string(repair.Duplicates): "eca repair -o ORG --app APP --yes recreates duplicates other than policies",
}

// FixOf returns the fix of a finding with the hint for its rule, or for the cause of the refused logins. org and app
// may be "".
func FixOf(f finding.Finding, org, app string) string {
	if findings[f.Rule] == "" {
		return withHint(f.Fix, commandOf(f.Cause), org, app)
	}
	return Fix(f.Fix, f.Rule, org, app)
}

// Fix returns the fix of a finding with the hint for its rule. org and app may be "".
func Fix(fix, rule, org, app string) string { return withHint(fix, findings[rule], org, app) }

func withHint(fix, hint, org, app string) string {
	if hint == "" {
		return fix
	}
	if org == "" {
		hint = strings.ReplaceAll(hint, " -o ORG", "")
	}
	if app == "" {
		hint = strings.ReplaceAll(hint, " --app APP", "")
	}
	return fix + "; " + strings.NewReplacer("ORG", org, "APP", app).Replace(hint)
}

// fix is a command line for a finding of an audit. ORG and APP stand for the org and the app; APPS
// for all apps of the org with the finding.
type fix struct {
	rule string
	// which is the case of the rule, and owner who decides about the app; "" stands for all.
	which   string
	owner   audit.Owner
	kind    audit.Kind // of the app; "" stands for all
	tokens  bool       // it is for apps with tokens
	project bool       // it needs a project in the working directory
	command string
}

const (
	deploy   = "eca bootstrap -o ORG"
	policies = "eca bootstrap -o ORG --apply-policies"
)

// adoption adds apps of an org to the project.
const adoption = "eca adopt -o ORG APPS"

// Adopt returns the command that adds apps of an org to the project.
func Adopt(org string, apps []string) string { return filled(adoption, org, apps) }

// filled returns a command for apps of an org.
func filled(command, org string, apps []string) string {
	var named []string
	for _, app := range apps {
		named = append(named, "--app "+shellWord(app))
	}
	return strings.NewReplacer("ORG", shellWord(org), "APPS", strings.Join(named, " "), "APP", shellWord(strings.Join(apps, " "))).Replace(command)
}

// auditFixes is the one table of commands for findings of pkg/audit. What has no command is fixed in
// Setup.
var auditFixes = []fix{
	{rule: "not-installed", command: "eca revoke -o ORG --not-installed --app APP"},
	{rule: "run-as-admin", owner: audit.OwnerProject, command: policies},
	{rule: "open-to-all", owner: audit.OwnerProject, command: policies},
	{rule: "ip-relaxed", owner: audit.OwnerProject, command: policies},
	{rule: "refresh-token-lives-long", owner: audit.OwnerProject, command: policies},
	{rule: "no-idle-limit", owner: audit.OwnerProject, command: policies},
	{rule: "run-as-user", owner: audit.OwnerProject, command: policies},
	{rule: "scope-full", owner: audit.OwnerProject, command: deploy},
	{rule: "scope-broad", owner: audit.OwnerProject, command: deploy},
	{rule: "rotation-off", owner: audit.OwnerProject, command: deploy},
	{rule: "pkce-off", owner: audit.OwnerProject, command: deploy},
	{rule: "secret-optional", owner: audit.OwnerProject, command: deploy},
	{rule: "insecure-callback", owner: audit.OwnerProject, command: deploy},
	{rule: "jwt-for-pipeline", owner: audit.OwnerProject, command: deploy},
	{rule: "mcp-without-jwt", owner: audit.OwnerProject, command: deploy},
	{rule: "dpop-off", owner: audit.OwnerProject, command: deploy},
	{rule: "locked-out", owner: audit.OwnerProject, command: deploy},
	{rule: "profiles-only", owner: audit.OwnerProject, command: deploy},
	{rule: "certificate-expires", owner: audit.OwnerProject, command: deploy},
	// A bootstrap leaves an app off. Of an app that no project declares, nothing shows whether it should be on.
	{rule: "plugin-off", owner: audit.OwnerProject, command: "eca enable -o ORG --app APP"},
	{rule: "unused", kind: audit.External, command: "eca disable -o ORG --app APP"},
	{rule: "unused", tokens: true, command: "eca revoke -o ORG --app APP"},
	{rule: "secrets-over-rest", command: "eca repair -o ORG --close-access"},
	{rule: "drift", owner: audit.OwnerProject, command: policies},
	{rule: "old-consumer", owner: audit.OwnerProject, command: "eca rotate -o ORG --app APP --enable-access --output ../APP.json"},
	{rule: "old-consumer", owner: audit.OwnerOrg, command: "eca rotate -o ORG --app APP --enable-access --output ../APP.json"},
	{rule: "has-to-move", which: audit.CaseConvert, project: true, command: "eca migrate -o ORG APPS"},
	{rule: "has-to-move", which: audit.CaseSuccessor, command: "eca migrate -o ORG --status APPS"},
	{rule: "undeclared", project: true, command: adoption},
}

// Audit returns a function that chooses the command for a finding of an audit. project reports that the
// working directory has a project.
func Audit(project bool) audit.Command {
	return func(f audit.Finding, org string, apps []string) (line string, many bool) {
		for _, fix := range auditFixes {
			if fix.rule != f.Rule || !fix.suits(f) || fix.project && !project {
				continue
			}
			many = strings.Contains(fix.command, "APPS") || !strings.Contains(fix.command, "APP")
			return filled(fix.command, org, apps), many
		}
		return "", false
	}
}

// suits reports whether the command is for the app of a finding of its rule.
func (x fix) suits(f audit.Finding) bool {
	app := f.Subject()
	return (x.which == "" || x.which == f.Case) && (x.owner == "" || x.owner == f.Owner()) && (x.kind == "" || x.kind == f.Kind) &&
		(!x.tokens || app != nil && app.Tokens > 0)
}

var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// shellWord quotes a word for a shell if that is needed.
func shellWord(word string) string {
	if plainWord.MatchString(word) && !strings.HasPrefix(word, "-") {
		return word
	}
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}
