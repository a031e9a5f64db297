package lint

import (
	_ "embed"

	"github.com/ecakit/ecakit/pkg/finding"
)

//go:embed RULES.md
var document string

// Rules returns all rules in the order of RULES.md: those of this package, of credentials, and of the
// preflight.
func Rules() []finding.Rule { return finding.ParseRules(document) }
