package orgauth

import (
	"os"
	"slices"
	"strings"
)

// IsSession reports whether an environment variable of that name holds a session or a login of sf.
func IsSession(name string) bool {
	return slices.Contains([]string{"SF_ACCESS_TOKEN", "SFDX_ACCESS_TOKEN", "SF_AUTH_URL", "SFDX_AUTH_URL"}, strings.ToUpper(name))
}

// isOwn reports whether a variable of that name holds a session, or credentials that a command has been given of
// an app.
func isOwn(name string) bool {
	return IsSession(name) || slices.Contains([]string{"ECA_BASE_URL", "ECA_CLIENT_ID", "ECA_CLIENT_SECRET", "ECA_ACCESS_TOKEN"}, strings.ToUpper(name))
}

// ChildEnvironment returns the environment for another program: that of this process without its own
// sessions, under whatever name they stand there.
func ChildEnvironment() []string { return childEnvironment(os.Environ()) }

func childEnvironment(environ []string) []string {
	var own []string // values
	for _, variable := range environ {
		if name, value, _ := strings.Cut(variable, "="); isOwn(name) && len(value) >= minSession {
			own = append(own, value)
		}
	}
	return slices.DeleteFunc(slices.Clone(environ), func(variable string) bool {
		name, value, _ := strings.Cut(variable, "=")
		copied := func(session string) bool { return strings.Contains(value, session) }
		return isOwn(name) || slices.ContainsFunc(own, copied)
	})
}

// minSession is the length in bytes from which a value is looked for in other variables.
const minSession = 20
