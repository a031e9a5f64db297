// Package sfp knows what sfp, flxbl's command for Salesforce pipelines, hands to
// a script and leaves on disk: the arguments of a postDeploymentScript, the
// project file sfdx-project.json with the settings under plugins.eca, build
// artifacts, and the rule by which an aliasfied package's folder is chosen for an
// org.
//
// It reads, through fs.FS wherever files are concerned, and never runs sfp.
package sfp

import (
	"fmt"
	"slices"
	"strings"
)

// Invocation is what sfp tells a script: after which package it runs, or for
// which scratch org of a pool.
type Invocation struct {
	// Username is the target org's username.
	Username string

	// Alias is the target org's alias, "" where it has none. sfp passes the
	// username as alias then, which its own alias rule does not go by.
	Alias string

	// Of the package form, after the package was deployed:
	Package          string // the package's name
	Source           string // the artifact's source directory, relative to the working directory as a rule
	PackageDirectory string // the package's path below Source, as the project has it

	// Of the pool form, after a scratch org was prepared:
	HubUsername string // the dev hub's username, "" in the package form
	Status      string // StatusSucceeded, StatusFailed, or "" where the pool installs nothing
}

// What sfp prepare says of the packages that it installed on a scratch org.
const (
	StatusSucceeded = "succeed"
	StatusFailed    = "failed"
)

// The environment variables that stand for the arguments where there are none.
// scripts/bootstrap-eca-oauth.sh exports them.
const (
	EnvPackage          = "SFP_PACKAGE_NAME"
	EnvUsername         = "SFP_TARGET_USERNAME"
	EnvAlias            = "SFP_TARGET_ALIAS"
	EnvSource           = "SFP_WORKING_DIRECTORY"
	EnvPackageDirectory = "SFP_PACKAGE_DIRECTORY"
	EnvHubUsername      = "SFP_HUB_USERNAME"
	EnvStatus           = "SFP_DEPLOYMENT_STATUS"
)

// Pool reports whether the invocation is the pool form.
func (i Invocation) Pool() bool { return i.HubUsername != "" }

const forms = "PACKAGE USERNAME ALIAS SOURCE PACKAGE_DIRECTORY after a package, or SCRATCH_ORG_USERNAME HUB_USERNAME STATUS for a pool"

// ParseInvocation reads the arguments that sfp composed: five after a package,
// three or two for a pool. Where there are none, the SFP_… variables of the
// environment, read with getenv, take their place; arguments win over them as a
// whole.
func ParseInvocation(args []string, getenv func(string) string) (Invocation, error) {
	switch len(args) {
	case 5:
		return check(Invocation{Package: args[0], Username: args[1], Alias: args[2], Source: args[3], PackageDirectory: args[4]}, argumentNames)
	case 3:
		return check(Invocation{Username: args[0], HubUsername: args[1], Status: args[2]}, argumentNames)
	case 2: // sfp joins a missing status as nothing at all
		return check(Invocation{Username: args[0], HubUsername: args[1]}, argumentNames)
	case 0:
		return fromEnvironment(getenv)
	}
	err := fmt.Errorf("sfp hands over %s, and this call has %d arguments", forms, len(args))
	if len(args) > 5 {
		err = fmt.Errorf("%w: sfp quotes nothing, so a path, package name or alias with a space falls apart; do without spaces there: %s", err, strings.Join(args, " "))
	}
	return Invocation{}, err
}

func fromEnvironment(getenv func(string) string) (Invocation, error) {
	i := Invocation{
		Package: getenv(EnvPackage), Username: getenv(EnvUsername), Alias: getenv(EnvAlias),
		Source: getenv(EnvSource), PackageDirectory: getenv(EnvPackageDirectory),
	}
	if i.Package == "" && i.Source == "" && i.PackageDirectory == "" {
		i.HubUsername, i.Status = getenv(EnvHubUsername), getenv(EnvStatus)
	}
	if i == (Invocation{}) {
		return i, fmt.Errorf("there are no arguments and no SFP_… variables; sfp hands over %s", forms)
	}
	if i.Alias == "" {
		i.Alias = i.Username
	}
	return check(i, environmentNames)
}

// The names of an invocation's values in messages, in the order of check.
var (
	argumentNames    = []string{"the username", "the package name", "the alias", "the source directory", "the package directory", "the deployment status"}
	environmentNames = []string{EnvUsername, EnvPackage, EnvAlias, EnvSource, EnvPackageDirectory, EnvStatus}
)

func check(i Invocation, names []string) (Invocation, error) {
	values := []string{i.Username, i.Package, i.Alias, i.Source, i.PackageDirectory}
	if i.Pool() {
		values = values[:1]
		if !slices.Contains([]string{StatusSucceeded, StatusFailed, "", "undefined"}, i.Status) {
			return Invocation{}, fmt.Errorf("%s is %q, and sfp says %s or %s", names[5], i.Status, StatusSucceeded, StatusFailed)
		}
		if i.Status == "undefined" {
			i.Status = ""
		}
	}
	for n, value := range values {
		if strings.TrimSpace(value) == "" {
			return Invocation{}, fmt.Errorf("%s is missing; sfp hands over %s", names[n], forms)
		}
		if strings.ContainsAny(value, "\x00\r\n") {
			return Invocation{}, fmt.Errorf("%s holds a line break or a null character", names[n])
		}
	}
	// Every Salesforce username has the form of an e-mail address. One that has
	// not shows that the arguments are not in sfp's order.
	if !strings.Contains(i.Username, "@") {
		return Invocation{}, fmt.Errorf("%s is %q, which is not a Salesforce username; sfp hands over %s", names[0], i.Username, forms)
	}
	if i.Alias == i.Username {
		i.Alias = ""
	}
	return i, nil
}
