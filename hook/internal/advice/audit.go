package advice

import (
	"errors"

	"github.com/ecakit/ecakit/pkg/cutover"
)

// auditFindings are hints for findings of eca audit, by rule ID. ORG and NAME stand for the org and
// the app.
var auditFindings = map[string]string{
	"open-to-all":              "eca bootstrap -o ORG --apply-policies",
	"locked-out":               "eca bootstrap -o ORG",
	"scope-full":               "eca bootstrap -o ORG",
	"scope-broad":              "eca bootstrap -o ORG",
	"ip-relaxed":               "eca bootstrap -o ORG --apply-policies",
	"refresh-token-lives-long": "eca bootstrap -o ORG --apply-policies",
	"pkce-off":                 "eca bootstrap -o ORG",
	"secret-optional":          "eca bootstrap -o ORG",
	"insecure-callback":        "eca bootstrap -o ORG",
	"username-password-flow":   "Create an app with eca init --preset server, or --preset ci.",
	"certificate-expires":      "eca bootstrap -o ORG",
	"run-as-admin":             "eca bootstrap -o ORG --apply-policies",
	"run-as-inactive":          "eca bootstrap -o ORG --apply-policies",
	"has-to-move":              "eca migrate -o ORG --app NAME shows the External Client App; with --status, who still uses the Connected App.",
	"old-consumer":             "eca rotate -o ORG --app NAME",
	"plugin-off":               "eca bootstrap -o ORG",
	"drift":                    "eca plan -o ORG shows each field; eca bootstrap -o ORG deploys the project's settings.",
}

// auditError returns a hint for an error of a migration.
func auditError(err error) (hint string, ok bool) {
	if _, ok := errors.AsType[*cutover.NotFoundError](err); ok {
		return "eca audit lists the Connected Apps of the org.", true
	}
	if errors.Is(err, cutover.ErrNoReplacement) {
		return "eca migrate --write, then eca bootstrap", true
	}
	return "", false
}
