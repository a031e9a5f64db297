package main

import (
	"context"
	"os"
	"runtime"
	"runtime/debug"
)

type versionCmd struct {
	Digest  bool `help:"Print the SHA-256 of this binary instead, by which scripts of eca bundle check it."`
	Verbose bool `short:"v" help:"Also print what eca finds on this machine: sf's store and the keychain of its key, sf and sfp."`
}

// versionResult is what --json says of this binary.
type versionResult struct {
	outcome
	Version string `json:"version"`
	Go      string `json:"go"` // that it was built with
	OS      string `json:"os"`
	Arch    string `json:"arch"`

	SHA256  string   `json:"sha256,omitempty"`  // of the binary, with --digest
	Machine *machine `json:"machine,omitempty"` // with --verbose
}

func (c versionCmd) run(ctx context.Context, e *env) (result, error) {
	v := &versionResult{Version: version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if c.Digest {
		program, err := os.Executable()
		if err == nil {
			v.SHA256, err = digestOf(program)
		}
		e.line("%s", v.SHA256)
		return v, err
	}
	e.line("eca %s (%s, %s/%s)", v.Version, v.Go, v.OS, v.Arch)
	if c.Verbose {
		v.Machine = e.machine(ctx)
		v.Machine.print(e.ui)
	}
	return v, nil
}

// version is what the build recorded: the module's version, or the commit that
// it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	return versionOf(info)
}

func versionOf(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
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
