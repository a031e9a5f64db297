package scaffold

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/ecakit/ecakit/pkg/eca"
	"github.com/ecakit/ecakit/pkg/metadata"
	"github.com/ecakit/ecakit/pkg/project"
	"github.com/ecakit/ecakit/pkg/sfp"
)

// folder is an environment with its directory.
type folder struct {
	Environment
	dir string
}

// policyFolders returns the folders that need the app's policies: default, those of the
// configuration, and existing folders with policies of other apps, because an org gets only its
// own folder. For the same reason, copies are default's policies of other apps for the new
// folders.
//
// own are the files of the app itself, which an interrupted run has written.
func policyFolders(fsys fs.FS, source *project.Source, config Config) (folders []folder, copies []File, own []project.SourceFile, err error) {
	info, err := fs.Stat(fsys, config.Policies)
	if err != nil && !errors.Is(err, fs.ErrNotExist) || err == nil && !info.IsDir() {
		return nil, nil, nil, fmt.Errorf("cannot read %s: it is not a directory of the project", config.Policies)
	}
	existing, inDefault, own, err := existingFolders(source, config)
	if err != nil {
		return nil, nil, nil, err
	}
	fallback := cmp.Or(existing[sfp.DefaultFolder], path.Join(config.Policies, sfp.DefaultFolder))
	folders = []folder{{Environment{Alias: sfp.DefaultFolder}, fallback}}
	delete(existing, sfp.DefaultFolder)
	for _, e := range config.Environments {
		if err := sameSpelling(existing, e); err != nil {
			return nil, nil, nil, err
		}
		dir, exists := existing[e.Alias]
		if !exists {
			dir = path.Join(path.Dir(fallback), e.Alias)
			for _, file := range inDefault {
				content, err := fs.ReadFile(fsys, file)
				if err != nil {
					return nil, nil, nil, fmt.Errorf("cannot read %s", file)
				}
				copies = append(copies, File{Path: path.Join(dir, strings.TrimPrefix(file, fallback)), Content: content, Mode: 0o644, folder: dir})
			}
		}
		folders = append(folders, folder{e, dir})
		delete(existing, e.Alias)
	}
	for _, alias := range slices.Sorted(maps.Keys(existing)) {
		folders = append(folders, folder{Environment{Alias: alias}, existing[alias]})
	}
	return folders, copies, own, reachable(source, config.Policies, folders)
}

// existingFolders returns the folders with policies by alias, the files with policies of other apps in
// default, and the files with policies of the app itself.
func existingFolders(source *project.Source, config Config) (dirs map[string]string, inDefault []string, own []project.SourceFile, err error) {
	dirs = make(map[string]string)
	byFile := source.EnvironmentFolders(sfp.Package{Path: config.Policies, Aliasfy: true}, project.SourceLayout())
	for _, f := range source.Components(config.Policies, eca.OAuthPolicies) {
		dir := byFile[f.File]
		if dir == "" {
			continue
		}
		if strings.EqualFold(f.App(), config.App) {
			own = append(own, f)
		}
		alias := path.Base(dir)
		if other := dirs[alias]; other != "" && other != dir {
			return nil, nil, nil, fmt.Errorf("%s and %s are both named %s, and only one of them is deployed; "+
				"name the folders after the orgs' aliases, with one folder per org", other, dir, alias)
		}
		dirs[alias] = dir
		if alias == sfp.DefaultFolder && !strings.EqualFold(f.App(), config.App) && (config.leftOut == nil || !config.leftOut(f.App())) {
			inDefault = append(inDefault, f.File)
		}
	}
	return dirs, inDefault, own, nil
}

// sameSpelling returns an error if the name of an existing folder differs from the environment's by
// case alone.
func sameSpelling(existing map[string]string, e Environment) error {
	for _, alias := range slices.Sorted(maps.Keys(existing)) {
		if alias != e.Alias && strings.EqualFold(alias, e.Alias) {
			return fmt.Errorf("the environment %s differs from %s by case alone, but names are case-sensitive; use the existing spelling", e.Alias, existing[alias])
		}
	}
	return nil
}

// reachable returns an error if sfp would not choose a folder for its alias, or would deploy it
// together with another one.
func reachable(source *project.Source, root string, folders []folder) error {
	var dirs [][]string // existing and new directories below root, split into path elements
	for _, dir := range source.Dirs(root) {
		dirs = append(dirs, strings.Split(dir, "/"))
	}
	for _, f := range folders {
		dirs = append(dirs, strings.Split(f.dir, "/"))
	}
	slices.SortFunc(dirs, slices.Compare) // sfp's walk order
	for _, f := range folders {
		first := slices.IndexFunc(dirs, func(dir []string) bool { return dir[len(dir)-1] == f.Alias })
		if deployed := path.Join(dirs[first]...); deployed != f.dir {
			return fmt.Errorf("%s would be deployed to %s instead of %s; rename that directory first", deployed, f.Alias, f.dir)
		}
		for _, other := range folders {
			if strings.HasPrefix(other.dir, f.dir+"/") {
				return fmt.Errorf("%s contains the folder of another environment, %s, and all of it is deployed to %s; choose another name", f.dir, other.dir, f.Alias)
			}
		}
	}
	return nil
}

// plugins are the types beside the OAuth policies, which are deployed after the app has a consumer,
// and the endings of their names.
var plugins = []struct{ typ, ending string }{{eca.SAMLPolicies, "_samlPlcy"}, {eca.CanvasSettings, "_canvas"}}

// policies returns the file with the app's OAuth policies for an environment.
func policies(config Config, preset Preset, e folder) (File, error) {
	permitted := "AdminApprovedPreAuthorized"
	if config.OpenToAll() {
		permitted = "AllSelfAuthorized"
	}
	policy, days := "SpecificInactivity", 30
	switch stated := config.Fields[eca.OAuthPolicies]; {
	case preset.RefreshTokenDays > 0:
		policy, days = "SpecificLifetime", preset.RefreshTokenDays
	case stated != nil:
		policy, days = "SpecificLifetime", 365 // as the platform does if nothing is stated
	}
	fields := metadata.Stated(
		"externalClientApplication", config.App,
		"ipRelaxationPolicyType", "Enforce",
		"isClientCredentialsFlowEnabled", fmt.Sprint(e.RunAsUser != ""),
		"label", config.Label+" policies",
		"permittedUsersPolicyType", permitted,
		"refreshTokenPolicyType", policy,
		"refreshTokenValidityPeriod", fmt.Sprint(days),
		"refreshTokenValidityUnit", "Days",
		"requiredSessionLevel", "STANDARD",
	)
	if stated := config.Fields[eca.OAuthPolicies]; stated != nil {
		if stated.Has("refreshTokenPolicyType") {
			delete(fields, "refreshTokenValidityPeriod")
			delete(fields, "refreshTokenValidityUnit")
		}
		flow := fields["isClientCredentialsFlowEnabled"]
		fields = stated.Over(fields)
		fields["isClientCredentialsFlowEnabled"] = flow
	}
	if e.RunAsUser != "" {
		fields.Set("clientCredentialsFlowUser", e.RunAsUser)
	}
	return newFile(e.dir, eca.OAuthPolicies, config.App+"_oauthPlcy", fields)
}
