package advice

import (
	"strings"

	"github.com/ecakit/ecakit/pkg/repair"
)

// findings are the hints for findings, by rule, and for problems of package repair, by kind. ORG
// and APP stand for the org and the app.
var findings = map[string]string{
	// pkg/audit
	"open-to-all":              "eca bootstrap -o ORG --apply-policies",
	"locked-out":               "eca bootstrap -o ORG",
	"scope-full":               "eca bootstrap -o ORG",
	"scope-broad":              "eca bootstrap -o ORG",
	"ip-relaxed":               "eca bootstrap -o ORG --apply-policies",
	"refresh-token-lives-long": "eca bootstrap -o ORG --apply-policies",
	"pkce-off":                 "eca bootstrap -o ORG",
	"secret-optional":          "eca bootstrap -o ORG",
	"insecure-callback":        "eca bootstrap -o ORG",
	"username-password-flow":   "eca init --preset server, or --preset ci, creates an app that replaces it",
	"certificate-expires":      "eca bootstrap -o ORG", // also of pkg/lint
	"run-as-admin":             "eca bootstrap -o ORG --apply-policies",
	"run-as-inactive":          "eca bootstrap -o ORG --apply-policies",
	"has-to-move":              "eca migrate -o ORG --app APP shows the External Client App; with --status, who still uses the Connected App",
	"old-consumer":             "eca rotate -o ORG --app APP",
	"plugin-off":               "eca bootstrap -o ORG",
	"drift":                    "eca bootstrap -o ORG --apply-policies deploys what the project states",

	// pkg/credential
	"no-named-credential":    "eca connect creates it",
	"legacy-credential":      "eca connect creates one under another name",
	"no-external-credential": "eca connect creates it",
	"no-principal":           "eca connect adds one",
	"not-configured":         "eca connect --principal NAME stores the secret",
	"no-read":                "eca connect --permission-set NAME gives it",
	"no-access":              "eca connect --permission-set NAME gives it",

	// pkg/connectedapp
	"consumer-key":   "eca credentials",
	"no-run-as-user": "eca migrate --env ALIAS=USERNAME",

	// pkg/repair
	string(repair.NullLink):   "eca repair -o ORG --app APP --yes",
	string(repair.NoConsumer): "eca bootstrap -o ORG, or after an interrupted repair eca repair -o ORG --app APP --restore FILE",
	string(repair.NoOAuth):    "eca repair -o ORG --app APP --restore FILE, or eca bootstrap -o ORG --apply-policies",
	string(repair.Duplicates): "eca repair -o ORG --app APP --yes recreates duplicates other than policies",
}

// Fix returns the fix of a finding with the hint for its rule. org and app may be "".
func Fix(fix, rule, org, app string) string {
	hint := findings[rule]
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
