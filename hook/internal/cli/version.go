package cli

import (
	"context"
	"os"
	"runtime"

	"github.com/ecakit/ecakit/pkg/salesforce"
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
	v := &versionResult{Version: salesforce.Version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if c.Digest {
		program, err := os.Executable()
		if err == nil {
			v.SHA256, err = digestOf(program)
		}
		e.Line("%s", v.SHA256)
		return v, err
	}
	e.Line("eca %s (%s, %s/%s)", v.Version, v.Go, v.OS, v.Arch)
	if c.Verbose {
		v.Machine = e.machine(ctx)
		v.Machine.print(e.Console)
	}
	return v, nil
}
