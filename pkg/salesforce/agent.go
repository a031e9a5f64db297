package salesforce

import (
	"runtime/debug"
	"sync"
)

// home is where an administrator who finds the User-Agent in a log learns more.
const home = "https://github.com/ecakit/ecakit"

const modulePath = "github.com/ecakit/ecakit"

// Version returns the version of this module in the running program: a release like v1.2.3, or
// "devel" followed by the commit if the build recorded one.
var Version = sync.OnceValue(func() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return VersionIn(info)
})

// VersionIn returns the version of this module in a program with that build information.
func VersionIn(info *debug.BuildInfo) string {
	module := info.Main
	for _, dependency := range info.Deps {
		if dependency.Path == modulePath {
			module = *dependency
		}
	}
	if v := module.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "unknown", ""
	for _, setting := range info.Settings {
		switch {
		case setting.Key == "vcs.revision":
			revision = setting.Value[:min(12, len(setting.Value))]
		case setting.Key == "vcs.modified" && setting.Value == "true":
			dirty = "+changes"
		}
	}
	return "devel-" + revision + dirty
}

// DefaultUserAgent returns the User-Agent of a Conn without one: eca/VERSION and the project's
// address.
func DefaultUserAgent() string { return "eca/" + Version() + " (+" + home + ")" }
