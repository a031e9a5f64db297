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
	Artifacts string `placeholder:"DIR" from:"ECA_ARTIFACTS" help:"Directory with sfp's artifacts, where the package with the policies is looked for before the project. Otherwise artifacts, if that exists."`

	ApplyPolicies bool `name:"apply-policies" from:"ECA_APPLY_POLICIES" help:"Also bring the environment's OAuth policies to the org, under the name that the org has them. Otherwise applyPolicies of plugins.eca decides."`
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
