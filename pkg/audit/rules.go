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

// checks are the rules' checks, by ID.
var checks = map[string]func(subject) []finding.Finding{
	"open-to-all":              openToAll,
	"locked-out":               lockedOut,
	"scope-full":               scopeFull,
	"scope-broad":              scopeBroad,
	"ip-relaxed":               ipRelaxed,
	"refresh-token-lives-long": longRefreshToken,
	"pkce-off":                 pkceOff,
	"secret-optional":          secretOptional,
	"insecure-callback":        insecureCallback,
	"username-password-flow":   usernamePasswordFlow,
	"certificate-expires":      certificateExpires,
	"run-as-admin":             runAsAdmin,
	"run-as-inactive":          runAsInactive,
	"not-installed":            notInstalled,
	"unused":                   unused,
	"has-to-move":              hasToMove,
	"old-consumer":             oldConsumer,
	"plugin-off":               pluginOff,
	"undeclared":               undeclared,
	"drift":                    drift,
}

// Rules returns the rules, in the order of RULES.md.
func Rules() []finding.Rule { return slices.Clone(rules()) }
