package cli

import (
	"github.com/ecakit/ecakit/hook/internal/orgs"
	"github.com/ecakit/ecakit/hook/internal/secrets"
)

// The flags that commands share, under names of their own, because a command embeds several.
type (
	callFlags   = orgs.CallFlags
	orgFlags    = orgs.Flags
	secretFlags = secrets.Flags
)

// org returns the org of a command that works on one: the named one, or the default.
func (e *env) org(named string) (string, error) {
	flags := orgFlags{Jobs: 1}
	if named != "" {
		flags.TargetOrg = []string{named}
	}
	targets, err := e.Orgs(&flags)
	if err != nil {
		return "", err
	}
	return targets[0], nil
}
