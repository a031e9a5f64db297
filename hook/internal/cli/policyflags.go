package cli

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/ecakit/ecakit/hook/internal/usage"
)

// policyFlags say where the policies of the environment are, and who brings them.
type policyFlags struct {
	Policies  string `placeholder:"DIR" from:"ECA_POLICIES" help:"Directory with the policies of this environment, instead of looking for them."`
	Artifacts string `placeholder:"DIR" from:"ECA_ARTIFACTS" help:"Directory with sfp's artifacts. Their policies replace those of the project. Default: the directory artifacts for the hook, if it exists."`

	ApplyPolicies bool `name:"apply-policies" from:"ECA_APPLY_POLICIES" help:"Also deploy the environment's OAuth policies, with the name of the org's policies. Default: applyPolicies in plugins.eca."`
}

// artifacts returns the directory with artifacts, "" where there is none. base is
// where the one that nobody names is looked for.
func (f *policyFlags) artifacts(base string) (string, error) {
	dir := cmp.Or(f.Artifacts, filepath.Join(base, "artifacts"))
	info, err := os.Stat(dir)
	switch {
	case err == nil && info.IsDir():
		return dir, nil
	case f.Artifacts == "":
		return "", nil
	}
	return "", usage.Errorf("--artifacts: %s is not a directory", dir)
}
