// Package sfp knows the interface of sfp, flxbl's command for Salesforce pipelines: the
// arguments of a postDeploymentScript, the project file sfdx-project.json with its settings
// under plugins.eca, build artifacts, and the rule that selects an aliasfied package's folder
// for an org.
//
// It reads files through fs.FS, and never runs sfp.
package sfp

import (
	"fmt"
	"slices"
	"strings"
)

// Invocation is one call of a script by sfp: after a package was deployed, or after a scratch
// org of a pool was prepared.
type Invocation struct {
	// Username is the target org's username.
	Username string

	// Alias is the target org's alias, "" if it has none. sfp then passes the username as the
	// alias, but its own alias rule does not use it.
	Alias string

	// After a package deployment:
	Package          string // the package's name
	Source           string // the artifact's source directory, usually relative to the working directory
	PackageDirectory string // the package's path below Source, as in the project file

	// After the preparation of a pool's scratch org:
	HubUsername string // the dev hub's username, "" after a package
	Status      string // StatusSucceeded, StatusFailed, or "" if the pool installs nothing
}

// The statuses that sfp prepare reports for the packages installed on a scratch org.
const (
	StatusSucceeded = "succeed"
	StatusFailed    = "failed"
)

// The environment variables that replace missing arguments. scripts/bootstrap-eca-oauth.sh
// exports them.
const (
	envPackage          = "SFP_PACKAGE_NAME"
	envUsername         = "SFP_TARGET_USERNAME"
	envAlias            = "SFP_TARGET_ALIAS"
	envSource           = "SFP_WORKING_DIRECTORY"
	envPackageDirectory = "SFP_PACKAGE_DIRECTORY"
	envHubUsername      = "SFP_HUB_USERNAME"
	envStatus           = "SFP_DEPLOYMENT_STATUS"
)

// Pool reports whether sfp made the call for a scratch org of a pool.
func (i Invocation) Pool() bool { return i.HubUsername != "" }

const forms = "PACKAGE USERNAME ALIAS SOURCE PACKAGE_DIRECTORY after a package, or SCRATCH_ORG_USERNAME HUB_USERNAME STATUS for a pool"

// ParseInvocation reads the arguments from sfp: five after a package, three or two for a pool.
// Without arguments it reads the SFP_… environment variables with getenv. With arguments it
// ignores the variables.
func ParseInvocation(args []string, getenv func(string) string) (Invocation, error) {
	switch len(args) {
	case 5:
		return check(Invocation{Package: args[0], Username: args[1], Alias: args[2], Source: args[3], PackageDirectory: args[4]}, argumentNames)
	case 3:
		return check(Invocation{Username: args[0], HubUsername: args[1], Status: args[2]}, argumentNames)
	case 2: // sfp drops a missing status
		return check(Invocation{Username: args[0], HubUsername: args[1]}, argumentNames)
	case 0:
		return fromEnvironment(getenv)
	}
	err := fmt.Errorf("sfp passes %s, but this call has %d arguments", forms, len(args))
	if len(args) > 5 {
		err = fmt.Errorf("%w: %s; sfp does not quote arguments, so avoid spaces in paths, package names and aliases", err, strings.Join(args, " "))
	}
	return Invocation{}, err
}

func fromEnvironment(getenv func(string) string) (Invocation, error) {
	i := Invocation{
		Package: getenv(envPackage), Username: getenv(envUsername), Alias: getenv(envAlias),
		Source: getenv(envSource), PackageDirectory: getenv(envPackageDirectory),
	}
	if i.Package == "" && i.Source == "" && i.PackageDirectory == "" {
		i.HubUsername, i.Status = getenv(envHubUsername), getenv(envStatus)
	}
	if i == (Invocation{}) {
		return i, fmt.Errorf("no arguments and no SFP_… variables; sfp passes %s", forms)
	}
	if i.Alias == "" {
		i.Alias = i.Username
	}
	return check(i, environmentNames)
}

// The names of an invocation's values in messages. check depends on their order.
var (
	argumentNames    = []string{"the username", "the package name", "the alias", "the source directory", "the package directory", "the deployment status"}
	environmentNames = []string{envUsername, envPackage, envAlias, envSource, envPackageDirectory, envStatus}
)

func check(i Invocation, names []string) (Invocation, error) {
	values := []string{i.Username, i.Package, i.Alias, i.Source, i.PackageDirectory}
	if i.Pool() {
		values = values[:1]
		if !slices.Contains([]string{StatusSucceeded, StatusFailed, "", "undefined"}, i.Status) {
			return Invocation{}, fmt.Errorf("%s is %q; sfp passes %s or %s", names[5], i.Status, StatusSucceeded, StatusFailed)
		}
		if i.Status == "undefined" {
			i.Status = ""
		}
	}
	for n, value := range values {
		if strings.TrimSpace(value) == "" {
			return Invocation{}, fmt.Errorf("%s is missing; sfp passes %s", names[n], forms)
		}
		if strings.ContainsAny(value, "\x00\r\n") {
			return Invocation{}, fmt.Errorf("%s contains a line break or a null character", names[n])
		}
	}
	// Every Salesforce username has the form of an e-mail address. Anything else shows that the
	// arguments are not in sfp's order.
	if !strings.Contains(i.Username, "@") {
		return Invocation{}, fmt.Errorf("%s is %q, which is not a Salesforce username; sfp passes %s", names[0], i.Username, forms)
	}
	if i.Alias == i.Username {
		i.Alias = ""
	}
	return i, nil
}
